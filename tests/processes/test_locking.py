"""Locks between processes: one holder, in order, freed by any end of it, and no wait that never ends."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from witness import PATIENCE, Journal, Trail, eventually, logging_to, pid_of, stopped, until_equal

import trisig
from trisig._cli.status_text import status_text


def lines(master: trisig.Master) -> Any:
    """By lock: who holds it, then who waits."""
    return {one.lock: (one.holder, *one.waiting) for one in master.statistics().locks}


# One at a time


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "not locked"])
@pytest.mark.parametrize("cores", [1, 3])
async def test_no_two_critical_sections_overlap(tmp_path: Path, *, locked: bool, cores: int) -> None:
    """100 sections of four processes lose no update of a counter in a file; without the lock they lose some."""
    signals, counter, inside = trisig.Signals(), tmp_path / "counter", Trail(100)
    counter.write_text("0")

    async def count() -> None:
        seen = int(counter.read_text() or 0)
        inside.mark(0)
        await trio.sleep(0.0005)
        if not locked:  # the first sections of two processes meet for certain
            await eventually(lambda: inside.of("worker1") and inside.of("mule1"))
        counter.write_text(str(seen + 1))

    async def handle(signum: int) -> None:
        if locked:
            async with signals.lock("counter"):
                await count()
        else:
            await count()

    for signum, target in enumerate(("worker1", "worker2", "mule1", "spooler1")):
        signals.register(signum, target, handle)
    async with trisig.open_master(signals, workers=2, mules=1, spoolers=1, cores=cores) as master:
        for turn in range(100):
            await signals.send(turn % 4)
        await eventually(lambda: master.statistics().done == 100)
        assert master.statistics().failed == 0
        await until_equal(lambda: lines(master), {})  # a handler is known to be done a moment before its last notice
    assert (int(counter.read_text()) == 100) is locked


async def test_first_come_first_served_in_all_kinds_of_processes(tmp_path: Path) -> None:
    """Workers, mules, spoolers and the master get a lock in the order in which they asked; the status shows it."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    order = ("spooler1", "worker2", "mule1", "worker1", "worker2")

    async def handle(signum: int) -> None:
        async with signals.lock(7):
            journal.note()

    for signum, name in enumerate(order):
        signals.register(signum, name, handle)
    async with trisig.open_master(signals, workers=2, mules=1, spoolers=1, cores=2) as master:
        async with signals.lock(7):
            for signum in range(len(order)):
                await signals.send(signum)
                await until_equal(lambda: lines(master)[7], ("master", *order[: signum + 1]))
            text = status_text(asdict(master.statistics()))
            assert "lock 7: held by master, waiting: spooler1, worker2, mule1, worker1, worker2" in text
        with trio.fail_after(PATIENCE):
            async with signals.lock(7):  # it stands in line as well, behind them
                assert journal.read() == [(name,) for name in order]


async def test_to_try_a_lock(tmp_path: Path) -> None:
    """`acquire_nowait` gets a free lock, in a plain handler too, and raises `trio.WouldBlock` otherwise."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    lock = signals.lock()

    @signals.handler(1)
    def attempt(signum: int) -> None:
        try:
            lock.acquire_nowait()
        except trio.WouldBlock:
            journal.note("would block", lock.locked())
        else:
            journal.note("has it", lock.locked())
            lock.release()

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await journal.until(1)
        with trio.fail_after(PATIENCE):
            await lock.acquire()  # the handler releases it after its note
        await signals.send(1)
        await journal.until(2)
        assert lines(master) == {0: ("master",)}
        lock.release()
        await until_equal(lambda: lines(master), {})
        assert not lock.locked()
    assert journal.read() == [("worker1", "has it", True), ("worker1", "would block", True)]


# Ends of processes


async def test_the_death_of_its_holder_frees_a_lock(tmp_path: Path) -> None:
    """A holder killed by SIGKILL, stopped at that, loses the lock to whoever waits first."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def hold(signum: int) -> None:
        async with signals.lock(0), signals.lock("other"):
            journal.note()
            await trio.sleep_forever()

    async with trisig.open_master(signals, workers=1, max_attempts=1) as master:
        await signals.send(1)
        await journal.until(1)
        assert lines(master) == {0: ("worker1",), "other": ("worker1",)}
        pid = pid_of(master.processes, "worker1")
        with trio.fail_after(PATIENCE), stopped(pid):
            os.kill(pid, signal.SIGKILL)
            async with signals.lock(0), signals.lock("other"):
                assert lines(master) == {0: ("master",), "other": ("master",)}
        await until_equal(lambda: master.statistics().dead_lettered, 1)


