"""Handlers at work: plain and async, one at a time or several, failing, and taking too long."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from witness import Journal, Trail, eventually, logging_to, pid_of, stopped, until_equal, wait_in_vain

import trisig

# One at a time, or several


async def test_plain_and_async_handlers_get_their_number(tmp_path: Path) -> None:
    """A plain and an async handler are called with the signal number, each once a signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    def plain(signum: int) -> None:
        journal.note("plain", signum, type(signum).__name__)

    @signals.handler(2)
    async def patient(signum: int) -> None:
        await trio.sleep(0.01)
        journal.note("async", signum, type(signum).__name__)

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await signals.send(2)
    assert journal.read() == [("worker1", "plain", 1, "int"), ("worker1", "async", 2, "int")]
    assert master.statistics().done == 2


async def overlap(trail: Trail, cores: int, signums: bytes) -> tuple[bytes, bytes]:
    """What two workers leave behind that note the begin (the number) and the end (100 more) of async handlers."""
    signals = trisig.Signals()

    @signals.handler(1, target="workers")
    async def patient(signum: int) -> None:
        trail.mark(signum)
        await trio.sleep(0.005)
        trail.mark(signum + 100)

    @signals.handler(2, target="workers")
    def plain(signum: int) -> None:
        trail.mark(signum)
        trail.mark(signum + 100)

    async with trisig.open_master(signals, workers=2, cores=cores):
        for signum in signums:
            await signals.send(signum)
    return trail.of("worker1"), trail.of("worker2")


async def test_one_handler_at_a_time() -> None:
    """Handlers of one process never overlap, async ones neither, and keep the order of the signals."""
    signums = b"\1\2\1\1\2" * 5
    ran = await overlap(Trail(1000), 1, signums)
    assert ran[0] == ran[1] == b"".join(bytes((signum, signum + 100)) for signum in signums)


async def test_several_cores_run_as_many_async_handlers_at_a_time() -> None:
    """With `cores=3`, three async handlers of one process overlap, and never a fourth."""
    for row in await overlap(Trail(1000), 3, b"\1" * 30):
        running, most = 0, 0
        for mark in row:
            running += 1 if mark < 100 else -1
            most = max(most, running)
        assert (most, running, len(row)) == (3, 0, 60)


async def test_handlers_on_several_cores_finish_in_any_order(tmp_path: Path) -> None:
    """With `cores=2` a later handler may end before an earlier one, and both are accounted for."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    late = trio.Event()

    @signals.handler(1)
    async def first(signum: int) -> None:
        await late.wait()
        journal.note(signum)

    @signals.handler(2)
    async def second(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        journal.note(signum)
        late.set()

    async with trisig.open_master(signals, cores=2) as master:
        await signals.send(1)
        await signals.send(2)
    assert [signum for _, signum in journal.read()] == [2, 1]
    assert master.statistics().done == 2


async def test_thousands_of_async_handlers() -> None:
    """5,000 async handlers on four cores, more than any window holds, all run to their end."""
    trail = Trail(20_000)
    signals = trisig.Signals()

    @signals.handler(1, target="mule")
    async def patient(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        trail.mark(signum)

    async with trisig.open_master(signals, mules=1, cores=4, grace=60) as master:
        for _ in range(5000):
            signals.send_nowait(1)
    assert trail.of("mule1") == b"\1" * 5000
    assert master.statistics().done == 5000


async def test_a_partial_and_a_method_and_a_callable_object_are_handlers(tmp_path: Path) -> None:
    """Whatever can be called with a number handles a signal; what it returns is awaited if that is possible."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    class Callable:
        async def __call__(self, signum: int) -> None:
            await trio.lowlevel.checkpoint()
            journal.note("object", signum)

        def method(self, signum: int) -> int:
            journal.note("method", signum)
            return signum  # a value is nobody's business

    async def named(word: str, signum: int) -> None:
        await trio.lowlevel.checkpoint()
        journal.note(word, signum)

    signals.register(1, "worker", Callable())
    signals.register(2, "worker", Callable().method)
    signals.register(3, "worker", lambda signum: named("lambda", signum))
    async with trisig.open_master(signals) as master:
        for signum in (1, 2, 3):
            await signals.send(signum)
    assert [(word, signum) for _, word, signum in journal.read()] == [("object", 1), ("method", 2), ("lambda", 3)]
    assert master.statistics().failed == 0


