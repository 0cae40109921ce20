"""Faults at every stage, one at a time: what each does, and what it does not.

Crash loops, shortages, hanging handlers, ends of the master. The storm and the sweeps kill at random and everywhere;
here each fault is made on purpose, and the answer to it is looked at.
"""

import errno
import fcntl
import gc
import json
import mmap
import os
import pty
import resource
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from kernel_view import children, descriptors, threads
from restarts import NO_PAUSE, restarting
from witness import PATIENCE, Counts, eventually, gone, pid_of, stopped, wait_in_vain, words

import trisig
from trisig._master.restart import RestartPolicy
from trisig._prefork import server as zygote_server
from trisig._prefork.handshake import report
from trisig._util.backoff import Backoff

ROOT = Path(__file__).parents[2]


def counting(executions: Counts, *signums: int, target: str = "worker") -> trisig.Signals:
    """An application whose handlers count."""
    signals = trisig.Signals()
    for signum in signums:
        signals.register(signum, target, executions.add)
    return signals


async def settled(master: trisig.Master, seconds: float = PATIENCE) -> trisig.MasterStatistics:
    """The statistics once nothing is pending."""

    def nothing_pending() -> trisig.MasterStatistics | None:
        now = master.statistics()
        return None if now.queued or now.in_flight else now

    return await eventually(nothing_pending, seconds)


def pid(master: trisig.Master, name: str = "worker1") -> int:
    """Of the process that fills a slot."""
    return pid_of(master.processes, name)


async def replaced(master: trisig.Master, old: int, name: str = "worker1") -> int:
    """The pid of the next process in a slot, once it is ready."""

    def another() -> int:  # not from the statistics, whose making would be most of the work
        keeper = master._engine.children.keepers[name]
        return keeper.pid if keeper.state == "ready" and keeper.pid != old else 0

    return await eventually(another)


def kill_hard(_signum: int = 0) -> None:
    """End this process as nothing can prevent."""
    os.kill(os.getpid(), signal.SIGKILL)


def messages(caplog: pytest.LogCaptureFixture) -> str:
    """What the master logged, a line each."""
    return "\n".join(record.getMessage() for record in caplog.records)


# Signals that kill


