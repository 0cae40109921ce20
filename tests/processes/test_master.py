"""A master from the outside: opening, closing, what it tells, and what is left when it is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import FrozenInstanceError
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio
import trio.testing
from restarts import NO_PAUSE, restarting
from witness import PATIENCE, Journal, Trail, eventually, gone, logging_to, pid_of, stopped

import trisig
from trisig._linux import prctl
from trisig._master.restart import RestartPolicy


def pids_of(master: trisig.Master) -> list[int]:
    """The children's."""
    return [process.pid for process in master.processes if process.kind != "master"]


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies included."""
    return Path(f"/proc/{pid}").exists()


def noting(journal: Journal, *signums: int, target: str = "worker") -> trisig.Signals:
    """An application whose handlers only note their number."""
    signals = trisig.Signals()
    for signum in signums:
        signals.register(signum, target, journal.note)
    return signals


# Where it opens


def test_it_opens_in_a_trio_run_of_the_application(tmp_path: Path) -> None:
    """`open_master` works in a `trio.run` that the application called."""
    journal = Journal(tmp_path)
    signals = noting(journal, 1)

    async def main() -> int:
        async with trisig.open_master(signals) as master:
            await signals.send(1)
        return master.statistics().done

    assert trio.run(main) == 1
    assert trio.run(main) == 1
    assert journal.read() == [("worker1", 1)] * 2


async def test_it_opens_in_a_test_of_pytest_trio(tmp_path: Path) -> None:
    """`open_master` works inside the running loop of a pytest-trio test, and every child is up when it has opened."""
    journal = Journal(tmp_path)
    signals = noting(journal, 1, target="workers")
    async with trisig.open_master(signals, workers=2, mules=1, spoolers=1) as master:
        assert {state.state for state in master.statistics().processes.values()} == {"ready"}
        await signals.send(1)
    assert sorted(journal.read()) == [("worker1", 1), ("worker2", 1)]


async def test_twice_in_a_row(tmp_path: Path) -> None:
    """The same `Signals` can be opened again, with other processes, and begins from nothing."""
    journal = Journal(tmp_path)
    signals = noting(journal, 1, target="workers")
    for workers in (1, 3, 2):
        async with trisig.open_master(signals, workers=workers) as master:
            await signals.send(1)
        assert master.statistics().accepted == workers
    assert sorted(journal.read()) == [("worker1", 1)] * 3 + [("worker2", 1)] * 2 + [("worker3", 1)]


async def test_in_parallel_in_two_nurseries() -> None:
    """Two masters run side by side, in two tasks that each have a nursery, and none gets the other's signals."""
    trails = Trail(3000), Trail(3000)

    async def live(trail: Trail, signum: int, other: trio.Event, mine: trio.Event) -> None:
        signals = trisig.Signals()
        signals.register(signum, "workers", trail.mark)
        async with trisig.open_master(signals, workers=2) as master:
            mine.set()
            await other.wait()
            async with trio.open_nursery() as nursery:
                for _ in range(1000):
                    nursery.start_soon(signals.send, signum)
        assert master.statistics().done == 2000

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            first, second = trio.Event(), trio.Event()
            nursery.start_soon(live, trails[0], 1, second, first)
            nursery.start_soon(live, trails[1], 2, first, second)
    for trail, signum in zip(trails, (1, 2), strict=True):
        assert trail.of("worker1") == trail.of("worker2") == bytes([signum]) * 1000


async def test_one_of_two_masters_closes_while_the_other_goes_on(tmp_path: Path) -> None:
    """Closing a master that was opened after another one leaves the other whole, and the other way round."""
    journal = Journal(tmp_path)
    outer, inner = noting(journal, 1), noting(journal, 2)
    async with trisig.open_master(outer) as first:
        async with trisig.open_master(inner, workers=2):
            await inner.send(2)
        os.kill(pid_of(first.processes, "worker1"), signal.SIGKILL)
        await eventually(lambda: first.statistics().processes["worker1"].respawns == 1)
        await outer.send(1)
    assert sorted(words for _, words in journal.read()) == [1, 2]


