"""Async handlers: what they do before they wait for the first time, and how they go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import trio
import trio.lowlevel
import trio.testing
from witness import Journal, eventually

import trisig

GO = 200


async def test_one_that_never_waits_ends_before_the_next_one_begins(tmp_path: Path) -> None:
    """With cores to spare, those that do not wait run one after the other; those that do, side by side."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def quick(signum: int) -> None:
        journal.note("begin", signum)
        journal.note("end", signum)

    @signals.handler(2, target="worker1")
    async def slow(signum: int) -> None:
        journal.note("begin", signum)
        await signals.wait(GO)
        journal.note("end", signum)

    async with trisig.open_master(signals, cores=3) as master:
        for signum in (1, 1, 2, 1, 2):
            await signals.send(signum)
        await journal.until(8)
        await signals.send(GO)
        await signals.send(GO)
    begin, end = [tuple(("worker1", word, signum) for signum in (1, 2)) for word in ("begin", "end")]
    assert journal.read() == [begin[0], end[0]] * 2 + [begin[1], begin[0], end[0], begin[1], end[1], end[1]]
    assert master.statistics().failed == 0


async def test_what_it_opens_before_it_waits_stays_open(tmp_path: Path) -> None:
    """Scopes and nurseries are its own: they outlive its first wait and the order to stop, and end where it says."""
    signals, journal, go = trisig.Signals(), Journal(tmp_path), tmp_path / "go"

    @signals.handler(1, target="worker1")
    async def careful(signum: int) -> None:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                journal.note("waits")
                await eventually(go.exists)
                nursery.cancel_scope.cancel()
        journal.note("went on", scope.cancelled_caught)
        with trio.move_on_after(0) as late:
            await trio.sleep_forever()
        journal.note("timed out", late.cancelled_caught)

    async with trisig.open_master(signals, workers=1, cores=2) as master:
        await signals.send(1)
        await signals.send(1)
        await journal.until(2)
        master.cheap_nowait(1)
        go.touch()
    notes = [note[1:] for note in journal.read()]
    assert sorted(notes) == [("timed out", True)] * 2 + [("waits",)] * 2 + [("went on", False)] * 2
    assert master.statistics().failed == 0


async def test_an_order_to_leave_beside_a_signal_cuts_nothing_off_and_is_obeyed(tmp_path: Path) -> None:
    """They are read in the same moment, and in any order; the handler, if it begins, goes on to its end."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def slow(signum: int) -> None:
        journal.note("begin", os.getpid())
        await trio.sleep(0.01)
        journal.note("end", os.getpid())

    async with trisig.open_master(signals, workers=1, cores=2) as master:
        for round_ in range(1, 13):
            worker = next(one.pid for one in master.processes if one.kind == "worker")
            os.kill(worker, signal.SIGSTOP)
            signals.send_nowait(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(master.cheap, 1)
                await trio.testing.wait_all_tasks_blocked()  # both are on their way
                os.kill(worker, signal.SIGCONT)
            await master.wake(1)
            await journal.until(2 * round_)
    notes = journal.read()
    assert notes[0::2] == [(name, "begin", pid) for name, _, pid in notes[1::2]]
    assert notes[1::2] == [(name, "end", pid) for name, _, pid in notes[0::2]]
    assert len(notes) == 24


async def test_any_awaitable_will_do(tmp_path: Path) -> None:
    """What a handler returns need not be a coroutine."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def rest() -> None:
        await trio.lowlevel.checkpoint()

    class Answer:
        def __await__(self) -> Generator[Any, Any, None]:
            journal.note("begin")
            yield from rest().__await__()
            journal.note("end")

    @signals.handler(1, target="worker1")
    def answer(signum: int) -> Answer:
        return Answer()

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await signals.send(1)
    assert [note[1] for note in journal.read()] == ["begin", "end"] * 2
    assert master.statistics().signals[1].done == 2


async def test_one_that_waits_is_a_task_with_its_name_and_frames(tmp_path: Path) -> None:
    """Whoever looks at the tasks of the process sees where a handler waits, and of which signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def waiting(signum: int) -> None:
        await signals.wait(GO)

    @signals.handler(2, target="worker1")
    def look(signum: int) -> None:
        tasks = [trio.lowlevel.current_root_task()]
        for task in tasks:
            assert task is not None
            tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
            journal.note(task.name, *(frame.f_code.co_name for frame, _ in task.iter_await_frames()))

    async with trisig.open_master(signals, cores=2):
        await signals.send(1)
        await signals.send(2)
        await journal.until(2)
        await signals.send(GO)
    (frames,) = [note[2:] for note in journal.read() if note[1] == "signal 1"]
    assert {"waiting", "wait"} <= set(frames)
