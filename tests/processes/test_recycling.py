"""Processes that are replaced in order, because they have done much, are old, or have grown."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually, until_equal, wait_in_vain

import trisig

KEPT: list[bytes] = []


class Lives(trisig.Instrument):
    """Notes which processes are there, and what went back to a queue."""

    def __init__(self) -> None:
        self.there = list[set[str]]()
        self.returned = 0
        self._now = set[str]()

    def process_started(self, process: trisig.ProcessInfo) -> None:
        self._now.add(process.name)
        self.there.append(set(self._now))

    def process_ended(self, process: trisig.ProcessInfo, status: int | None) -> None:
        del status
        self._now.remove(process.name)
        self.there.append(set(self._now))

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        del destination, position
        assert not blamed
        self.returned += len(signals)


def pid_of(master: trisig.Master) -> int:
    """The process that is the worker now."""
    return master.statistics().processes["worker1"].pid


def recycled(master: trisig.Master) -> int:
    """How many processes have been replaced."""
    return sum(one.respawns for one in master.statistics().processes.values())


async def test_after_so_many_signals_and_one_at_a_time(tmp_path: Path) -> None:
    """Each signal is handled once and in its order, no attempt is counted, and never is more than one process away."""
    journal, signals, lives = Journal(tmp_path), trisig.Signals(), Lives()
    for signum in range(100):
        signals.register(signum, "workers", journal.note)
    async with trisig.open_master(signals, workers=3, max_handled=20, max_attempts=1, instruments=[lives]) as master:
        for signum in range(100):
            await signals.send(signum)
            await trio.sleep(0.002)
        await until_equal(lambda: master.statistics().done, 300)
        await eventually(lambda: recycled(master) >= 3)
        closing = len(lives.there)  # from here on processes may end side by side
        assert master.statistics().dead_lettered == 0
    for name in ("worker1", "worker2", "worker3"):
        assert [signum for process, signum in journal.read() if process == name] == [*range(100)]
    opened = next(place for place, there in enumerate(lives.there) if len(there) == 3)
    assert all(len(there) >= 2 for there in lives.there[opened:closing])


async def test_without_limits_processes_stay(tmp_path: Path) -> None:
    """The control: the same load replaces nothing."""
    journal, signals = Journal(tmp_path), trisig.Signals()
    signals.register(1, "workers", journal.note)
    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(60):
            await signals.send(1)
        await until_equal(lambda: master.statistics().done, 120)
        assert recycled(master) == 0


@pytest.mark.parametrize("kind", ["workers", "mules", "spoolers"])
async def test_when_it_is_old(caplog: pytest.LogCaptureFixture, kind: str) -> None:
    """Of any kind, and without anything to do; the log says why."""
    caplog.set_level("INFO", "trisig")
    counts = {"workers": 0, kind: 1}
    async with trisig.open_master(trisig.Signals(), max_age=0.05, **counts) as master:  # type: ignore[arg-type]
        await eventually(lambda: recycled(master) >= 2)
    assert f"{kind[:-1]}1: is 0.05" in caplog.text
    assert "s old; replacing it when its handlers have ended" in caplog.text


async def test_a_handler_takes_as_long_as_it_takes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The grace is for the end of the master: here nothing is cut off, and what waits goes to the successor."""
    caplog.set_level("INFO", "trisig")
    journal, signals, lives = Journal(tmp_path), trisig.Signals(), Lives()

    @signals.handler(1)
    async def slow(signum: int) -> None:
        journal.note("slow", os.getpid())
        await eventually((tmp_path / "go").exists)
        journal.note("slept")

    signals.register(2, "worker1", journal.note)
    async with trisig.open_master(signals, max_age=0.05, grace=0.2, instruments=[lives]) as master:
        await signals.send(1)
        _, _, pid = (await journal.until(1))[0]
        await signals.send(2)
        await eventually(lambda: "replacing it" in caplog.text)
        await wait_in_vain(0.4)  # twice the grace
        assert pid_of(master) == pid
        (tmp_path / "go").touch()
        await until_equal(lambda: master.statistics().done, 2)
        assert pid_of(master) != pid
    assert [words[1:] for words in journal.read()] == [("slow", pid), ("slept",), (2,)]


async def test_the_end_of_the_master_does_not_wait_for_it() -> None:
    """A process that is being replaced has no more than the grace then."""
    signals = trisig.Signals()
    signals.register(1, "worker1", lambda _signum: time.sleep(60))
    began = trio.current_time()
    async with trisig.open_master(signals, max_age=0.05, grace=0.3) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().in_flight)
        await trio.sleep(0.3)
    assert trio.current_time() - began < 20


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def grow() -> None:
    """Keep more and more."""
    KEPT.append(b"x" * (128 * 2**20))


def work() -> None:
    """Keep nothing."""
    sum(range(1000))


@pytest.mark.parametrize(("act", "replaced"), [(grow, True), (work, False)])
@pytest.mark.parametrize("is_async", [False, True])
async def test_when_it_has_grown(act: Callable[[], None], *, is_async: bool, replaced: bool) -> None:
    """The memory that is resident counts, as the kernel has it; one that has not grown stays."""
    signals = trisig.Signals()

    def handle(signum: int) -> None:
        act()

    async def handle_later(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        act()

    signals.register(1, "worker", handle_later if is_async else handle)

    async with trisig.open_master(signals, max_rss=resident() + 64 * 2**20) as master:
        pid = pid_of(master)
        await signals.send(1)
        if replaced:
            await eventually(lambda: pid_of(master) not in (0, pid))
        await signals.send(1)
        await until_equal(lambda: master.statistics().done, 2)
        assert (recycled(master) > 0) == replaced


async def test_one_that_is_stopped_meanwhile_holds_up_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A worker that is cheaped while it should be replaced is not waited for."""
    caplog.set_level("INFO", "trisig")
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    async def stuck(signum: int) -> None:
        await eventually((tmp_path / "go").exists)

    async with trisig.open_master(signals, workers=2, max_age=0.1) as master:
        await signals.send(1)
        await eventually(lambda: "worker1: is 0.1" in caplog.text)
        before = master.statistics().processes["worker2"].respawns
        await wait_in_vain(0.3)
        assert master.statistics().processes["worker2"].respawns == before  # it waits for its turn
        master.cheap_nowait(1)
        (tmp_path / "go").touch()
        await eventually(lambda: master.statistics().processes["worker1"].state == "cheap")
        await eventually(lambda: master.statistics().processes["worker2"].respawns > before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_handled": 0}, "max_handled is a number from 1"),
        ({"max_handled": 1.5}, "max_handled is a whole number"),
        ({"max_age": 0}, "max_age is a number of seconds above 0"),
        ({"max_rss": -1}, "max_rss is a number from 1"),
        ({"max_rss": "1G"}, "max_rss is a whole number"),
    ],
)
async def test_a_limit_that_is_none(options: dict[str, object], words: str) -> None:
    """It is refused before anything starts."""
    with pytest.raises((TypeError, ValueError), match=words):
        async with trisig.open_master(trisig.Signals(), **options):  # type: ignore[arg-type]
            pass
