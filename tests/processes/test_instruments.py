"""Instruments: what a master tells of its signals."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import Journal, eventually

import trisig


class Recorder(trisig.Instrument):
    """Notes each call as a tuple."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def names(self) -> list[object]:
        return [call[0] for call in self.calls]

    def raised(self, process: str, signals: bytes) -> None:
        self.calls.append(("raised", process, signals))

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        self.calls.append(("queued", destination, position, signals))

    def accepted(self, process: str, signals: bytes) -> None:
        self.calls.append(("accepted", process, signals))

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        self.calls.append(("sent", process, number, destination, position, signals))

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:
        self.calls.append(("started", process, number, destination, position, signum))

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        self.calls.append(("finished", process, number, destination, position, signals, failed))

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        self.calls.append(("redelivered", destination, position, signals, blamed))

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        self.calls.append(("moved", destination, position, to, start, signals))

    def dead_lettered(self, letter: trisig.DeadLetter, position: int) -> None:
        self.calls.append(("dead_lettered", letter.signum, letter.destination, position))

    def process_started(self, process: trisig.ProcessInfo) -> None:
        self.calls.append(("process_started", process.name, process.pid > 0))

    def process_ended(self, process: trisig.ProcessInfo, status: int | None) -> None:
        self.calls.append(("process_ended", process.name, process.pid > 0))


async def test_an_instrument_sees_the_whole_way_of_a_signal() -> None:
    """From the raise to the end of the handler, in order, with the place that identifies it."""
    signals, recorder = trisig.Signals(), Recorder()

    @signals.handler(7, target="worker1")
    def handle(signum: int) -> None: ...

    async with trisig.open_master(signals, workers=1, instruments=[recorder]) as master:
        await signals.send(7)
        await eventually(lambda: master.statistics().done == 1)
    # Whether a look at the process has met the handler while it ran, `started` says.
    assert [call for call in recorder.calls if call[0] != "started"] == [
        ("process_started", "worker1", True),
        ("raised", "master", b"\x07"),
        ("queued", "worker1", 0, b"\x07"),
        ("accepted", "master", b"\x07"),
        ("sent", "worker1", 0, "worker1", 0, b"\x07"),
        ("finished", "worker1", 0, "worker1", 0, b"\x07", False),
        ("process_ended", "worker1", True),
    ]


async def test_an_instrument_sees_who_raised() -> None:
    """A child by its name, the master's own tasks, and its other threads."""
    signals, recorder = trisig.Signals(), Recorder()

    @signals.handler(7, target="worker1")
    def handle(signum: int) -> None: ...

    @signals.handler(8, target="worker1")
    def echo(signum: int) -> None:
        signals.send_nowait(7)

    async with trisig.open_master(signals, workers=1, instruments=[recorder]) as master:
        await signals.send(8)
        await trio.to_thread.run_sync(signals.send_nowait, 7)
        await eventually(lambda: master.statistics().done == 3)
    assert {call[1:] for call in recorder.calls if call[0] == "raised"} == {
        ("master", b"\x08"),
        ("threads", b"\x07"),
        ("worker1", b"\x07"),
    }


async def test_an_instrument_sees_an_async_handler_and_a_failure(tmp_path: Path) -> None:
    """An async handler is seen to run; a handler that raised is finished, and failed."""
    signals, recorder = trisig.Signals(), Recorder()
    go_on = tmp_path / "go on"

    @signals.handler(7, target="worker1")
    async def handle(signum: int) -> None:
        while not go_on.exists():  # noqa: ASYNC110  another process makes it
            await trio.sleep(0.001)
        raise ValueError("on purpose")

    async with trisig.open_master(signals, workers=1, instruments=[recorder]) as master:
        await signals.send(7)
        await eventually(lambda: master.statistics().processes["worker1"].running == (7,))
        # The statistics look at the marks of a process twice: what the second look sees, the instrument hears next.
        master.statistics()
        assert ("started", "worker1", 0, "worker1", 0, 7) in recorder.calls
        go_on.touch()
        await eventually(lambda: master.statistics().failed == 1)
    assert ("finished", "worker1", 0, "worker1", 0, b"\x07", True) in recorder.calls