# What raises


@pytest.mark.parametrize("kind", ["plain", "async", "async after a while"])
async def test_what_a_handler_raises_is_logged_and_counted(kind: str, tmp_path: Path) -> None:
    """The log has signal number, process name and traceback; `failed` counts it; the process goes on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def broken_inside(signum: int) -> None:
        raise LookupError(f"no shelf {signum}")

    async def later(signum: int) -> None:
        if kind != "async":
            await trio.sleep(0.01)
        broken_inside(signum)

    signals.register(77, "mule1", broken_inside if kind == "plain" else later)
    signals.register(2, "mule1", lambda signum: None)
    with logging_to(journal):
        async with trisig.open_master(signals, mules=1) as master:
            pid = pid_of(master.processes, "mule1")
            await signals.send(77)
            await signals.send(2)
            [(process, level, message, traceback)] = await journal.until(1)
            await eventually(lambda: master.statistics().done == 2)
            now = master.statistics()
            assert pid_of(master.processes, "mule1") == pid
    assert (process, level) == ("mule1", "ERROR")
    assert "mule1" in message
    assert "77" in message
    assert "in broken_inside" in traceback
    assert traceback.rstrip().endswith("LookupError: no shelf 77")
    assert (now.done, now.failed) == (2, 1)
    assert (now.processes["mule1"].done, now.processes["mule1"].failed) == (2, 1)
    assert (now.signals[77].failed, now.signals[2].failed) == (1, 0)


async def test_a_group_of_errors_and_a_cancellation_of_its_own_are_failures_too(tmp_path: Path) -> None:
    """A nursery that fails inside a handler is one failure; a scope that the handler cancels itself is none."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("inside")

    @signals.handler(1)
    async def group(signum: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail)
            nursery.start_soon(trio.sleep_forever)

    @signals.handler(2)
    async def cancelled(signum: int) -> None:
        with trio.move_on_after(0.01):
            await trio.sleep_forever()

    with logging_to(journal):
        async with trisig.open_master(signals) as master:
            await signals.send(1)
            await signals.send(2)
    assert (master.statistics().done, master.statistics().failed) == (2, 1)
    assert master.statistics().processes["worker1"].respawns == 0
    assert [note for note in journal.read() if "LookupError: inside" in note[3]]


async def test_many_failures_do_no_harm(tmp_path: Path) -> None:
    """A handler that always raises fails 200 times in one and the same process."""
    signals = trisig.Signals()

    @signals.handler(1)
    def broken(signum: int) -> None:
        raise LookupError

    with logging_to(Journal(tmp_path)):
        async with trisig.open_master(signals) as master:
            for _ in range(200):
                signals.send_nowait(1)
            await eventually(lambda: master.statistics().failed == 200)
            assert master.statistics().processes["worker1"].respawns == 0