async def test_those_behind_a_dead_waiter_move_up(tmp_path: Path) -> None:
    """A process that dies while it waits keeps no place, also when the lock was granted to it and it never knew."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def wait(signum: int) -> None:
        async with signals.lock(0):
            journal.note()

    for number in (1, 2, 3):
        signals.register(number, f"worker{number}", wait)
    async with trisig.open_master(signals, workers=3, max_attempts=1) as master:
        with ExitStack() as held:
            async with signals.lock(0):
                for number in (1, 2, 3):
                    await signals.send(number)
                    await until_equal(lambda: len(lines(master)[0]), number + 1)
                os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
                await until_equal(lambda: lines(master)[0], ("master", "worker2", "worker3"))
                second = pid_of(master.processes, "worker2")
                held.enter_context(stopped(second))
            assert lines(master)[0] == ("worker2", "worker3")  # granted, and it cannot know
            os.kill(second, signal.SIGKILL)
        assert await journal.until(1) == [("worker3",)]
        await until_equal(lambda: lines(master), {})
        await until_equal(lambda: master.statistics().dead_lettered, 2)


async def test_a_process_that_leaves_gives_up_its_locks() -> None:
    """What a service still holds when its worker is cheaped is free, and so is what it waits for."""
    signals = trisig.Signals()

    @signals.service("worker1")
    async def hold(task_status: trio.TaskStatus[None]) -> None:
        await signals.lock("held").acquire()
        task_status.started()
        await signals.wait()
        await signals.lock("wanted").acquire()

    async with trisig.open_master(signals, workers=1) as master:
        async with signals.lock("wanted"):
            await signals.send(99)
            await until_equal(lambda: lines(master), {"held": ("worker1",), "wanted": ("master", "worker1")})
            await master.cheap(1)
            assert lines(master) == {"wanted": ("master",)}


async def test_the_end_of_the_master_ends_the_waits() -> None:
    """A task of the master that waits for a lock learns that there is none any more, and releases in peace."""
    signals = trisig.Signals()
    ended = trio.Event()

    async def hold() -> None:
        async with signals.lock(0):
            await ended.wait()

    async def wait() -> None:
        with pytest.raises(trisig.NoMasterError, match="the master is gone"):
            await signals.lock(0).acquire()
        ended.set()

    async with trio.open_nursery() as nursery:
        async with trisig.open_master(signals):
            nursery.start_soon(hold)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(trisig.NoMasterError, match="a lock needs a master"):
        await signals.lock(0).acquire()


# Cancellation


async def test_a_wait_cancelled_at_any_moment_keeps_no_lock(tmp_path: Path) -> None:
    """Waits of two processes, cancelled at all moments, leave the lock to the others, and free in the end."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.service("workers")
    async def impatient() -> None:
        held, whole = 0, 1.0
        for _ in range(5):  # what it takes on this machine, at best
            began = trio.current_time()
            async with signals.lock(0):
                await trio.sleep(0.0002)
            whole = min(whole, trio.current_time() - began)
        for turn in range(300):
            with trio.move_on_after(turn % 60 / 20 * whole):
                async with signals.lock(0):
                    held += 1
                    await trio.sleep(0.0002)
        journal.note("done", held)
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=2) as master:
        notes = await journal.until(2)
        await until_equal(lambda: lines(master), {})
        signals.lock(0).acquire_nowait()
        assert all(0 < held < 300 for _, _, held in notes), "no cancellation hit, or each did"


@pytest.mark.parametrize("steps", range(6))
async def test_a_wait_cancelled_around_its_grant(steps: int) -> None:
    """Cancelled so many steps of the scheduler after the release, a task has the lock or the next one gets it."""
    signals, release_at = trisig.Signals(), 3
    got = []

    async def wait(name: str) -> None:
        async with signals.lock(0):
            got.append(name)

    async with trisig.open_master(signals) as master:
        async with trio.open_nursery() as others, trio.open_nursery() as nursery:
            signals.lock(0).acquire_nowait()
            nursery.start_soon(wait, "cancelled")
            await trio.testing.wait_all_tasks_blocked()
            others.start_soon(wait, "next")
            await trio.testing.wait_all_tasks_blocked()
            for step in range(6):
                if step == steps:
                    nursery.cancel_scope.cancel()
                if step == release_at:
                    signals.lock(0).release()
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()
        assert got == (["next"] if steps <= release_at else ["cancelled", "next"])
        assert lines(master) == {}


# Deadlocks