@pytest.mark.parametrize("target", ["worker1", "worker"])
async def test_a_signal_that_kills_three_times_is_given_up(target: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is dead-lettered with a log line, in the statistics and through the hook; its neighbours run once each."""
    executions, told = Counts(), list[trisig.DeadLetter]()
    signals = counting(executions, 1, 2, target=target)

    @signals.handler(66, target=target)
    def poison(signum: int) -> None:
        executions.add(signum)
        kill_hard()

    async with trisig.open_master(signals, workers=2, on_dead_letter=told.append) as master:
        for signum in (1, 66, 2, 66, 1):
            await signals.send(signum)
        end = await settled(master)
    assert (executions[1], executions[2], executions[66]) == (2, 1, 6)
    assert (end.accepted, end.done, end.dead_lettered, end.signals[66].dead_lettered) == (5, 3, 2, 2)
    name = "worker1" if target == "worker1" else "worker"
    assert told == [trisig.DeadLetter(signum=66, destination=name, attempts=3)] * 2
    assert messages(caplog).count("signal 66 ended its process 3 times; dead-lettered") == 2
    assert "2 signals were dead-lettered" in messages(caplog)


async def test_a_hook_that_fails_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What `on_dead_letter` raises harms nothing."""
    signals = trisig.Signals()
    signals.register(66, "worker", kill_hard)

    def hook(_letter: trisig.DeadLetter) -> None:
        raise LookupError("no such address")

    async with trisig.open_master(signals, max_attempts=1, on_dead_letter=hook) as master:
        await signals.send(66)
        await eventually(lambda: master.statistics().dead_lettered)
        await replaced(master, 0)
    assert "on_dead_letter failed for signal 66" in messages(caplog)


async def test_a_hook_must_be_callable() -> None:
    """What cannot be called is refused when the master is opened."""
    with pytest.raises(TypeError, match="on_dead_letter is a function"):
        async with trisig.open_master(trisig.Signals(), on_dead_letter="mail"):  # type: ignore[arg-type]  # the mistake
            pass


async def test_a_hook_that_could_not_be_called_is_refused() -> None:
    """One that is async, that yields, or that takes no letter, is refused when the master is opened."""

    async def awaited(_letter: trisig.DeadLetter) -> None: ...
    def yielding(_letter: trisig.DeadLetter) -> Iterator[None]:
        yield

    for hook, why in ((awaited, "called, not awaited"), (yielding, "yields"), (lambda: None, "must take one argument")):
        with pytest.raises(TypeError, match=f"on_dead_letter .* {why}"):
            async with trisig.open_master(trisig.Signals(), on_dead_letter=hook):  # type: ignore[arg-type]  # the mistake
                pass


# Crash loops


@pytest.fixture
def impatient() -> Iterator[None]:
    """Hundreds of deaths in a row: a master that neither slows down nor gives up."""
    with restarting(RestartPolicy(NO_PAUSE, tries=10**9)):
        yield


@pytest.fixture
def slightly_patient() -> Iterator[None]:
    """Short pauses, in which descriptors come back."""
    with restarting(RestartPolicy(Backoff(0.02, 30.0, steady=1.0))):
        yield


@pytest.fixture
def quick_to_give_up() -> Iterator[None]:
    """Pauses that are states, but no time."""
    with restarting(RestartPolicy(Backoff(0.001, 0.05, steady=1.0))):
        yield


@pytest.mark.usefixtures("quick_to_give_up")
async def test_a_child_that_keeps_ending_is_given_up_loudly(caplog: pytest.LogCaptureFixture) -> None:
    """A crash loop that no signal explains is visible in state and log, and ends the master with its name."""
    signals, fatal = trisig.Signals(), words()

    @signals.service("worker2")
    async def serve() -> None:
        await trio.sleep(0.05)  # it becomes ready first, or nearly always
        while not fatal[0]:  # noqa: ASYNC110  set by another process
            await trio.sleep(0.001)
        os._exit(7)

    states = set()
    with pytest.raises(trisig.ChildFailedError) as caught:
        async with trisig.open_master(signals, workers=2) as master:
            fatal[0] = 1
            while True:
                states.add(master.statistics().processes["worker2"].state)
                await trio.sleep(0.0005)
    assert (caught.value.process, caught.value.status) == ("worker2", 7)
    assert "worker2 exited as soon as it was ready (exit status 7)" in messages(caplog)
    assert "waiting" in states
    assert "worker2: failed 11 times in a row; next try in" in messages(caplog)


@contextmanager
def no_forks(monkeypatch: pytest.MonkeyPatch) -> Iterator[memoryview]:
    """While the word is not zero, the zygote's fork fails with EAGAIN; it counts the failures beside it."""
    fails, fork_child = words(), zygote_server._fork_child

    def fork(master: int, line: Any, birth: Any, body: Any) -> None:
        if fails[0]:
            fails[1] += 1
            report(birth, 0, errno.EAGAIN)
        else:
            fork_child(master, line, birth, body)

    monkeypatch.setattr(zygote_server, "_fork_child", fork)
    yield fails


async def test_fork_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """EAGAIN delays a respawn and loses nothing: what was queued runs when there is a process again."""
    executions = Counts()
    signals = counting(executions, 1)
    with no_forks(monkeypatch) as fails:
        async with trisig.open_master(signals) as master:
            fails[0] = 1
            old = pid(master)
            os.kill(old, signal.SIGKILL)
            await eventually(lambda: fails[1] >= 3)
            for _ in range(1000):
                signals.send_nowait(1)
            assert master.statistics().processes["worker1"].state in {"waiting", "starting"}
            fails[0] = 0
            await settled(master)
    assert executions[1] == 1000
    assert "worker1 failed to start: [Errno 11] Resource temporarily unavailable (it never ran)" in messages(caplog)


async def test_fork_that_never_works_fails_open_master(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that can make no child at all says so after a few tries, and leaves nothing."""
    with no_forks(monkeypatch) as fails:
        fails[0] = 1
        with pytest.raises(trisig.ChildFailedError, match="Resource temporarily unavailable"):
            async with trisig.open_master(trisig.Signals()):
                pytest.fail("opened")
    assert fails[1] == 5


@contextmanager
def descriptors_to_spare(count: int) -> Iterator[None]:
    """The process may open only so many more descriptors meanwhile."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    fillers = []
    while (fd := os.open(os.devnull, os.O_RDONLY)) < highest:
        fillers.append(fd)
    os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for filler in fillers:
            os.close(filler)


async def test_out_of_descriptors_while_a_master_opens() -> None:
    """With few descriptors to spare a master opens or does not, and keeps none of them."""
    failed = 0
    for spare in (0, 1, 2, 3, 4, 5, 8, 11, 40):
        before = set(descriptors())
        with descriptors_to_spare(spare):
            try:
                async with trisig.open_master(trisig.Signals(), workers=1):
                    pass
            except (OSError, trisig.ChildFailedError):
                failed += 1
        assert set(descriptors()) == before
    assert failed == 8


@pytest.mark.usefixtures("slightly_patient")
async def test_out_of_descriptors_wherever_it_strikes(caplog: pytest.LogCaptureFixture) -> None:
    """With 0, 1, 2 ... descriptors to spare a respawn fails or not; no child is unwatched, and nothing is lost."""
    executions = Counts()
    signals = counting(executions, 1)
    failing = 0

    def failed_or_done(failures: int, done: int) -> bool:
        return messages(caplog).count("Too many open files") > failures or master.statistics().done == done

    async with trisig.open_master(signals) as master:
        for spare in range(22):
            old, failures = pid(master), messages(caplog).count("Too many open files")
            with descriptors_to_spare(spare):
                os.kill(old, signal.SIGKILL)
                signals.send_nowait(1)
                await eventually(partial(failed_or_done, failures, spare + 1))
                failing += messages(caplog).count("Too many open files") > failures
            await replaced(master, old)
            await settled(master)
            assert len(children()) == 2  # the worker, and the zygote
    assert executions[1] == 22
    # The dead process gives back about half of what the next one takes.
    assert 3 < failing < 22


async def test_a_killed_zygote_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """The process that forks the children dies: nobody notices until the next respawn, which makes another one."""
    executions = Counts()
    signals = counting(executions, 1, target="workers")
    async with trisig.open_master(signals, workers=3) as master:
        zygote = master._engine.zygotes.pid
        os.kill(zygote, signal.SIGKILL)
        await signals.send(1)
        await settled(master)
        for name in ("worker1", "worker2", "worker3"):
            os.kill(pid(master, name), signal.SIGKILL)
        await signals.send(1)
        await settled(master)
        await eventually(lambda: all(p.state == "ready" for p in master.statistics().processes.values()))
        assert master._engine.zygotes.pid != zygote
    assert executions[1] == 6
    assert messages(caplog).count("the process that forks the children has died; making another") == 1


# Hanging handlers


async def test_a_plain_handler_that_hangs_is_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Its process is killed within the time and a little, the log names signal and time, and the next one runs."""
    executions = Counts()
    signals = counting(executions, 1, target="worker1")

    @signals.handler(9, target="worker1")
    def hang(signum: int) -> None:
        executions.add(signum)
        if executions[signum] == 1:
            time.sleep(60)

    async with trisig.open_master(signals, handler_timeout=0.3) as master:
        began = trio.current_time()
        for signum in (1, 9, 1):
            await signals.send(signum)
        end = await settled(master)
        took = trio.current_time() - began
    assert (executions[1], executions[9], end.done, end.redelivered > 0) == (2, 2, 3, True)
    assert took >= 0.3
    assert "over the handler timeout; killing it; running: 9" in messages(caplog)


async def test_an_async_handler_that_hangs_is_ended_and_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """A killed handler is an unfinished start: at the third it is dead-lettered."""
    executions = Counts()
    signals = counting(executions, 1, target="worker1")

    @signals.handler(9, target="worker1")
    async def hang(signum: int) -> None:
        executions.add(signum)
        await trio.sleep_forever()

    async with trisig.open_master(signals, handler_timeout=0.2) as master:
        await signals.send(9)
        await signals.send(1)
        end = await settled(master)
    assert (executions[9], executions[1], end.dead_lettered, end.done) == (3, 1, 1, 1)
    assert messages(caplog).count("killing it; running: 9") == 3


async def test_a_handler_within_its_time_lives() -> None:
    """Many handlers in a row may take longer than the timeout together, plain or async."""
    executions = Counts()
    signals = trisig.Signals()

    @signals.handler(1)
    def work(signum: int) -> None:
        time.sleep(0.1)
        executions.add(signum)

    @signals.handler(2)
    async def wait(signum: int) -> None:
        await trio.sleep(0.1)
        executions.add(signum)

    # A timeout that leaves a process on a busy machine, which may lose a second, its time.
    async with trisig.open_master(signals, handler_timeout=1.5) as master:
        for _ in range(10):
            await signals.send(1)
            await signals.send(2)
        end = await settled(master)
    assert (executions[1], executions[2], end.redelivered) == (10, 10, 0)


async def test_a_stopped_child_counts_as_hanging(caplog: pytest.LogCaptureFixture) -> None:
    """A process that holds signals and is stopped is killed, and its signals run in the next one."""
    executions = Counts()
    signals = counting(executions, 1, target="worker1")
    async with trisig.open_master(signals, handler_timeout=0.3) as master:
        old = pid(master)
        with stopped(old):
            for _ in range(100):
                await signals.send(1)
            await replaced(master, old)
        await settled(master)
    assert executions[1] == 100
    assert "over the handler timeout; killing it; running: none, the process is stopped" in messages(caplog)


async def test_a_stopped_child_with_nothing_to_do_is_left_alone() -> None:
    """Without signals nobody is hanging, however long."""
    signals = counting(Counts(), 1, target="worker1")
    async with trisig.open_master(signals, workers=2, handler_timeout=0.1) as master:
        with stopped(pid(master)):
            await wait_in_vain(0.4)
        assert master.statistics().processes["worker1"].respawns == 0


async def test_a_master_that_is_late_now_and_then_still_ends_a_handler_that_hangs() -> None:
    """Time that the master loses itself makes the wait longer by as much, and not endless."""
    signals, executions = trisig.Signals(), words()

    @signals.handler(9, target="worker1")
    def hang(signum: int) -> None:
        executions[signum] += 1
        if executions[signum] == 1:
            time.sleep(60)

    async def lose_time() -> None:
        while True:
            time.sleep(0.08)  # noqa: ASYNC251  that is what is tested
            await trio.sleep(0.2)

    async with trisig.open_master(signals, handler_timeout=0.5) as master, trio.open_nursery() as nursery:
        nursery.start_soon(lose_time)
        began = trio.current_time()
        await signals.send(9)
        await eventually(lambda: master.statistics().done)
        assert trio.current_time() - began >= 0.5
        nursery.cancel_scope.cancel()
    assert executions[9] == 2


async def test_a_process_that_was_stopped_before_is_judged_from_when_it_has_something_to_do() -> None:
    """What was taken from a stopped process of a pool and run elsewhere is not held against it later."""
    signals = trisig.Signals()
    signals.register(1, "worker", lambda signum: time.sleep(0.01))
    signals.register(2, "worker1", lambda signum: None)
    async with trisig.open_master(signals, workers=2, handler_timeout=1.5) as master:
        with stopped(pid(master)):
            for _ in range(20):
                await signals.send(1)
            await eventually(lambda: master.statistics().done == 20)
            await trio.sleep(1.5)
            await signals.send(2)
            await trio.sleep(0.2)  # longer ago than the timeout that it was given the first one, not the second one
        await eventually(lambda: master.statistics().done == 21)
        assert master.statistics().processes["worker1"].respawns == 0


STOPPED_TREE = """
import logging, mmap, os, sys, time, trio, trisig
logging.basicConfig(level="INFO", format="%(message)s")
signals, began = trisig.Signals(), mmap.mmap(-1, 2)

@signals.handler(1, target="worker1")
async def slow(signum):
    began[0] = 1
    while not os.path.exists(sys.argv[1]):
        await trio.sleep(0.01)
    os.write(1, b"done\\n")

@signals.handler(2, target="worker2")
def plain(signum):
    began[1] = 1
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    os.write(1, b"done\\n")

async def main():
    async with trisig.open_master(signals, workers=2, handler_timeout=2.5) as master:
        await signals.send(1)
        await signals.send(2)
        while began[:] != b"\\1\\1":
            await trio.sleep(0.001)
        print(*(process.pid for process in master.processes), flush=True)
        while master.statistics().in_flight:
            await trio.sleep(0.01)
        print("respawns", sum(p.respawns for p in master.statistics().processes.values()), flush=True)

trio.run(main)
"""


@asynccontextmanager
async def program(source: str, *args: str, **options: Any) -> AsyncIterator[trio.Process]:
    """A program of its own; killed if it has not ended by itself."""
    options.setdefault("stdout", subprocess.PIPE)
    command = [sys.executable, "-c", source, *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, command, check=False, env=environment, **options)
        process: trio.Process = await nursery.start(start)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    await stream.aclose()


class Lines:
    """What a program prints, line by line."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self._stream = process.stdout
        self._buffer = b""

    async def next(self) -> str:
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._buffer:
                more = await self._stream.receive_some()
                if not more:
                    raise EOFError(self._buffer.decode())
                self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    async def rest(self) -> list[str]:
        found = []
        with suppress(EOFError):
            while True:
                found.append(await self.next())
        return found


async def test_when_the_whole_tree_was_stopped_nobody_is_killed(tmp_path: Path) -> None:
    """Time that the master was stopped too, as in a suspended machine, is not held against a handler."""
    async with program(STOPPED_TREE, str(tmp_path / "go")) as process:
        lines = Lines(process)
        pids = [int(word) for word in (await lines.next()).split()]
        for number in (*pids[1:], pids[0]):
            os.kill(number, signal.SIGSTOP)
        await trio.sleep(3.0)
        for number in (pids[0], *pids[1:]):
            os.kill(number, signal.SIGCONT)
        (tmp_path / "go").touch()
        assert await lines.rest() == ["done", "done", "respawns 0"]


# The end


async def test_what_handlers_raise_during_the_shutdown_is_delivered() -> None:
    """A chain of signals, each raised by the handler of the one before, comes to its end within the grace."""
    executions = words()
    for _ in range(3):
        signals = trisig.Signals()
        executions[1] = 0

        @signals.handler(1, target="worker1")
        def chain(signum: int, signals: trisig.Signals = signals) -> None:
            executions[signum] += 1
            if executions[signum] < 1000:
                signals.send_nowait(signum)

        async with trisig.open_master(signals, grace=30) as master:
            await signals.send(1)
        assert executions[1] == master.statistics().done == 1000


async def test_what_threads_raise_at_the_very_end_is_accounted_for() -> None:
    """Until a thread is told that there is no master, each raise that returns is accepted."""
    for _ in range(4):
        signals, raised = counting(Counts(), 1), list[int]()

        def raise_on(signals: trisig.Signals = signals, raised: list[int] = raised) -> None:
            with suppress(trisig.NoMasterError):
                while True:
                    signals.send_nowait(1)
                    raised.append(1)

        threads = [threading.Thread(target=raise_on) for _ in range(2)]
        async with trisig.open_master(signals, grace=0.05) as master:
            for thread in threads:
                thread.start()
            await eventually(lambda: master.statistics().accepted > 100)
        for thread in threads:
            thread.join()
        end = master.statistics()
        assert end.accepted == end.done + end.queued + end.in_flight == len(raised)


@pytest.mark.parametrize("way", ["shutdown", "cheap"])
async def test_what_the_master_ends_itself_is_blamed_on_nobody(way: str) -> None:
    """A handler that is cut off because its process was told to leave is put back, and no attempt is counted."""
    signals, executions = trisig.Signals(), words()

    @signals.handler(1, target="worker1")
    async def slow(signum: int) -> None:
        executions[signum] += 1
        await trio.sleep_forever()

    async with trisig.open_master(signals, max_attempts=1, grace=0.1) as master:
        await signals.send(1)
        await eventually(lambda: executions[1] == 1)
        if way == "cheap":
            await master.cheap(1)
            assert master.statistics().queued == 1
            await master.wake(1)
            await eventually(lambda: executions[1] == 2)
    end = master.statistics()
    assert (end.accepted, end.queued, end.dead_lettered) == (1, 1, 0)


@pytest.mark.parametrize("victim", ["the zygote", "nobody"])
async def test_a_zygote_that_makes_no_child_holds_up_nothing(victim: str) -> None:
    """Stopped while it is to make a child, it does not keep the master from ending within the grace."""
    signals = counting(Counts(), 1)
    async with trisig.open_master(signals, grace=1) as master:
        zygote = master._engine.zygotes.pid
        if victim == "the zygote":
            os.kill(zygote, signal.SIGSTOP)
        os.kill(pid(master), signal.SIGKILL)
        await trio.sleep(0.1)
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    assert not exists(zygote)


async def test_a_zygote_that_makes_no_child_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One that does not answer for a while is killed, and the next one makes the child."""
    signals = counting(executions := Counts(), 1)
    async with trisig.open_master(signals) as master:
        old, zygote = pid(master), master._engine.zygotes._first
        fork = zygote.fork

        def fork_another(*, private_fds: Iterable[int]) -> None:
            monkeypatch.setattr(zygote, "_spawn_timeout", PATIENCE)
            fork(private_fds=private_fds)

        monkeypatch.setattr(zygote, "_spawn_timeout", 0.2)
        monkeypatch.setattr(zygote, "fork", fork_another)
        os.kill(zygote.pid, signal.SIGSTOP)
        os.kill(old, signal.SIGKILL)
        await signals.send(1)
        await settled(master)
    assert executions[1] == 1
    assert "the process that forks the children has died; making another" in messages(caplog)


QUEUE = """
import json, logging, mmap, os, sys, time, trio, trisig
logging.basicConfig(level="INFO", format="%(message)s")
seconds, count, grace = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
executed = memoryview(mmap.mmap(-1, 4096)).cast("Q")
signals = trisig.Signals()

@signals.handler(1, target="worker1")
def work(signum):
    time.sleep(seconds)
    executed[0] += 1
    if executed[0] == 1:
        os.write(1, b"began\\n")

@signals.rb_timer(0.05, target="worker2", signum=2, iterations=1)
def fill(signum):
    for _ in range(count):
        signals.send_nowait(1)
    os.write(1, b"queued %d\\n" % os.getpid())  # in one piece, as another process writes there, too

status = trisig.run(signals, workers=2, grace=grace)
print(json.dumps({"status": status, "executed": executed[0]}), flush=True)
"""


async def both_are_said(lines: Lines) -> None:
    """The signals are queued, and the first of them has been handled: in whichever order."""
    assert {(await lines.next()).split()[0] for _ in range(2)} == {"queued", "began"}


async def test_sigterm_with_a_thousand_queued_delivers_them() -> None:
    """What is queued when SIGTERM comes is delivered within the grace, and the exit status is 0."""
    async with program(QUEUE, "0.001", "1000", "20", stderr=subprocess.PIPE) as process:
        lines = Lines(process)
        await both_are_said(lines)
        process.terminate()
        assert json.loads(await lines.next()) == {"status": 0, "executed": 1000}
        assert process.stderr is not None
        said = b"".join([chunk async for chunk in process.stderr]).decode()
    assert process.returncode == 0
    assert "undelivered" not in said


async def test_what_the_grace_does_not_suffice_for_is_counted_exactly() -> None:
    """A handler that is interrupted counts as undelivered, what was handled does not: the log line is exact."""
    async with program(QUEUE, "0.01", "1000", "0.5", stderr=subprocess.PIPE) as process:
        lines = Lines(process)
        await both_are_said(lines)
        process.terminate()
        executed = json.loads(await lines.next())["executed"]
        assert process.stderr is not None
        said = b"".join([chunk async for chunk in process.stderr]).decode()
    assert 0 < executed < 1000
    # One handler may have had its effect and no time to say so.
    assert any(f"stopped with {1000 - done} signals undelivered" in said for done in (executed, executed - 1)), said


async def test_ctrl_c_twice_on_a_terminal_stops_at_once() -> None:
    """The first Ctrl-C delivers what is queued, the second one ends everything, and nothing is left behind."""
    leader, follower = pty.openpty()
    try:
        async with program(
            QUEUE, "0.05", "1000", "60", stdin=follower, stdout=follower, stderr=follower, preexec_fn=_own_terminal
        ):
            os.close(follower)
            said = b""
            said += await _read_until(leader, b"queued")
            children = await trio.to_thread.run_sync(_descendants, os.getpid())
            began = trio.current_time()
            os.write(leader, b"\x03")
            said += await _read_until(leader, b"send it again to stop at once")
            await trio.sleep(1.1)  # within a second it is taken for the same one
            os.write(leader, b"\x03")
            said += await _read_until(leader, b'"status": 0')
            took = trio.current_time() - began
            left = await gone(children, 2.0)
    finally:
        os.close(leader)
    assert left == []
    assert took < PATIENCE  # the queue holds work for 50 s
    assert b"SIGINT again: stopping at once" in said
    assert b"signals undelivered" in said


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


async def _read_until(fd: int, what: bytes) -> bytes:
    os.set_blocking(fd, False)
    found = b""
    with trio.fail_after(PATIENCE):
        while what not in found:
            await trio.lowlevel.wait_readable(fd)
            with suppress(BlockingIOError):
                found += os.read(fd, 65_536)
    return found


def _descendants(parent: int) -> list[int]:
    found = []
    with suppress(FileNotFoundError):  # it has just ended
        for task in Path(f"/proc/{parent}/task").iterdir():
            with suppress(FileNotFoundError):  # a thread that has
                for child in (task / "children").read_text().split():
                    found += [int(child), *_descendants(int(child))]
    return found


async def test_a_killed_master_takes_stopped_and_busy_children_along() -> None:
    """SIGKILL of the master: within a second its tree is gone, a child that is stopped or busy included."""
    async with program(QUEUE, "60", "10", "60", stderr=subprocess.DEVNULL) as process:
        lines = Lines(process)
        other = int((await lines.next()).split()[1])
        pids = _descendants(process.pid)
        os.kill(other, signal.SIGSTOP)
        process.kill()
        assert await gone(pids, 1.0) == []
        await process.wait()
    for left in pids:  # those that ended before the master had quite ended are this process's zombies only now
        with suppress(ChildProcessError):
            os.waitpid(left, os.WNOHANG)  # noqa: ASYNC222  it does not wait
    assert len(pids) >= 3


# What children leave behind


def exists(number: int) -> bool:
    """Whether there is such a process, zombies included."""
    return Path(f"/proc/{number}").exists()


async def test_what_a_dead_child_left_behind_is_reaped(tmp_path: Path) -> None:
    """Processes that a handler started outlive it, and become no zombies when they end, nor do theirs."""
    pids = words()
    signals = trisig.Signals()
    end_shell, end_sleeper = tmp_path / "shell", tmp_path / "sleeper"
    os.mkfifo(end_shell)
    os.mkfifo(end_sleeper)

    @signals.handler(1, target="worker1")
    def leave(_signum: int) -> None:
        # A shell with a child of its own, which outlives it. Each ends when its FIFO was opened and closed.
        script = f"cat {end_sleeper} > /dev/null & echo $!; read _ < {end_shell}"
        shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
        assert shell.stdout is not None
        pids[0], pids[1] = shell.pid, int(shell.stdout.readline())
        kill_hard()

    async with trisig.open_master(signals, max_attempts=1) as master:
        old = pid(master)
        await signals.send(1)
        await replaced(master, old)
        shell, sleeper = int(pids[0]), int(pids[1])
        assert exists(shell)
        assert exists(sleeper)
        end_shell.write_bytes(b"")
        await eventually(lambda: not exists(shell))
        assert exists(sleeper)
        end_sleeper.write_bytes(b"")
        await eventually(lambda: not exists(sleeper))


async def test_a_daemon_that_a_dead_child_left_behind_is_reaped() -> None:
    """A program in a session of its own becomes no zombie either when it ends after the child that started it."""
    signals, pids = trisig.Signals(), words()

    @signals.handler(1, target="worker1")
    def leave(_signum: int) -> None:
        pids[0] = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
        kill_hard()

    async with trisig.open_master(signals, max_attempts=1) as master:
        old = pid(master)
        await signals.send(1)
        await replaced(master, old)
        os.kill(int(pids[0]), signal.SIGTERM)
        await eventually(lambda: not exists(int(pids[0])))


async def test_subprocesses_of_the_application_are_never_touched() -> None:
    """What the user's code starts in the master keeps its exit status, while children die and are reaped."""
    signals = trisig.Signals()
    signals.register(1, "worker", kill_hard)
    statuses: dict[str, int] = {}
    async with trisig.open_master(signals, workers=2, max_attempts=2) as master, trio.open_nursery() as nursery:

        async def run(name: str, status: int, **options: Any) -> None:
            ended = await trio.run_process(["sh", "-c", f"sleep 0.3; exit {status}"], check=False, **options)
            statuses[name] = ended.returncode

        nursery.start_soon(run, "trio", 3)
        nursery.start_soon(partial(run, "its own session", 4, start_new_session=True))
        nursery.start_soon(partial(run, "its own group", 5, process_group=0))
        plain = subprocess.Popen(["sh", "-c", "exit 6"])  # noqa: ASYNC220  that is what is tested
        for _ in range(5):
            await signals.send(1)
        await eventually(lambda: master.statistics().dead_lettered == 5)
        await trio.sleep(0.4)
        statuses["subprocess"] = plain.wait()
    assert statuses == {"trio": 3, "its own session": 4, "its own group": 5, "subprocess": 6}


# Logging


NOISY = """
import logging, os, sys, time, trisig
signals = trisig.Signals()
log = logging.getLogger("app")

@signals.handler(1, target="worker1")
def noisy(signum):
    log.warning("x" * 1000)
    raise LookupError("y" * 1000)

@signals.handler(2, target="worker2")
def deadly(signum):
    os._exit(3)   # the master logs it

@signals.handler(3, target="worker1")
def last(signum):
    os.write(1, b"done\\n")

@signals.service("worker3")
async def raise_all():
    for _ in range(200):  # of which twenty fill a pipe
        await signals.send(1)
    await signals.send(2)
    await signals.send(3)
    import trio
    await trio.sleep_forever()
"""


COMMAND = "import sys; from trisig._cli import main; main(['run', sys.argv[1], '--workers', '3', '--grace', '20'])"
PROGRAM = """
import logging, sys
sys.path.insert(0, sys.argv[1].rpartition("/")[0])
from noisy import signals
import trisig
if len(sys.argv) > 2:
    logging.basicConfig(level="INFO")
sys.exit(trisig.run(signals, workers=3, grace=20))
"""


@pytest.mark.parametrize("state", ["full", "closed"])
@pytest.mark.parametrize(("how", "args"), [(COMMAND, ()), (PROGRAM, ()), (PROGRAM, ("configured",))])
async def test_a_standard_error_that_nobody_reads_stops_no_signal(
    state: str, how: str, args: tuple[str, ...], tmp_path: Path
) -> None:
    """With standard error full, or its reader gone, lines are lost and signals are not, in master and children.

    So it is with the command, and in a program of one's own that has configured logging or has not.
    """
    (tmp_path / "noisy.py").write_text(NOISY)
    reader, writer = os.pipe()
    try:
        if state == "closed":
            os.close(reader)
        async with program(how, str(tmp_path / "noisy.py"), *args, stderr=writer) as process:
            assert await Lines(process).next() == "done"
            process.terminate()
            with trio.fail_after(PATIENCE):
                assert await process.wait() == 0
    finally:
        os.close(writer)
        if state == "full":
            os.close(reader)


# Time and numbers


def zombies() -> int:
    """Children of this process that ended and were not reaped."""
    return sum(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" for pid in children())


def resident() -> int:
    """Bytes of this process that are its own."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


async def respawn(master: trisig.Master, count: int) -> None:
    """Kill a worker so many times."""
    for _ in range(count):
        old = pid(master)
        os.kill(old, signal.SIGKILL)
        await replaced(master, old)


@pytest.mark.sweep
@pytest.mark.usefixtures("impatient")
async def test_hundreds_of_respawns_leave_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Descriptors, threads and zombies do not grow with respawns, and memory is flat."""
    caplog.set_level("CRITICAL", "trisig")
    count = int(os.environ.get("TRISIG_RESPAWNS", "100"))
    async with trisig.open_master(trisig.Signals()) as master:
        await respawn(master, 50)
        gc.collect()
        before = len(descriptors()), len(threads()), zombies(), resident()
        await respawn(master, count)
        gc.collect()
        after = len(descriptors()), len(threads()), zombies(), resident()
        assert master.statistics().processes["worker1"].respawns == count + 50
    assert after[:3] == before[:3]
    assert after[3] - before[3] < 2 * 2**20


async def test_what_waits_for_a_stopped_worker_costs_a_byte_each() -> None:
    """Many signals for a stopped worker take little memory in the master, and all run when it goes on."""
    count = int(os.environ.get("TRISIG_QUEUED", "200000"))
    executions, go = Counts(), words()
    signals = counting(executions, 1, 2, target="worker1")

    @signals.service("mule1")
    async def raise_half() -> None:
        while not go[0]:  # noqa: ASYNC110  another process says so
            await trio.sleep(0.001)
        for _ in range(count // 2):
            try:
                signals.send_nowait(2)
            except trio.WouldBlock:
                await signals.send(2)
        await trio.sleep_forever()

    async with trisig.open_master(signals, mules=1) as master:
        with stopped(pid(master)):
            before = resident()
            go[0] = 1
            await eventually(lambda: master.statistics().accepted > count // 8, 600)
            for number in range(count // 2):
                signals.send_nowait(1)
                if number % 10_000 == 0:
                    await trio.lowlevel.checkpoint()
            await eventually(lambda: master.statistics().accepted == count, 600)
            grown = resident() - before
            assert master.statistics().processes["worker1"].done == 0
        await settled(master, 600)
    assert (executions[1], executions[2]) == (count // 2, count // 2)
    assert grown < 4 * 2**20 + 2.8 * count  # 31 MiB for ten million


async def test_a_handler_that_raises_for_its_own_process_cannot_lock_up() -> None:
    """With the queue full, `send_nowait` in a plain handler raises `WouldBlock`; everything that was accepted runs."""
    executions = words()
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def breed(signum: int) -> None:
        executions[signum] += 1
        for _ in range(3):
            try:
                if executions[3] < 20_000:
                    signals.send_nowait(signum)
                    executions[3] += 1
            except trio.WouldBlock:
                executions[2] += 1

    async with trisig.open_master(signals, max_queued=1000) as master:
        sent = 0
        while executions[3] < 20_000:  # the last ones may all find the queue full, and breed nothing more
            await signals.send(1)
            sent += 1
            await trio.sleep(0.001)
        # Nothing may be pending for a moment, while what was bred last is still on its way to the master.
        await eventually(lambda: master.statistics().accepted == executions[3] + sent)
        end = await settled(master)
    assert executions[1] == end.done == end.accepted == executions[3] + sent
    assert executions[2] > 0
