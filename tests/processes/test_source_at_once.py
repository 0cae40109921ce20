"""The signal of a source is accepted in the step that notices it: what an instrument does in that step counts, too."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from witness import eventually

import trisig

FIRST, SECOND = 1, 2


class OnFirst(trisig.Instrument):
    """Does something whenever the first signal is raised."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def raised(self, process: str, signals: bytes) -> None:
        if signals[0] == FIRST:
            self._act()


def accepted(master: trisig.Master, signum: int) -> int:
    """How many signals of a number were accepted."""
    found = master.statistics().signals.get(signum)
    return 0 if found is None else found.accepted


def two_signals() -> trisig.Signals:
    """An application that handles both."""
    signals = trisig.Signals()
    for signum in (FIRST, SECOND):
        signals.register(signum, "", lambda _: None)
    return signals


class RemovesTheOther(trisig.Instrument):
    """Removes one source when the other one raises its signal."""

    def __init__(self, signals: trisig.Signals, sources: Mapping[int, trisig.EventSource]) -> None:
        self._signals = signals
        self._sources = sources

    def raised(self, process: str, signals: bytes) -> None:
        self._signals.remove_source(self._sources[FIRST + SECOND - signals[0]])


@asynccontextmanager
async def only_one_raises(signals: trisig.Signals, sources: Mapping[int, trisig.EventSource]) -> AsyncIterator[None]:
    """Of two sources the one that raises first removes the other: what happens in the block is one signal."""
    async with trisig.open_master(signals, workers=1, instruments=[RemovesTheOther(signals, sources)]) as master:
        yield
        await eventually(lambda: master.statistics().accepted)
        await trio.sleep(0.1)
        assert master.statistics().accepted == 1


async def test_a_timer_that_is_removed_in_the_step_in_which_it_is_due() -> None:
    """Of two that are due only that one raises its signal that is looked at first."""
    signals = two_signals()
    sources = {signum: signals.add_timer(signum, 0.2, iterations=1) for signum in (FIRST, SECOND)}
    async with only_one_raises(signals, sources):
        await trio.sleep(0.05)  # until both count
        time.sleep(0.3)  # noqa: ASYNC251  so that both are due when the clock is looked at


async def test_a_file_monitor_that_is_removed_in_the_step_of_its_change(tmp_path: Path) -> None:
    """Of two for one file only that one raises its signal that is told first."""
    signals = two_signals()
    watched = tmp_path / "watched"
    watched.touch()
    sources = {signum: signals.add_file_monitor(signum, watched) for signum in (FIRST, SECOND)}
    async with only_one_raises(signals, sources):
        watched.touch()


async def test_a_file_monitor_that_is_added_in_the_step_of_a_change(tmp_path: Path) -> None:
    """It is told of later changes, and so are those that there were before."""
    signals = two_signals()
    watched = tmp_path / "watched"
    watched.touch()
    signals.add_file_monitor(FIRST, watched, iterations=1)
    signals.add_file_monitor(0, tmp_path, iterations=1)

    def add() -> None:
        watched.touch()
        signals.add_file_monitor(SECOND, watched)

    async with trisig.open_master(signals, workers=1, instruments=[OnFirst(add)]) as master:
        watched.touch()
        await eventually(lambda: accepted(master, FIRST))
        await trio.sleep(0.1)
        watched.touch()
        await eventually(lambda: accepted(master, SECOND))
        assert accepted(master, 0) == 1
