"""`signals.event()`: a handler asks what has raised its signal."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually, pid_of, until_equal

import trisig
from trisig._sources.postgres.link import MOST_PAYLOADS, Listener


def noting(signals: trisig.Signals, journal: Journal) -> None:
    """Note the event of the handler that runs."""
    event = signals.event()
    journal.note(None if event is None else astuple(event))


async def test_what_a_tick_a_file_and_a_source_say(tmp_path: Path) -> None:
    """A timer says when it was due, a file monitor what has changed, a source of the application its name."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    watched = tmp_path / "watched \udcff"
    watched.mkdir()

    class Bell(trisig.EventSource):
        async def run(self, send: trisig.Send) -> None:
            await send(3)

    @signals.timer(0.2, "mule", 1, 1)
    def tick(_signum: int) -> None:
        noting(signals, journal)

    @signals.file_monitor(watched, "mule", 2, 1)
    def changed(_signum: int) -> None:
        noting(signals, journal)

    @signals.handler(3, "mule")
    async def rang(_signum: int) -> None:
        await trio.to_thread.run_sync(noting, signals, journal)

    begin = time.time()
    signals.add_source(Bell())
    async with trisig.open_master(signals, mules=1):
        (watched / "new").touch()
        await journal.until(3)
    bell, file, timer = sorted((said for _, said in journal.read()), key=lambda said: str(said[0]))
    assert bell == ["Bell", None, 0, None, None]
    assert file == [f"file monitor of signal 2 on {tmp_path}/watched \\xff", None, 0, str(watched / "new"), None]
    name, due, missed, *rest = timer
    assert (name, rest) == ("timer of signal 1 every 0.2 s", [None, None])
    assert missed >= 0  # ticks that a busy machine has folded into this one
    assert begin + 0.2 <= due <= time.time()


async def test_none_for_what_no_source_has_raised(tmp_path: Path) -> None:
    """A plain signal right behind one that has an event has none, and there is none outside of handlers."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.rb_timer(0.01, "worker1", 1, 3)
    def tick(signum: int) -> None:
        journal.note(signum, signals.event() is not None)
        for _ in range(3):
            signals.send_nowait(2)

    @signals.handler(2, "worker1")
    def plain(signum: int) -> None:
        journal.note(signum, signals.event() is not None)

    async with trisig.open_master(signals):
        assert signals.event() is None
        await journal.until(4)
    notes = journal.read()  # of as many ticks as there were until the master closed
    assert {(signum, has_event) for _, signum, has_event in notes} == {(1, True), (2, False)}
    assert notes.count(("worker1", 2, False)) == 3 * notes.count(("worker1", 1, True))
    assert signals.event() is None


async def test_it_is_told_again(tmp_path: Path) -> None:
    """A handler that was killed, and then failed, has the same event in each attempt."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.timer(0.05, "mule", 1, 1, retry=trisig.Backoff(0.01, 0.01, attempts=2))
    async def tick(_signum: int) -> None:
        noting(signals, journal)
        if len(journal.read()) == 1:
            await trio.sleep_forever()
        if len(journal.read()) == 2:
            raise ValueError("once more")

    async with trisig.open_master(signals, mules=1) as master:
        await journal.until(1)
        os.kill(pid_of(master.processes, "mule1"), signal.SIGKILL)
        await until_equal(lambda: master.statistics().done, 1)
    first, second, third = journal.read()
    assert first[1] is not None
    assert first == second == third


async def test_many_events_keep_to_their_signals(tmp_path: Path) -> None:
    """Hundreds that wait for a stopped process, most with an event and some without: each finds its own."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    count = 300

    class Paths(trisig.EventSource):
        async def run(self, send: trisig.Send) -> None:
            for _ in range(count):
                await send(3)
                await signals.send(4)

    def note(signum: int) -> None:
        journal.note(signum, (event := signals.event()) and event.source)

    signals.register(3, "workers", note)
    signals.register(4, "workers", note)
    async with trisig.open_master(signals, workers=2) as master:
        pid = pid_of(master.processes, "worker1")
        os.kill(pid, signal.SIGSTOP)
        source = signals.add_source(Paths())
        await eventually(lambda: source.fired == count and master.statistics().processes["worker2"].done == 2 * count)
        os.kill(pid, signal.SIGCONT)
        await journal.until(4 * count)
    for name in ("worker1", "worker2"):
        assert [(signum, said) for who, signum, said in journal.read() if who == name] == [
            (3, "Paths"),
            (4, None),
        ] * count


@pytest.mark.parametrize("overlap", ["one", "queue"])
async def test_missed_ticks_are_in_the_event(tmp_path: Path, overlap: str) -> None:
    """The master was stopped for some ticks: the event of the late one says how many are folded into it."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.timer(0.05, "mule", 1, overlap=overlap)  # type: ignore[arg-type]  # one of the words
    def tick(_signum: int) -> None:
        noting(signals, journal)

    async with trisig.open_master(signals, mules=1):
        await journal.until(1)
        time.sleep(0.3)  # noqa: ASYNC251  the point: nothing runs in the master meanwhile
        await eventually(lambda: any(said[2] >= 4 for _, said in journal.read()))


async def test_each_tick_is_in_one_event(tmp_path: Path) -> None:
    """What is due after a signal was raised is not folded into it, however late the master goes on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.timer(0.02, "mule", 1, overlap="queue")
    def tick(_signum: int) -> None:
        noting(signals, journal)

    class Slow(trisig.Instrument):
        def queued(self, destination: str, position: int, signals: bytes) -> None:
            time.sleep(0.05)

    async with trisig.open_master(signals, mules=1, instruments=[Slow()]):
        await journal.until(10)
    said = [note for _, note in journal.read()]
    ticks = [(missed + 1, round((after - due) / 0.02)) for (_, due, missed, *_), (_, after, *_) in pairwise(said)]
    assert [told for told, _ in ticks] == [passed for _, passed in ticks]


async def test_a_payload_is_that_of_its_notification() -> None:
    """Of more than a thousand that nobody takes the first ones have theirs, the others none, and later ones again."""
    listener = Listener("orders", "source", lambda _: None)
    for number in range(MOST_PAYLOADS + 2):
        listener.notify(str(number))
    taken = [(await listener.next()).payload for _ in range(10)]
    listener.notify("behind those without")
    taken += [(await listener.next()).payload for _ in range(MOST_PAYLOADS - 7)]
    listener.notify("alone")
    assert taken == [*map(str, range(MOST_PAYLOADS)), None, None, None]
    assert (await listener.next()).payload == "alone"