async def test_the_later_of_two_masters_outlives_the_earlier() -> None:
    """The first master leaves at once although the processes of the second were forked while it was open."""
    opened, close = trio.Event(), trio.Event()

    async def early() -> None:
        async with trisig.open_master(trisig.Signals(), workers=2):
            opened.set()
            await close.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(early)
        await opened.wait()
        async with trisig.open_master(trisig.Signals(), workers=2) as later:
            close.set()
            await eventually(lambda: not nursery.child_tasks)
            assert all(map(alive, pids_of(later)))


async def test_one_signals_object_has_one_master_at_a_time() -> None:
    """Opening a second master with the same `Signals` is BusyResourceError and does not touch the first."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        with pytest.raises(trio.BusyResourceError) as caught:
            async with trisig.open_master(signals):
                raise AssertionError("it must not open")
        assert "another Signals" in str(caught.value)
        signals.register(1, "worker", print)
        await signals.send(1)
        assert master.statistics().accepted == 1


# What it tells


async def test_processes_are_the_live_ones() -> None:
    """`processes` lists the master and every child with kind, number, name, pid and farms."""
    async with trisig.open_master(
        trisig.Signals(), workers=2, mules=2, spoolers=1, farms={"busy": (1, 2), "lone": (2,)}
    ) as master:
        told = {process.name: process for process in master.processes}
        assert list(told) == ["master", "worker1", "worker2", "mule1", "mule2", "spooler1"]
        assert told["master"] == trisig.ProcessInfo("master", 0, os.getpid())
        assert told["mule1"].farms == ("busy",)
        assert told["mule2"].farms == ("busy", "lone")
        assert (told["spooler1"].kind, told["spooler1"].number, told["spooler1"].farms) == ("spooler", 1, ())
        assert all(alive(pid) for pid in pids_of(master))
        assert len(set(pids_of(master))) == 5
        await master.cheap(1)
        assert [process.name for process in master.processes][:2] == ["master", "worker2"]
    pids = {pid for pid in (process.pid for process in told.values()) if pid != os.getpid()}
    assert not any(map(alive, pids))


async def test_statistics_always_add_up(tmp_path: Path) -> None:
    """`accepted` is the sum of where signals are, in total, by process and by signal, at any moment under load."""
    trail = Trail(20_000)
    signals = trisig.Signals()

    def fail(signum: int) -> None:
        trail.mark(signum)
        if signum == 2:
            raise LookupError

    signals.register(1, "workers", fail)
    signals.register(2, "worker", fail)
    signals.register(3, "mule", fail)
    seen = set()
    with logging_to(Journal(tmp_path)):
        async with trisig.open_master(signals, workers=2, mules=1) as master:
            for step in range(150):
                for signum in (1, 1, 3, 2 if step % 10 == 0 else 3):
                    await signals.send(signum)
                await signals.send(9)  # nobody handles it
                now = master.statistics()
                assert now.accepted == now.done + now.queued + now.in_flight + now.dead_lettered
                assert sum(one.accepted for one in now.signals.values()) == now.accepted
                assert sum(one.done for one in now.processes.values()) == now.done
                seen.add((now.queued, now.in_flight))
    end = master.statistics()
    assert len(seen) > 5
    assert (end.accepted, end.done, end.failed) == (1050, 900, 15)
    assert (end.queued, end.in_flight, end.dead_lettered, end.redelivered) == (150, 0, 0, 0)
    assert {signum: (one.accepted, one.done, one.failed) for signum, one in end.signals.items()} == {
        1: (600, 600, 0),
        2: (15, 15, 15),
        3: (285, 285, 0),
        9: (150, 0, 0),
    }
    assert end.signals[1].target == "workers"
    assert end.signals[9].target is None
    assert trail.total() == end.done


async def test_statistics_are_frozen_snapshots() -> None:
    """A snapshot does not change any more, neither by itself nor by its reader."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        before = master.statistics()
        await signals.send(1)
        assert (before.accepted, master.statistics().accepted) == (0, 1)
        with pytest.raises(FrozenInstanceError):
            before.accepted = 3  # type: ignore[misc]  # that is the point
        with pytest.raises(FrozenInstanceError):
            before.processes["worker1"].done = 3  # type: ignore[misc]  # the same


