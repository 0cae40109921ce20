"""`overlap=`: what becomes of a signal that is raised while its handler runs."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from witness import Journal, eventually, pid_of, stopped, until_equal

import trisig
from trisig._model.handling import Overlap

GO = 200  # lets one handler end
TICK = 7


def application(journal: Journal, overlap: Overlap | None, target: str = "worker") -> trisig.Signals:
    """One handler, that runs until it is told to end."""
    signals = trisig.Signals()

    async def tick(_signum: int) -> None:
        journal.note("begin")
        await signals.wait(GO)  # which lends the core: another one could run in this process meanwhile
        journal.note("end")

    if overlap is None:
        signals.register(TICK, target, tick)
    else:
        signals.register(TICK, target, tick, overlap=overlap)
    return signals


def places(master: trisig.Master) -> tuple[int, int, int]:
    """(queued, running, skipped)."""
    now = master.statistics()
    return now.queued, sum(len(process.running) for process in now.processes.values()), now.skipped


@pytest.mark.parametrize(
    ("overlap", "seen"), [(None, (0, 5, 0)), ("queue", (0, 5, 0)), ("one", (1, 1, 3)), ("skip", (0, 1, 4))]
)
async def test_five_signals_while_the_handler_runs(
    tmp_path: Path, overlap: Overlap | None, seen: tuple[int, int, int]
) -> None:
    """All of them run, since each waits for something; or one runs and one waits; or there is only the first one."""
    journal = Journal(tmp_path)
    signals = application(journal, overlap)
    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(5):
            await signals.send(TICK)
            await journal.until(1)
        accepted = 5 - seen[2]
        await until_equal(lambda: places(master), seen)
        assert master.statistics().accepted == accepted
        for _ in range(accepted):
            await signals.send(GO)
    tick = master.statistics().signals[TICK]
    assert (tick.done, tick.accepted, tick.skipped) == (accepted, accepted, seen[2])
    assert len(journal.read()) == 2 * accepted


async def test_one_at_a_time_anywhere(tmp_path: Path) -> None:
    """With `one`, three workers and two signals, begin and end of the handlers alternate."""
    journal = Journal(tmp_path)
    signals = application(journal, "one")
    async with trisig.open_master(signals, workers=3) as master:
        for turn in range(1, 5):
            await signals.send(TICK)
            await eventually(lambda: places(master)[1] == 1)
            await signals.send(TICK)
            await signals.send(GO)
            await signals.send(GO)
            await until_equal(lambda: master.statistics().signals[TICK].done, 2 * turn)
    notes = [word for _, word in journal.read()]
    assert notes == ["begin", "end"] * 8


async def test_one_that_waits_in_its_process_is_one_that_waits(tmp_path: Path) -> None:
    """A signal that was sent to a stopped process and has not begun takes the place of those after it."""
    journal = Journal(tmp_path)
    signals = application(journal, "one", "mule")
    async with trisig.open_master(signals, mules=1) as master:
        with stopped(pid_of(master.processes, "mule1")):
            for _ in range(5):
                await signals.send(TICK)
            assert (master.statistics().in_flight, places(master)) == (1, (0, 0, 4))
        await journal.until(1)
        await signals.send(TICK)  # now it has begun: this one may wait
        assert places(master)[0] == 1
        await signals.send(GO)
        await signals.send(GO)
    assert [word for _, word in journal.read()] == ["begin", "end"] * 2


async def test_skip_goes_by_all_processes_and_one_by_each(tmp_path: Path) -> None:
    """For `workers`, `skip` skips while any of them is busy; with `one` each of them keeps one."""
    for overlap, counts in (("skip", {"worker1": 2, "worker2": 2}), ("one", {"worker1": 4, "worker2": 4})):
        directory = tmp_path / str(overlap)
        directory.mkdir()
        journal = Journal(directory)
        signals = application(journal, overlap, "workers")  # type: ignore[arg-type]  # one of the words
        async with trisig.open_master(signals, workers=2):
            await signals.send(TICK)
            await journal.until(2)
            await signals.send(TICK)
            for _ in range(sum(counts.values()) // 2):
                await signals.send(GO)
        assert Counter(name for name, _ in journal.read()) == counts


async def test_the_one_that_waits_survives_a_death(tmp_path: Path) -> None:
    """The process is killed while one runs and one waits: both run, one after the other, in a new process."""
    journal = Journal(tmp_path)
    signals = application(journal, "one", "mule")
    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(TICK)
        await journal.until(1)
        await signals.send(TICK)
        os.kill(pid_of(master.processes, "mule1"), signal.SIGKILL)
        await journal.until(2)
        await signals.send(GO)
        await signals.send(GO)
        await journal.until(5)
    assert [word for _, word in journal.read()] == ["begin", *["begin", "end"] * 2]
    end = master.statistics()
    assert (end.signals[TICK].done, end.redelivered, end.skipped) == (2, 1, 0)


async def test_a_timer_shorter_than_its_handler_builds_no_backlog(tmp_path: Path) -> None:
    """Hundreds of ticks during one run are one run more: the decorators of timers and crons default to `one`."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.timer(0.001, "mule", TICK)
    async def tick(_signum: int) -> None:
        journal.note("begin")
        await signals.wait(GO)

    async with trisig.open_master(signals, mules=1) as master:
        await journal.until(1)
        fired = master.statistics().sources[0].fired
        await eventually(lambda: master.statistics().sources[0].fired >= fired + 200)
        master.pause_source(str(TICK))
        await trio.testing.wait_all_tasks_blocked()  # a tick that was under way is counted now
        fired = master.statistics().sources[0].fired
        await eventually(lambda: master.statistics().signals[TICK].skipped == fired - 2)
        await signals.send(GO)
        await signals.send(GO)
    assert len(journal.read()) == 2
    assert master.statistics().signals[TICK].done == 2


async def test_a_child_may_say_how_its_handler_is_run(tmp_path: Path) -> None:
    """`overlap=` of a handler that a worker registers for itself is in force there."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.on_start("worker1")
    def register() -> None:
        async def tick(_signum: int) -> None:
            journal.note("begin")
            await signals.wait(GO)

        signals.register(TICK, "worker", tick, overlap="skip")

    async with trisig.open_master(signals) as master:
        for _ in range(3):
            await signals.send(TICK)
            await journal.until(1)
        await signals.send(GO)
    assert (len(journal.read()), master.statistics().skipped) == (1, 2)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"overlap": "all"}, ValueError, "overlap must be one of 'queue', 'one', 'skip', not 'all'"),
        ({"overlap": None}, ValueError, "overlap must be one of"),
        ({"retry": 3}, TypeError, "retry must be a trisig.Backoff or None, not 3"),
        ({"overlaps": "one"}, TypeError, "a handler takes overlap= and retry=, not overlaps"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    """In the line of the decorator, of each kind, and nothing is registered."""
    signals = trisig.Signals()
    for decorate in (
        lambda: signals.handler(1, **options),
        lambda: signals.timer(1, **options),
        lambda: signals.rb_timer(1, **options),
        lambda: signals.cron("@hourly", **options),
        lambda: signals.file_monitor("/", **options),
        lambda: signals.register(1, "worker", print, **options),
    ):
        with pytest.raises(error, match=words):
            decorate()
    assert not signals.is_registered(1)