@pytest.mark.parametrize("how", ["exit", "kill", "system exit"])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_handler_that_ends_its_process_is_tried_again_then_given_up(
    how: str, kind: str, tmp_path: Path
) -> None:
    """A signal whose handler ended its process three times is dead-lettered with a log line; its neighbours run."""
    trail, journal = Trail(100), Journal(tmp_path)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)

    def end(signum: int) -> None:
        journal.note("tries")
        if how == "exit":
            os._exit(3)
        if how == "system exit":
            raise SystemExit(3)
        os.kill(os.getpid(), signal.SIGKILL)

    async def end_later(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        end(signum)

    signals.register(66, "mule", end if kind == "plain" else end_later)
    with logging_to(journal):
        async with trisig.open_master(signals, mules=1, grace=60) as master:
            for signum in b"\1\1" + bytes((66,)) + b"\1\1\1":
                signals.send_nowait(signum)
            await eventually(lambda: master.statistics().dead_lettered == 1)
    end_of_it = master.statistics()
    notes = journal.read()
    assert [note for note in notes if note[1] == "tries"] == [("mule1", "tries")] * 3
    assert any(note[0] == "master" and note[1] == "ERROR" and "66" in note[2] and "mule1" in note[2] for note in notes)
    told = [note for note in notes if note[0] == "mule1" and "signal 66 ends the process: SystemExit(3)" in str(note)]
    assert len(told) == (3 if how == "system exit" else 0)
    assert trail.of("mule1") == b"\1" * 5
    assert (end_of_it.done, end_of_it.dead_lettered, end_of_it.signals[66].dead_lettered) == (5, 1, 1)
    assert end_of_it.processes["mule1"].respawns == 3


# What takes too long


@pytest.mark.parametrize("how", ["plain", "async", "stopped"])
async def test_a_handler_over_its_time_gets_its_process_killed(how: str, tmp_path: Path) -> None:
    """After `handler_timeout` the process is killed and replaced, the log says which signal ran, others go on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    first = Trail(10)

    @signals.handler(5, target="mule1")
    def hang(signum: int) -> Any:
        first.mark(signum)
        if first.total() > 1:
            return None
        if how == "async":
            return trio.sleep_forever()  # noqa: ASYNC105  for whoever calls this to await
        if how == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        return time.sleep(60)

    signals.register(2, "mule1", lambda signum: journal.note("next", signum))
    with logging_to(journal):
        async with trisig.open_master(signals, workers=2, mules=1, handler_timeout=0.4) as master:
            pids = {process.name: process.pid for process in master.processes}
            started = trio.current_time()
            await signals.send(5)
            await signals.send(2)
            await eventually(lambda: master.statistics().done == 2)
            took = trio.current_time() - started
            assert {process.name for process in master.processes if process.pid != pids[process.name]} == {"mule1"}
    assert took > 0.35
    # More than twice, where a busy machine has held up the second run, or the next handler, for as long.
    assert first.of("mule1").count(5) == first.total() >= 2
    notes = journal.read()
    assert ("mule1", "next", 2) in notes
    assert any(note[0] == "master" and "mule1" in note[2] and "5" in note[2] for note in notes if note[1] == "ERROR")


async def test_handlers_within_their_time_are_left_alone() -> None:
    """Many short handlers, which together take longer than the timeout, and idle processes are not killed."""
    trail = Trail(1000)
    signals = trisig.Signals()

    @signals.handler(1, target="workers")
    def short(signum: int) -> None:
        time.sleep(0.02)
        trail.mark(signum)

    @signals.handler(2, target="workers")
    async def patient(signum: int) -> None:
        await trio.sleep(0.02)
        trail.mark(signum)

    async with trisig.open_master(signals, workers=2, mules=1, handler_timeout=1.5, grace=60) as master:
        for _ in range(40):
            await signals.send(1)
            await signals.send(2)
        await until_equal(lambda: master.statistics().done, 160)
    assert master.statistics().done == 160
    assert all(process.respawns == 0 for process in master.statistics().processes.values())


async def test_a_stopped_idle_process_is_not_timed() -> None:
    """A stopped process that holds no signal is no handler over its time."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, handler_timeout=0.2) as master:
        pid = pid_of(master.processes, "worker1")
        with stopped(pid):
            await wait_in_vain(0.5)
        assert pid_of(master.processes, "worker1") == pid


async def test_a_handler_that_hangs_each_time_is_given_up() -> None:
    """A signal whose handler is over its time `max_attempts` times is dead-lettered."""
    signals = trisig.Signals()

    @signals.handler(5)
    async def hang(signum: int) -> None:
        await trio.sleep_forever()

    async with trisig.open_master(signals, handler_timeout=0.1, max_attempts=2) as master:
        await signals.send(5)
        await eventually(lambda: master.statistics().dead_lettered == 1)
        assert master.statistics().processes["worker1"].respawns >= 1