async def test_a_signal_in_its_handler_is_in_flight_and_named_as_running() -> None:
    """While a handler runs its signal is in flight, and the process says which one it is."""
    trail = Trail(10)
    signals = trisig.Signals()

    @signals.handler(5)
    def slow(signum: int) -> None:
        trail.mark(signum)
        while trail.total() < 2:  # the test counts as the second
            time.sleep(0.002)

    async with trisig.open_master(signals) as master:
        await signals.send(5)
        await eventually(trail.total)
        await signals.send(5)
        now = master.statistics()
        trail.mark(0)
    assert (now.in_flight, now.queued + now.in_flight, now.done) == (now.processes["worker1"].in_flight, 2, 0)
    assert now.processes["worker1"].running == (5,)


# Cheap and wake


async def test_a_cheaped_worker_is_gone_until_it_is_woken(tmp_path: Path) -> None:
    """`cheap` awaited: the process has ended; `wake` awaited: a new one is ready."""
    journal = Journal(tmp_path)
    signals = noting(journal, 1, target="workers")
    signals.register(2, "active-workers", journal.note)
    async with trisig.open_master(signals, workers=2) as master:
        pid = pid_of(master.processes, "worker1")
        await master.cheap(1)
        assert not alive(pid)
        assert master.statistics().processes["worker1"].state == "cheap"
        await signals.send(2)
        await signals.send(1)
        assert await journal.until(2) == [("worker2", 2), ("worker2", 1)]
        assert master.statistics().processes["worker1"].queued == 1
        await master.wake(1)
        assert pid_of(master.processes, "worker1") != pid
        assert (await journal.until(3))[2:] == [("worker1", 1)]
        await signals.send(2)
    assert sorted(journal.read()[3:]) == [("worker1", 2), ("worker2", 2)]


async def test_cheap_nowait_and_wake_nowait_only_begin() -> None:
    """Plain functions can use them: they return at once, and the worker follows; twice is once."""
    async with trisig.open_master(trisig.Signals(), workers=2) as master:
        pid = pid_of(master.processes, "worker2")
        master.cheap_nowait(2)
        master.cheap_nowait(2)
        await eventually(lambda: not alive(pid))
        await eventually(lambda: master.statistics().processes["worker2"].state == "cheap")
        master.wake_nowait(2)
        master.wake_nowait(2)
        await eventually(lambda: master.statistics().processes["worker2"].state == "ready")
        with trio.fail_after(PATIENCE):
            await master.wake(2)
        assert master.statistics().processes["worker2"].respawns == 1


async def test_cheap_and_wake_in_quick_succession_end_with_the_last_word() -> None:
    """However fast they follow one another, the last call says what becomes of the worker."""
    async with trisig.open_master(trisig.Signals(), workers=1) as master:
        for _ in range(20):
            master.cheap_nowait(1)
            master.wake_nowait(1)
            await trio.sleep(0.001)
        with trio.fail_after(PATIENCE):
            await master.wake(1)
        assert master.statistics().processes["worker1"].state == "ready"
        for _ in range(20):
            master.wake_nowait(1)
            master.cheap_nowait(1)
            await trio.sleep(0.001)
        with trio.fail_after(PATIENCE):
            await master.cheap(1)
        assert master.statistics().processes["worker1"].state == "cheap"
        with trio.fail_after(PATIENCE):
            await master.wake(1)


async def test_wake_awaited_right_after_cheap_is_a_new_process() -> None:
    """`wake` awaited while the old process is still leaving returns when the new one is ready, not before."""
    async with trisig.open_master(trisig.Signals(), workers=1) as master:
        pid = pid_of(master.processes, "worker1")
        master.cheap_nowait(1)
        await master.wake(1)
        assert pid_of(master.processes, "worker1") != pid
        assert not alive(pid)