async def test_a_deadlock_is_refused_with_both_holders(tmp_path: Path) -> None:
    """The task that would close the circle gets the error and its locks are freed; the other one goes on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def one_then_two(signum: int) -> None:
        async with signals.lock(1):
            async with signals.lock("gate"):
                pass
            async with signals.lock("two"):
                journal.note("never")

    @signals.handler(2, target="mule1")
    async def two_then_one(signum: int) -> None:
        async with signals.lock("two"), signals.lock(1):
            journal.note("has both")

    with logging_to(journal):
        async with trisig.open_master(signals, mules=1) as master:
            async with signals.lock("gate"):
                await signals.send(1)
                await until_equal(lambda: lines(master).get("gate"), ("master", "worker1"))
                await signals.send(2)
                await until_equal(lambda: lines(master).get(1), ("worker1", "mule1"))
            await until_equal(lambda: (master.statistics().done, lines(master)), (2, {}))
            assert master.statistics().failed == 1
    told = (
        "DeadlockError: deadlock: worker1 would wait for lock 'two', which mule1 holds while it waits for lock 1, "
        "which worker1 holds; acquire locks in the same order everywhere"
    )
    notes = journal.read()
    assert any(note[0] == "worker1" and told in str(note[-1]) for note in notes), notes
    assert ("mule1", "has both") in notes


async def test_tasks_of_one_process_are_told_apart() -> None:
    """One process that holds a lock and waits for another, in different tasks, is no deadlock; in one task it is."""
    signals = trisig.Signals()

    @signals.handler(1)
    async def two_then_one(signum: int) -> None:
        async with signals.lock(2), signals.lock(1):
            pass

    async with trisig.open_master(signals) as master:
        async with trio.open_nursery() as nursery:
            async with signals.lock(1):
                await signals.send(1)
                await until_equal(lambda: lines(master).get(1), ("master", "worker1"))

                async def other() -> None:
                    async with signals.lock(2):
                        pass

                nursery.start_soon(other)
                await until_equal(lambda: lines(master).get(2), ("worker1", "master"))
                with pytest.raises(trisig.DeadlockError, match="which worker1 holds while it waits for lock 1"):
                    await signals.lock(2).acquire()
        await until_equal(lambda: lines(master), {})


async def test_a_lock_is_not_reentrant_and_belongs_to_its_task() -> None:
    """Who acquires it twice is told so; who does not hold it cannot release it."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1):
        async with signals.lock(0):
            with pytest.raises(trisig.DeadlockError, match="this task of master holds lock 0 already"):
                await signals.lock(0).acquire()
            async with trio.open_nursery() as nursery:

                async def foreign() -> None:
                    with pytest.raises(RuntimeError, match="lock 0 is not held here"):
                        signals.lock(0).release()

                nursery.start_soon(foreign)
        with pytest.raises(RuntimeError, match="lock 0 is not held here"):
            signals.lock(0).release()


async def test_a_handler_that_holds_a_lock_keeps_its_core(tmp_path: Path) -> None:
    """It may wait for a signal: no other handler gets its core, wants that lock, and keeps both from going on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    async def hold_and_wait(signum: int) -> None:
        async with signals.lock(0):
            journal.note("holds")
            journal.note("woken by", await signals.wait())

    @signals.handler(2)
    async def want(signum: int) -> None:
        async with signals.lock(0):
            journal.note("after it")

    async with trisig.open_master(signals, workers=1, cores=1) as master:
        await signals.send(1)
        await signals.send(2)
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(99)
        assert [note[1] for note in await journal.until(3)] == ["holds", "woken by", "after it"]


# Threads


async def test_a_thread_blocks_until_it_has_the_lock(tmp_path: Path) -> None:
    """A plain `with` works in threads, of trio and of others, while the loops of both processes go on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def section() -> None:
        with signals.lock(0):
            journal.note()

    @signals.handler(1)
    async def in_a_thread(signum: int) -> None:
        await trio.to_thread.run_sync(section)

    @signals.handler(2)
    def in_a_foreign_thread(signum: int) -> None:
        threading.Thread(target=section).start()

    async with trisig.open_master(signals, workers=2) as master:
        signals.lock(0).acquire_nowait()
        async with trio.open_nursery() as nursery:
            for waiting, signum in enumerate((1, 2), 1):
                await signals.send(signum)
                await until_equal(lambda: len(lines(master)[0]), 1 + waiting)
            nursery.start_soon(trio.to_thread.run_sync, section)
            await until_equal(lambda: len(lines(master)[0]), 4)
            assert journal.read() == []
            signals.lock(0).release()
        names = [name for (name,) in await journal.until(3)]
        assert names[-1] == "master"
        await until_equal(lambda: lines(master), {})


async def test_a_thread_whose_task_is_cancelled_stops_waiting() -> None:
    """The task that waits for a thread may be cancelled while the thread waits for a lock."""
    signals = trisig.Signals()

    def section() -> None:
        with signals.lock(0):
            raise AssertionError("it is held elsewhere")

    async with trisig.open_master(signals) as master:
        async with signals.lock(0):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, section)
                await until_equal(lambda: lines(master)[0], ("master", "master"))
                nursery.cancel_scope.cancel()
            assert lines(master)[0] == ("master",)


async def test_blocking_the_trio_thread_is_refused() -> None:
    """A plain `with` in the thread of the loop says what to write instead."""
    signals = trisig.Signals()
    async with trisig.open_master(signals):
        with pytest.raises(RuntimeError, match=r"`with signals.lock\('a'\)` would block the trio thread; write `async"):
            with signals.lock("a"):
                pass


async def test_a_handler_that_is_sent_later_takes_its_lock_along(tmp_path: Path) -> None:
    """A lock in the closure of a handler that is registered while the master runs is that of the process it runs in."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    lock = signals.lock("db")
    async with trisig.open_master(signals) as master:

        async def handle(signum: int) -> None:
            async with lock:
                journal.note(lock.name)

        signals.register(1, "worker", handle)
        async with lock:
            await signals.send(1)
            await until_equal(lambda: lines(master), {"db": ("master", "worker1")})
        assert await journal.until(1) == [("worker1", "db")]
