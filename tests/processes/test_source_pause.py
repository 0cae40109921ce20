"""A source that is paused raises nothing, says so, counts what it leaves out, and goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually, unhandled

import trisig
from trisig._model.statistics import SourceStatistics


def only(master: trisig.Master) -> SourceStatistics:
    """The one source."""
    [source] = master.statistics().sources
    return source


async def test_a_timer_that_is_paused() -> None:
    """No signal while it is paused, ticks count as missed, and it goes on when it is resumed; both may come twice."""
    signals = trisig.Signals()
    source = signals.add_timer(1, 0.005)
    signals.register(1, "worker", lambda _signum: None)
    async with trisig.open_master(signals) as master:
        await eventually(lambda: only(master).fired > 2)
        signals.pause_source(source)
        signals.pause_source(source)
        await eventually(lambda: only(master).state == "paused")  # a signal that was under way is raised
        fired = only(master).fired
        missed = only(master).missed
        await eventually(lambda: only(master).missed > missed + 10)
        assert (only(master).fired, only(master).state) == (fired, "paused")
        assert only(master).next_due is not None
        signals.resume_source(source)
        signals.resume_source(source)
        await eventually(lambda: only(master).fired > fired + 2)
        assert only(master).state in ("waiting", "sending")


async def test_iterations_are_not_used_up_by_a_pause() -> None:
    """They count signals, and a pause raises none."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        source = signals.add_timer(1, 0.005, iterations=3)
        signals.pause_source(source)  # before the first tick
        await eventually(lambda: only(master).missed > 5)
        signals.resume_source(source)
        for _ in range(3):
            assert await unhandled(signals) == 1
        await eventually(lambda: not master.statistics().sources)


async def test_changes_of_a_file_while_its_monitor_is_paused(tmp_path: Path) -> None:
    """They raise nothing, then or later; the next change does."""
    signals = trisig.Signals()
    path = tmp_path / "file"
    path.touch()
    source = signals.add_file_monitor(1, path)
    async with trisig.open_master(signals) as master:
        signals.pause_source(source)
        path.write_text("1")
        await eventually(lambda: only(master).missed)
        signals.resume_source(source)
        assert only(master).fired == 0
        path.write_text("2")
        assert await unhandled(signals) == 1


class Counts(trisig.EventSource):
    """Raises as fast as it may, and counts what `send` has taken."""

    def __init__(self) -> None:
        self.sent = 0

    async def run(self, send: trisig.Send) -> None:
        while True:
            await send(1)
            self.sent += 1
            await trio.sleep(0.001)


async def test_a_source_of_ones_own_that_is_paused() -> None:
    """Its `send` returns and raises nothing."""
    signals, source = trisig.Signals(), Counts()
    signals.add_source(source)
    signals.register(1, "worker", lambda _signum: None)
    async with trisig.open_master(signals) as master:
        await eventually(lambda: source.sent > 3)
        signals.pause_source(source)
        await trio.lowlevel.checkpoint()
        fired, sent = only(master).fired, source.sent
        await eventually(lambda: source.sent > sent + 5)
        assert only(master).fired <= fired + 1  # one that was in `send` already
        assert only(master).missed >= 5


async def test_any_process_pauses_and_resumes(tmp_path: Path) -> None:
    """A child does so with the object that was forked with it, and gets the same errors."""
    signals, notes = trisig.Signals(), Journal(tmp_path)
    source = signals.add_timer(1, 3600)
    gone = signals.add_timer(1, 7200)
    signals.remove_source(gone)

    @signals.handler(10, target="worker1")
    def pause(_signum: int) -> None:
        signals.pause_source(source)
        notes.note("paused")

    @signals.handler(11, target="worker2")
    def resume(_signum: int) -> None:
        signals.resume_source(source)
        try:
            signals.pause_source(gone)
        except ValueError as error:
            notes.note(str(error))

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(10)
        await notes.until(1)
        assert only(master).state == "paused"
        await signals.send(11)
        [_, (_, said)] = await notes.until(2)
        assert only(master).state == "waiting"
        assert "is not running" in said


async def test_by_name_through_the_master() -> None:
    """An operator has no object, only what the statistics say."""
    signals = trisig.Signals()
    signals.add_timer(1, 3600)
    async with trisig.open_master(signals) as master:
        master.pause_source("timer of signal 1 every 3600 s")
        assert only(master).state == "paused"
        master.resume_source("timer of signal 1 every 3600 s")
        assert only(master).state == "waiting"
        with pytest.raises(ValueError, match="no source is called 'tick'; expected one of: timer of signal 1"):
            master.pause_source("tick")
        signals.add_timer(1, 3600)
        with pytest.raises(ValueError, match="2 sources are called"):
            master.pause_source("timer of signal 1 every 3600 s")


async def test_a_pause_ends_with_the_source() -> None:
    """Removed and added again it raises."""
    signals = trisig.Signals()
    source = signals.add_timer(1, 3600)
    async with trisig.open_master(signals) as master:
        signals.pause_source(source)
        signals.remove_source(source)
        signals.add_source(source)
        await eventually(lambda: only(master).state == "waiting")


async def test_what_cannot_be_paused() -> None:
    """Without a master, in another thread of the master, and what is no source."""
    signals = trisig.Signals()
    source = signals.add_timer(1, 3600)
    with pytest.raises(ValueError, match="is not running: no master is open"):
        signals.pause_source(source)
    with pytest.raises(TypeError, match="a source is an instance of"):
        signals.pause_source(None)  # type: ignore[arg-type]
    said: list[str] = []

    def elsewhere() -> None:
        for verb in (signals.pause_source, signals.resume_source):
            try:
                verb(source)
            except RuntimeError as error:
                said.append(str(error))

    async with trisig.open_master(signals):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert ["sources are paused in its own thread" in said[0], "signals.resume_source, source" in said[1]] == [True] * 2