async def test_the_pool_goes_on_without_a_cheaped_worker() -> None:
    """What a cheaped worker had not started for "any worker" is run by the others."""
    trail = Trail(2000)
    signals = trisig.Signals()

    @signals.handler(1)
    def slow(signum: int) -> None:
        time.sleep(0.001)
        trail.mark(signum)

    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(300):
            await signals.send(1)
        await master.cheap(1)
        cheaped = len(trail.of("worker1"))
        await eventually(lambda: trail.total() == 300)
        assert len(trail.of("worker1")) == cheaped
    assert master.statistics().done == 300


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (3, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)]
)
async def test_only_workers_that_exist_can_be_cheaped(number: Any, error: type[Exception]) -> None:
    """`cheap_nowait` and `wake_nowait` of a worker that there is not are one clear line at the call."""
    async with trisig.open_master(trisig.Signals(), workers=2, mules=3) as master:
        for verb in (master.cheap_nowait, master.wake_nowait):
            with pytest.raises(error) as caught:
                verb(number)
            assert "\n" not in str(caught.value)
        assert len(master.processes) == 6


# The end


async def test_leaving_delivers_what_is_queued_first(tmp_path: Path) -> None:
    """On leaving, what was sent is delivered before the children go, also what handlers send meanwhile."""
    journal = Journal(tmp_path)
    signals = noting(journal, 3, target="mule")

    @signals.handler(1)
    async def chain(signum: int) -> None:
        await trio.sleep(0.02)
        journal.note(signum)
        await signals.send(2)

    @signals.handler(2)
    def chained(signum: int) -> None:
        journal.note(signum)
        signals.send_nowait(3)

    async with trisig.open_master(signals, workers=1, mules=1) as master:
        for _ in range(3):
            await signals.send(1)
    assert sorted(words for _, words in journal.read()) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert master.statistics().done == 9


async def test_what_is_left_after_the_grace_is_counted(tmp_path: Path) -> None:
    """A handler that does not end is cut off after the grace, and the log says how many were not delivered."""
    journal = Journal(tmp_path)
    signals = trisig.Signals()

    @signals.handler(1)
    async def forever(signum: int) -> None:
        journal.note("begins")
        await trio.sleep_forever()

    with logging_to(journal):
        async with trisig.open_master(signals, grace=0.3) as master:
            for _ in range(5):
                await signals.send(1)
            await journal.until(1)
            leaves = trio.current_time()
    assert 0.25 < trio.current_time() - leaves < PATIENCE
    end = master.statistics()
    assert (end.accepted, end.done, end.queued + end.in_flight) == (5, 0, 5)
    assert any("5 signals undelivered" in note[2] for note in journal.read() if note[0] == "master")


async def test_a_process_that_is_not_ready_for_long_is_named_once(tmp_path: Path) -> None:
    """A service that does not say that it has started holds up the master, and the log says who does, and why."""
    journal = Journal(tmp_path)
    signals = trisig.Signals()

    @signals.service("worker2")
    async def hesitates(task_status: trio.TaskStatus[None]) -> None:
        await eventually(lambda: any("worker2: not ready" in str(note) for note in journal.read()))
        await trio.sleep(0.3)
        task_status.started()

    with restarting(RestartPolicy(notice_after=0.1)), logging_to(journal):
        async with trisig.open_master(signals, workers=2):
            pass
    late = [note[2] for note in journal.read() if "worker2: not ready after 0.1 s" in str(note)]
    assert len(late) == 1
    assert "task_status.started()" in late[0]


async def test_no_grace_is_no_waiting() -> None:
    """With `grace=0` leaving is immediate, even with a stopped child."""
    with ExitStack() as held:
        async with trisig.open_master(trisig.Signals(), workers=2, grace=0) as master:
            held.enter_context(stopped(pid_of(master.processes, "worker1")))
            leaves = trio.current_time()
        assert trio.current_time() - leaves < PATIENCE  # and not for good