async def test_an_instrument_sees_deaths_and_dead_letters() -> None:
    """Each unfinished start is redelivered and blamed, the last one is given up."""
    signals, recorder = trisig.Signals(), Recorder()

    @signals.handler(7, target="worker1")
    def handle(signum: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async with trisig.open_master(signals, workers=1, max_attempts=2, instruments=[recorder]) as master:
        await signals.send(7)
        await eventually(lambda: master.statistics().dead_lettered == 1)
        await eventually(lambda: recorder.names().count("process_started") == 3)
    fates = [call for call in recorder.calls if call[0] in ("redelivered", "dead_lettered")]
    assert fates == [("redelivered", "worker1", 0, b"\x07", True), ("dead_lettered", 7, "worker1", 0)]
    assert recorder.names().count("process_started") == recorder.names().count("process_ended") == 3


async def test_an_instrument_sees_a_wait() -> None:
    """A signal without a handler is queued for `wait`, and is finished by the process that took it."""
    signals, recorder = trisig.Signals(), Recorder()
    async with trisig.open_master(signals, workers=1, instruments=[recorder]):
        await signals.send(7)
        assert await signals.wait() == 7
    assert ("finished", "master", None, "wait", 0, b"\x07", False) in recorder.calls


async def test_what_a_source_raises_is_accepted_when_its_send_returns() -> None:
    """`send` of an event source returns after the signal is in its queues, not when it is on its way."""
    signals, recorder = trisig.Signals(), Recorder()
    seen: list[bool] = []

    class Once(trisig.EventSource):
        async def run(self, send: trisig.Send) -> None:
            await send(7)
            seen.append(("accepted", "master", b"\x07") in recorder.calls)

    signals.add_source(Once())
    async with trisig.open_master(signals, workers=1, instruments=[recorder]):
        await eventually(lambda: bool(seen))
    assert seen == [True]


async def test_a_source_that_is_removed_while_the_queue_is_full_raises_nothing_more() -> None:
    """Its `send` was cancelled: the signal is not accepted once there is room again."""
    signals, recorder = trisig.Signals(), Recorder()
    trying = trio.Event()

    class Insisting(trisig.EventSource):
        async def run(self, send: trisig.Send) -> None:
            trying.set()
            await send(7)

    source = Insisting()
    async with trisig.open_master(signals, workers=1, max_queued=1, instruments=[recorder]):
        await signals.send(8)  # nobody handles it: the queue is full
        signals.add_source(source)
        await trying.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        signals.remove_source(source)
        assert await signals.wait() == 8
        await signals.send(9)
        assert await signals.wait() == 9
    assert [call[2] for call in recorder.calls if call[0] == "raised"] == [b"\x08", b"\x09"]


async def test_an_instrument_that_raises_is_called_no_more(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """It is logged once; signals, the journal and other instruments go on."""
    signals, recorder, journal = trisig.Signals(), Recorder(), Journal(tmp_path)

    class Broken(trisig.Instrument):
        def queued(self, destination: str, position: int, signals: bytes) -> None:
            raise LookupError("on purpose")

    @signals.handler(7)
    def handle(signum: int) -> None:
        journal.note(signum)

    with caplog.at_level(logging.ERROR):
        async with trisig.open_master(signals, workers=1, journal=tmp_path / "kept", instruments=[Broken(), recorder]):
            await signals.send(7)
            await signals.send(7)
            await journal.until(2)
    assert caplog.text.count("is not called again") == 1
    assert recorder.names().count("queued") == 2


async def test_what_is_no_instrument_is_refused() -> None:
    """Before anything is started."""
    with pytest.raises(TypeError, match=r"subclass of trisig\.Instrument"):
        async with trisig.open_master(trisig.Signals(), instruments=[object()]):  # type: ignore[list-item]  # wrong
            pytest.fail("it opened")