async def test_a_cancelled_scope_ends_it_in_order() -> None:
    """Cancelling the scope around it delivers what is queued within the grace, and the cancellation goes on."""
    trail = Trail(5000)
    signals = trisig.Signals()
    signals.register(1, "workers", trail.mark)
    with trio.CancelScope() as scope:
        async with trisig.open_master(signals, workers=2) as master:
            pids = pids_of(master)
            for _ in range(1000):
                signals.send_nowait(1)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trail.total() == master.statistics().done == 2000
    assert not any(map(alive, pids))


async def test_cancelled_with_a_handler_that_does_not_end_takes_the_grace() -> None:
    """A cancelled scope waits for the grace at most."""
    trail = Trail(1)
    signals = trisig.Signals()

    @signals.handler(1)
    def stuck(signum: int) -> None:
        trail.mark(signum)
        time.sleep(2 * PATIENCE)

    with trio.CancelScope() as scope:
        async with trisig.open_master(signals, grace=0.3) as master:
            pids = pids_of(master)
            await signals.send(1)
            await eventually(trail.total)
            leaves = trio.current_time()
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert 0.25 < trio.current_time() - leaves < PATIENCE
    assert not any(map(alive, pids))


async def test_cancelled_while_it_opens_leaves_nothing() -> None:
    """Cancelled before every child is ready, it gives up at once; the same `Signals` opens again afterwards."""
    signals = trisig.Signals()
    slow = [True]

    @signals.on_start("worker2")
    async def never() -> None:
        if slow[0]:
            await trio.sleep_forever()

    started = trio.current_time()
    with trio.move_on_after(0.2) as scope:
        async with trisig.open_master(signals, workers=2):
            raise AssertionError("it must not open")
    assert scope.cancelled_caught
    assert trio.current_time() - started < PATIENCE
    slow.clear()
    slow.append(False)
    async with trisig.open_master(signals, workers=2) as master:
        assert len(master.processes) == 3


async def test_who_still_waits_at_the_end_is_told() -> None:
    """A `wait`, or a `send` that waits for room, in a task that outlives the master ends with NoMasterError."""
    signals = trisig.Signals()
    signals.register(1, "worker1", lambda signum: time.sleep(60))
    told = list[str]()

    async def outlive(verb: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(trisig.NoMasterError):
            await verb()
        told.append("told")

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            async with trisig.open_master(signals, max_queued=3, grace=0.1):
                nursery.start_soon(outlive, signals.wait)
                nursery.start_soon(outlive, partial(signals.wait, 200))
                for _ in range(3):
                    await signals.send(1)
                nursery.start_soon(outlive, partial(signals.send, 1))
                await trio.testing.wait_all_tasks_blocked()
    assert told == ["told"] * 3


async def test_after_it_has_given_up_nothing_can_be_raised() -> None:
    """While the body cleans up after a child that cannot live, the verbs say that there is no master."""
    signals, fatal = trisig.Signals(), Trail(10)

    @signals.service("worker1")
    async def fail() -> None:
        while not fatal.total():  # noqa: ASYNC110  marked by another process
            await trio.sleep(0.001)
        os._exit(7)

    with restarting(RestartPolicy(NO_PAUSE)), pytest.raises(trisig.ChildFailedError):
        async with trisig.open_master(signals, workers=2) as master:
            try:
                fatal.mark(1)
                await trio.sleep_forever()
            finally:
                for verb in (
                    partial(signals.send_nowait, 1),
                    partial(master.cheap_nowait, 2),
                    partial(master.wake_nowait, 2),
                ):
                    with pytest.raises(trisig.NoMasterError):
                        verb()


async def test_two_that_open_at_the_same_time(tmp_path: Path) -> None:
    """The second one is refused even while the first one is still reading its journal."""
    signals = trisig.Signals()
    outcomes = list[str]()

    async def open_one(number: int) -> None:
        try:
            async with trisig.open_master(signals, journal=tmp_path / f"journal{number}"):
                outcomes.append("opened")
                await trio.testing.wait_all_tasks_blocked()
        except trio.BusyResourceError:
            outcomes.append("refused")

    for number in (1, 2):  # so that there is something to read
        async with trisig.open_master(signals, journal=tmp_path / f"journal{number}"):
            await signals.send(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(open_one, 1)
        nursery.start_soon(open_one, 2)
    assert sorted(outcomes) == ["opened", "refused"]


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    """An exception of the body is not wrapped in a group, and the children are gone when it arrives."""
    pids: list[int] = []
    with pytest.raises(LookupError, match="mine") as caught:
        async with trisig.open_master(trisig.Signals(), workers=2) as master:
            pids += pids_of(master)
            raise LookupError("mine")
    assert not any(map(alive, pids))
    assert caught.value.__cause__ is None
    with pytest.raises(KeyboardInterrupt):
        async with trisig.open_master(trisig.Signals()):
            raise KeyboardInterrupt


async def test_a_group_that_the_body_raises_stays_a_group() -> None:
    """A nursery inside the body raises its group, and the group arrives as it was raised."""

    async def fail() -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise LookupError("mine")

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="^mine$")):
        async with trisig.open_master(trisig.Signals()):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(fail)
    group = ExceptionGroup("two", [LookupError("one"), KeyError("other")])
    with pytest.RaisesGroup(LookupError, KeyError) as caught:
        async with trisig.open_master(trisig.Signals()):
            raise group
    assert caught.value is group


# Children that fail to start


async def failed_start(signals: trisig.Signals, **arguments: Any) -> trisig.ChildFailedError:
    """The error of a master that cannot open."""
    with trio.fail_after(20), pytest.raises(trisig.ChildFailedError) as caught:
        async with trisig.open_master(signals, **arguments):
            raise AssertionError("it must not open")
    assert "\n" not in str(caught.value)
    with pytest.raises(trisig.NoMasterError):
        signals.send_nowait(1)
    return caught.value


async def test_a_hook_that_fails_is_an_error_of_open_master() -> None:
    """A child that fails before it is ready is ChildFailedError with its own traceback, and nothing is left."""
    signals = trisig.Signals()

    @signals.on_start("worker2")
    def broken_hook() -> None:
        raise LookupError("no such shelf")

    error = await failed_start(signals, workers=3, mules=1)
    assert (error.process, error.status) == ("worker2", 1)
    assert "in broken_hook" in error.traceback
    assert error.traceback.rstrip().endswith("LookupError: no such shelf")
    assert "worker2" in str(error)
    assert "LookupError: no such shelf" in str(error)


async def test_a_service_that_fails_before_it_started_is_one_too() -> None:
    """The same for a service that raises before `task_status.started()`."""
    signals = trisig.Signals()

    @signals.service("mules")
    async def broken_service(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("no such shelf")

    error = await failed_start(signals, mules=1)
    assert error.process == "mule1"
    assert "in broken_service" in error.traceback


@pytest.mark.parametrize(("how", "status"), [("exit", 7), ("kill", -signal.SIGKILL), ("system exit", 3)])
async def test_a_child_that_just_ends_at_start_is_one_too(how: str, status: int) -> None:
    """A child that exits or is killed before it is ready is ChildFailedError with its exit status."""
    signals = trisig.Signals()

    @signals.on_start("spoolers")
    def end() -> None:
        if how == "exit":
            os._exit(7)
        if how == "system exit":
            sys.exit(3)
        os.kill(os.getpid(), signal.SIGKILL)

    error = await failed_start(signals, workers=1, spoolers=1)
    assert (error.process, error.status, error.traceback) == ("spooler1", status, "")


async def test_a_long_error_in_any_script_arrives() -> None:
    """The end of the traceback, however long, and the error in one line."""
    signals = trisig.Signals()

    @signals.on_start()
    def broken_hook() -> None:
        raise LookupError("книга " * 100_000 + "the end")

    error = await failed_start(signals)
    assert error.traceback.rstrip().endswith("the end")
    assert str(error).endswith("the end")


async def test_a_group_of_errors_is_told_in_one_line() -> None:
    """When tasks of a start hook fail together, the message names the group; the traceback has all of them."""
    signals = trisig.Signals()

    @signals.on_start()
    async def broken_hook() -> None:
        async with trio.open_nursery() as nursery:
            for word in ("one", "two"):
                nursery.start_soon(fail, word)

    async def fail(word: str) -> None:
        raise LookupError(word)

    error = await failed_start(signals)
    assert "(2 sub-exceptions)" in str(error)
    assert all(f"LookupError: {word}" in error.traceback for word in ("one", "two"))
    assert "_worker.py" not in error.traceback


async def test_all_children_failing_at_once_is_one_error() -> None:
    """When every child fails the first one is reported, not a group."""
    signals = trisig.Signals()

    @signals.on_start()
    def broken_hook() -> None:
        raise LookupError("no such shelf")

    error = await failed_start(signals, workers=4)
    assert error.process.startswith("worker")


# The master is gone


PROGRAM = """
import json, os, sys, time
import trio, trisig

signals = trisig.Signals()

@signals.handler(1, target="mule")
def busy(signum):
    print("busy", flush=True)
    time.sleep(60)

@signals.service("worker2")
async def serve():
    await trio.sleep_forever()

def descendants(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        for child in open(f"/proc/{pid}/task/{task}/children").read().split():
            found += [int(child), *descendants(int(child))]
    return found

async def main():
    async with trisig.open_master(signals, workers=2, mules=1, spoolers=1):
        print(json.dumps(sorted(descendants(os.getpid()))), flush=True)
        await signals.send(1)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_no_orphan_is_left_when_the_master_is_killed() -> None:
    """A master killed with SIGKILL takes every process it made with it within a second, busy handlers included."""
    package = str(Path(trisig.__file__).parents[1])
    heard = b""
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-c", PROGRAM],
            check=False,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            capture_stdout=False,
            env={**os.environ, "PYTHONPATH": package},
        )
        program: trio.Process = await nursery.start(start)
        assert program.stdout is not None
        with trio.fail_after(PATIENCE):
            while b"busy" not in heard:
                heard += await program.stdout.receive_some()
        pids = json.loads(heard.splitlines()[0])
        program.kill()
        left = await gone(pids, 1)
        await program.stdout.aclose()
    assert len(pids) >= 5  # four children and what forks them
    assert left == []


async def test_orphans_fall_to_whom_they_fell_before() -> None:
    """The application is a subreaper while a master is open, and no longer than that."""
    assert not prctl.is_child_subreaper()
    async with trisig.open_master(trisig.Signals()):
        assert prctl.is_child_subreaper()
    assert not prctl.is_child_subreaper()


# From other threads


async def test_what_belongs_to_the_thread_of_the_master_is_refused_in_others() -> None:
    """Another thread of the master is told how to get into the right one, and nothing is half done."""
    signals = trisig.Signals()
    signals.register(1, "worker", print)
    async with trisig.open_master(signals, workers=1) as master:
        calls: list[tuple[Callable[..., object], Any]] = [
            (signals.register, (2, "worker", print)),
            (signals.unregister, (1,)),
            (master.cheap_nowait, (1,)),
            (master.wake_nowait, (1,)),
            (master.statistics, ()),
        ]
        for verb, arguments in calls:
            with pytest.raises(RuntimeError, match=r"write trio\.from_thread\.run_sync\(\w+\.\w+"):
                await trio.to_thread.run_sync(verb, *arguments)
        assert list(master.statistics().signals) == [1]
        await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(signals.unregister, 1))
        await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(master.cheap_nowait, 1))
        await eventually(lambda: master.statistics().processes["worker1"].state == "cheap")
        assert not signals.is_registered(1)
