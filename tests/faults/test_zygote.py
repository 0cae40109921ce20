"""A zygote makes children of this process, and leaves none that nobody knows."""

import atexit
import contextvars
import errno
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from kernel_view import children, descriptors
from witness import eventually

from trisig._linux import prctl
from trisig._prefork import handshake
from trisig._prefork.server import MAX_FDS, MAX_JOB_BYTES
from trisig._prefork.zygote import Zygote

Become = Callable[[str, list[int]], None]
ROOT = Path(__file__).parents[2]
# A generous bound on what takes milliseconds; where a promise names a time, the test does.
SOON = 10.0
TAG: contextvars.ContextVar[str] = contextvars.ContextVar("TAG")


def leave(_job: str, _fds: list[int]) -> None:
    """A child with nothing to do."""


def stay(_job: str, _fds: list[int]) -> None:
    """A child that works until it is killed; a Unix signal that it takes does not end it."""
    while True:
        signal.pause()


@asynccontextmanager
async def open_zygote(become: Become) -> AsyncIterator[Zygote]:
    """A zygote that is forked, and closed at the end."""
    zygote = Zygote(become)
    zygote.fork()
    try:
        yield zygote
    finally:
        await zygote.aclose()


async def reap(pidfd: int) -> int:
    """The exit status of a child, negative for the signal that killed it."""
    try:
        with trio.fail_after(SOON):
            await trio.lowlevel.wait_readable(pidfd)
        end = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222  does not wait
    finally:
        os.close(pidfd)
    assert end is not None
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


async def reap_killed(pidfd: int) -> None:
    """Kill and reap a child, which has lived until now."""
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert await reap(pidfd) == -signal.SIGKILL


async def ask(zygote: Zygote, job: str = "") -> str:
    """What a child writes to the descriptor that it is given, until it ends."""
    reader, writer = os.pipe()
    try:
        try:
            _, pidfd = await zygote.spawn(job, [writer])
        finally:
            os.close(writer)
        await reap(pidfd)
        return os.read(reader, 65_536).decode()
    finally:
        os.close(reader)


def answering(answer: Callable[[], object]) -> Become:
    """A child that writes what ``answer`` returns there, as JSON."""

    def become(_job: str, fds: list[int]) -> None:
        os.write(fds[0], json.dumps(answer()).encode())

    return become


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def read(path: str) -> str:
    """A file of /proc, which is never waited for."""
    return Path(path).read_text()


def count_fds(pid: int | str = "self") -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  a lazy listing would find itself open


def run_program(source: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of its own, with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# What a child is.


async def test_closures_of_the_master_exist_in_the_child() -> None:
    """A child sees the objects that the master had at the fork, and the job it is given."""
    greeting = ["a list", "in a closure"]

    def become(job: str, fds: list[int]) -> None:
        os.write(fds[0], f"{job}: {greeting}".encode())

    async with open_zygote(become) as zygote:
        greeting.append("changed after the fork")
        assert await ask(zygote, "läuft") == "läuft: ['a list', 'in a closure']"


async def test_the_child_is_a_child_of_the_master() -> None:
    """The parent of the child is the process that asked, not the zygote."""
    async with open_zygote(answering(os.getppid)) as zygote:
        assert json.loads(await ask(zygote)) == os.getpid() != zygote.pid


async def test_trio_runs_in_the_child_of_a_running_trio() -> None:
    """A child has a clean main thread, in which ``trio.run`` works with sockets, threads and signals."""

    async def work() -> list[object]:
        left, right = trio.socket.socketpair()
        with left, right, trio.open_signal_receiver(signal.SIGUSR1) as signals:
            os.kill(os.getpid(), signal.SIGUSR1)
            received = [number async for number in _first(signals)]
            await left.send(b"x")
            data = await right.recv(1)
        name = await trio.to_thread.run_sync(lambda: threading.main_thread().name)
        return [received, data.decode(), name, threading.current_thread() is threading.main_thread()]

    async with open_zygote(answering(functools.partial(trio.run, work))) as zygote:
        assert json.loads(await ask(zygote)) == [[signal.SIGUSR1], "x", "MainThread", True]


async def _first(numbers: AsyncIterator[int]) -> AsyncIterator[int]:
    async for number in numbers:
        yield number
        return


def test_a_zygote_forked_before_trio_runs_serves_two_runs() -> None:
    """fork() needs no trio loop, and its zygote outlives one."""
    zygote = Zygote(answering(os.getppid))
    zygote.fork()
    assert json.loads(trio.run(ask, zygote)) == os.getpid()
    assert json.loads(trio.run(ask, zygote)) == os.getpid()
    trio.run(zygote.aclose)


async def test_fork_beside_other_threads_warns_nobody_and_keeps_the_filters() -> None:
    """With threads around, fork() warns of nothing, and the children's filters are the master's."""
    await trio.to_thread.run_sync(lambda: None)
    # Recorded, because an interpreter cannot raise this one from within a fork, whatever the filters say.
    with warnings.catch_warnings(record=True, action="always") as caught:
        filters = [str(entry) for entry in warnings.filters]
        async with open_zygote(answering(lambda: [str(entry) for entry in warnings.filters])) as zygote:
            assert json.loads(await ask(zygote)) == filters == [str(entry) for entry in warnings.filters]
    assert caught == []


async def test_context_variables_reach_the_child() -> None:
    """A child has the context of the caller of fork()."""
    token = TAG.set("of the master")
    try:
        async with open_zygote(answering(TAG.get)) as zygote:
            assert json.loads(await ask(zygote)) == "of the master"
    finally:
        TAG.reset(token)


async def test_zygote_and_children_have_process_groups_of_their_own() -> None:
    """A terminal's Ctrl-C reaches the master alone, and what a child leaves behind is found by its group."""
    async with open_zygote(stay) as zygote:
        assert os.getpgid(zygote.pid) == zygote.pid
        pid, pidfd = await zygote.spawn("", [])
        assert os.getpgid(pid) == pid
        await reap_killed(pidfd)


async def test_the_zygote_is_named() -> None:
    """``ps`` tells a zygote from its master."""
    async with open_zygote(leave) as zygote:
        assert read(f"/proc/{zygote.pid}/comm") == "trisig:zygote\n"


def _ignored_by_a_program() -> int:
    told = subprocess.check_output(["grep", "SigIgn", "/proc/self/status"], text=True)
    return int(told.split()[1], 16)


def _signal_state() -> list[object]:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(number)  # which ends nobody
    return [
        not _ignored_by_a_program() & (1 << signal.SIGINT - 1 | 1 << signal.SIGTERM - 1),
        signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
        signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN,
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        signal.set_wakeup_fd(-1),
    ]


async def test_signal_handlers_masks_and_wakeup_fd_stay_in_the_master() -> None:
    """A child does nothing of what the master does at signals, and its programs do not ignore what it leaves alone."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGUSR1):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGUSR2})
        try:
            async with open_zygote(answering(_signal_state)) as zygote:
                state = read(f"/proc/{zygote.pid}/status")
                assert json.loads(await ask(zygote)) == [True, True, True, [], -1]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    masks = dict(line.split(":\t", 1) for line in state.splitlines() if line.startswith("Sig"))
    assert int(masks["SigBlk"], 16) == 0
    assert int(masks["SigCgt"], 16) >> (signal.SIGINT - 1) & 1


async def test_a_child_holds_what_the_master_had_and_what_it_is_given() -> None:
    """Of all the sockets by which a child comes to be, none is left in it."""
    before = descriptors()
    async with open_zygote(answering(descriptors)) as zygote:
        assert await ask(zygote)
        held = {int(fd): file for fd, file in json.loads(await ask(zygote)).items()}
    assert {file.partition(":")[0] for file in held.values() if file not in before.values()} == {"pipe"}  # of `ask`


async def test_private_descriptors_are_not_inherited_and_others_are() -> None:
    """EOF on a socket which fork() was told of does not wait for the children; a listener is shared by them."""
    left, right = socket.socketpair()
    shared, far = socket.socketpair()

    def become(_job: str, _fds: list[int]) -> None:
        shared.send(b"inherited")
        stay(_job, _fds)

    zygote = Zygote(become)
    with left, right, shared, far:
        zygote.fork(private_fds=[left.fileno()])
        _, pidfd = await zygote.spawn("", [])
        left.close()
        right.settimeout(SOON)
        assert right.recv(1) == b""
        far.settimeout(SOON)
        assert far.recv(100) == b"inherited"
        await reap_killed(pidfd)
    await zygote.aclose()


async def test_descriptors_arrive_in_order_and_close_on_exec() -> None:
    """The child gets its descriptors in the order given, like any that Python opens."""

    def become(_job: str, fds: list[int]) -> None:
        for number, fd in enumerate(fds):
            os.write(fd, f"{number} {os.get_inheritable(fd)}".encode())

    pipes = [os.pipe() for _ in range(20)]
    async with open_zygote(become) as zygote:
        _, pidfd = await zygote.spawn("", [writer for _, writer in pipes])
        assert await reap(pidfd) == 0
    answers = [os.read(reader, 100).decode() for reader, _ in pipes]
    for fd in (fd for pair in pipes for fd in pair):
        os.close(fd)
    assert answers == [f"{number} False" for number in range(20)]


async def test_eof_follows_the_death_of_the_one_child_that_has_the_socket() -> None:
    """Neither the zygote nor a younger sibling keeps a copy of what was passed to one child."""
    async with open_zygote(stay) as zygote:
        near, far = socket.socketpair()
        with near:
            with far:
                _, first = await zygote.spawn("", [far.fileno()])
            _, second = await zygote.spawn("", [])
            await reap_killed(first)
            near.settimeout(SOON)
            assert near.recv(1) == b""
            await reap_killed(second)


# How a child leaves.


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("end", "status", "stderr"),
    [
        pytest.param(lambda: None, 0, "", id="returns"),
        pytest.param(lambda: _raise(SystemExit()), 0, "", id="bare SystemExit"),
        pytest.param(lambda: sys.exit(7), 7, "", id="status"),
        pytest.param(lambda: sys.exit(-1), 255, "", id="negative status"),
        pytest.param(lambda: sys.exit("so it says"), 1, "so it says\n", id="message"),
        pytest.param(lambda: _raise(ValueError("boom")), 1, "ValueError: boom\n", id="exception"),
        pytest.param(lambda: _raise(KeyboardInterrupt()), 1, "KeyboardInterrupt\n", id="KeyboardInterrupt"),
        pytest.param(lambda: sys.stdout.close(), 0, "", id="stdout closed"),  # noqa: PLW0108  the one at that time
        pytest.param(lambda: setattr(sys, "stderr", None), 0, "", id="no stderr"),
    ],
)
async def test_exit_status(
    end: Callable[[], None], status: int, stderr: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A child leaves with the status and the words on standard error that a Python program has."""
    async with open_zygote(lambda _job, _fds: end()) as zygote:
        _, pidfd = await zygote.spawn("", [])
        assert await reap(pidfd) == status
    written = capfd.readouterr().err
    assert written.endswith(stderr)
    assert ("Traceback" in written) == ("Error" in stderr or "Interrupt" in stderr)


async def test_no_atexit_handler_and_no_finally_of_the_master_runs_in_a_child() -> None:
    """A child ends below its own work: what the master would do at its end is the master's."""
    reader, writer = os.pipe()
    handler = functools.partial(os.write, writer, b"atexit")
    atexit.register(handler)
    me = os.getpid()
    try:
        async with open_zygote(leave) as zygote:
            _, pidfd = await zygote.spawn("", [])
            assert await reap(pidfd) == 0
    finally:
        if os.getpid() != me:
            os.write(writer, b"finally")
        atexit.unregister(handler)
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_buffered_output_appears_once() -> None:
    """What the master had printed is not printed again by its children, and their own last words are not lost."""
    program = """
import os, trio
from trisig._prefork.zygote import Zygote
async def main():
    print("master", end=";")
    zygote = Zygote(lambda job, fds: print("child", end=";"))
    zygote.fork()
    for _ in range(2):
        _, pidfd = await zygote.spawn("", [])
        await trio.lowlevel.wait_readable(pidfd)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    await zygote.aclose()
trio.run(main)
"""
    done = run_program(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "master;child;child;", "")


# Many of them.


def waits_for_requests(pid: int) -> bool:
    """Whether a zygote has nothing more to do: a child may be quicker than the zygote that has just forked it."""
    state = read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
    return state == "S" and not read(f"/proc/{pid}/task/{pid}/children")


async def test_many_children_leave_nothing() -> None:
    """Descriptors stay flat in the master and in the zygote, and neither has a zombie."""
    async with open_zygote(leave) as zygote:
        await reap((await zygote.spawn("", []))[1])
        await eventually(lambda: waits_for_requests(zygote.pid) or None)
        before = count_fds(), count_fds(zygote.pid)
        for _ in range(30):
            _, pidfd = await zygote.spawn("", [pidfd_of_nothing := os.memfd_create("x")])
            os.close(pidfd_of_nothing)
            assert await reap(pidfd) == 0
        await eventually(lambda: waits_for_requests(zygote.pid) or None)
        assert (count_fds(), count_fds(zygote.pid)) == before
        assert children() == {zygote.pid}


async def test_tasks_may_spawn_at_once() -> None:
    """Every one of many concurrent calls gets the child of its own job."""
    answers = {}

    def become(job: str, fds: list[int]) -> None:
        os.write(fds[0], f"{job} {os.getpid()}".encode())

    async def one(zygote: Zygote, job: str) -> None:
        answers[job] = await ask(zygote, job)

    async with open_zygote(become) as zygote, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, zygote, str(number))
    assert [answers[job].split()[0] for job in answers] == list(answers)
    assert len({answer.split()[1] for answer in answers.values()}) == 20


async def test_two_zygotes_at_a_time() -> None:
    """The younger one holds copies of the older one's sockets, and neither its end nor its birth keeps the other."""
    older, younger = Zygote(answering(lambda: "older")), Zygote(answering(lambda: "younger"))
    older.fork()
    younger.fork()
    assert json.loads(await ask(older)) == "older"
    with trio.fail_after(SOON):
        await older.aclose(grace=SOON * 2)
    assert json.loads(await ask(younger)) == "younger"
    await younger.aclose()


async def test_a_zygote_is_forked_again_after_aclose() -> None:
    """The second life of a zygote begins with what the master has then."""
    state = ["first"]
    zygote = Zygote(answering(lambda: state[0]))
    for state[0] in ("second", "third"):
        zygote.fork()
        assert json.loads(await ask(zygote)) == state[0]
        await zygote.aclose()


# Misuse.


async def test_fork_twice_is_refused() -> None:
    """A zygote which runs cannot be forked."""
    async with open_zygote(leave) as zygote:
        with pytest.raises(RuntimeError, match="aclose"):
            zygote.fork()


async def test_spawn_without_a_zygote_is_refused() -> None:
    """Before fork() and after aclose() there is nothing to ask."""
    zygote = Zygote(leave)
    with pytest.raises(trio.ClosedResourceError):
        await zygote.spawn("", [])
    zygote.fork()
    await zygote.aclose()
    await zygote.aclose()
    zygote.kill()
    with pytest.raises(trio.ClosedResourceError):
        await zygote.spawn("", [])
    with pytest.raises(trio.ClosedResourceError):
        _ = zygote.pidfd


async def test_limits_of_a_request() -> None:
    """The longest job and the most descriptors get through, one more is an error before anything is made."""
    async with open_zygote(lambda job, fds: sys.exit(len(fds) if len(job) == MAX_JOB_BYTES else 1)) as zygote:
        _, pidfd = await zygote.spawn("x" * MAX_JOB_BYTES, [2] * MAX_FDS)
        assert await reap(pidfd) == MAX_FDS
        with pytest.raises(ValueError, match="too long"):
            await zygote.spawn("x" * (MAX_JOB_BYTES + 1), [])
        with pytest.raises(ValueError, match="too many"):
            await zygote.spawn("", [2] * (MAX_FDS + 1))
        with pytest.raises(OSError, match="Bad file descriptor"):
            await zygote.spawn("", [1_000_000])
        assert children() == {zygote.pid}


def test_fork_with_sigchld_ignored_is_refused() -> None:
    """Children could not be waited for, so there are none."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(RuntimeError, match="SIGCHLD"):
            Zygote(leave).fork()
    finally:
        signal.signal(signal.SIGCHLD, before)


# Deaths.


def test_nothing_outlives_a_killed_master() -> None:
    """The zygote and a worker are gone within a second of the master's SIGKILL."""
    program = """
import os, signal, trio
from trisig._prefork.zygote import Zygote
def stay(job, fds):
    while True:
        signal.pause()

async def main():
    zygote = Zygote(stay)
    zygote.fork()
    pid, pidfd = await zygote.spawn("", [])
    print(zygote.pid, pid, flush=True)
    await trio.sleep_forever()
trio.run(main)
"""
    prctl.set_child_subreaper()  # orphans are this process's to reap
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as master:
        assert master.stdout is not None
        pidfds = [os.pidfd_open(int(pid)) for pid in master.stdout.readline().split()]
        assert len(pidfds) == 2
        master.kill()
        give_up = time.monotonic() + 1.0
        while len(select.select(pidfds, [], [], 0.05)[0]) < 2 and time.monotonic() < give_up:
            pass
        ended = select.select(pidfds, [], [], 0)[0]
        for pidfd in pidfds:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
    assert ended == pidfds


def test_the_thread_of_the_fork_may_end() -> None:
    """The zygote and its children depend on the process of the master, not on the thread that forked."""
    zygote = Zygote(stay)
    thread = threading.Thread(target=zygote.fork)
    thread.start()
    thread.join()
    while str(thread.native_id) in os.listdir("/proc/self/task"):  # noqa: PTH208  join is earlier than the kernel
        os.sched_yield()

    async def main() -> None:
        _, pidfd = await zygote.spawn("", [])
        assert not select.select([zygote.pidfd, pidfd], [], [], 0.1)[0]
        await reap_killed(pidfd)
        await zygote.aclose()

    trio.run(main)


async def expect_broken(call: Callable[[], Awaitable[object]]) -> None:
    """The call fails, soon, because a process has died."""
    with trio.fail_after(SOON), pytest.raises(trio.BrokenResourceError):
        await call()


async def test_a_killed_zygote_fails_later_spawns_and_no_child() -> None:
    """Its pidfd tells, spawn raises, the children live on, and a new fork serves."""
    async with open_zygote(stay) as zygote:
        _, pidfd = await zygote.spawn("", [])
        os.kill(zygote.pid, signal.SIGKILL)
        with trio.fail_after(SOON):
            await trio.lowlevel.wait_readable(zygote.pidfd)
        await expect_broken(functools.partial(zygote.spawn, "", []))
        await zygote.aclose()
        zygote.fork()
        _, second = await zygote.spawn("", [])
        assert not select.select([pidfd], [], [], 0.05)[0]
        await reap_killed(pidfd)
        await reap_killed(second)


async def test_the_pidfd_may_be_watched_while_others_spawn_and_close() -> None:
    """A task that waits for the death of the zygote is in nobody's way, and aclose wakes it."""

    async def watch() -> None:
        await trio.lowlevel.wait_readable(zygote.pidfd)

    async with open_zygote(leave) as zygote, trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.testing.wait_all_tasks_blocked()
        assert await reap((await zygote.spawn("", []))[1]) == 0
        await zygote.aclose()


async def test_a_zygote_killed_before_it_reads_fails_the_spawn() -> None:
    """A request that nobody will read is not waited for; neither is one behind it."""
    async with open_zygote(leave) as zygote:
        os.kill(zygote.pid, signal.SIGSTOP)
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(expect_broken, functools.partial(zygote.spawn, "", []))
            await trio.testing.wait_all_tasks_blocked()
            zygote.kill()


@contextmanager
def fork_holding(monkeypatch: pytest.MonkeyPatch, zygote: Zygote, owner: Any, name: str) -> Iterator[tuple[int, int]]:
    """Fork a zygote; whichever process on the way to its children calls a function, stops before the call.

    Yields a descriptor which tells the pid of the one that stopped, and one on which a byte lets it go on.
    """
    pipes = [os.pipe() for _ in range(3)]
    (forked, say_forked), (stopped, say_stopped), (holding, release) = pipes
    function, master = getattr(owner, name), os.getpid()

    def hold(*args: Any) -> Any:
        is_of_a_child = os.getpid() != master and select.select([forked], [], [], 0)[0]
        if is_of_a_child:
            os.write(say_stopped, str(os.getpid()).encode())
            os.read(holding, 1)
        return function(*args)

    monkeypatch.setattr(owner, name, hold)
    try:
        zygote.fork()
        os.write(say_forked, b"x")
        yield stopped, release
    finally:
        for fd in (fd for pipe in pipes for fd in pipe):
            os.close(fd)


async def told(fd: int) -> int:
    """The pid of the process that stopped."""
    with trio.fail_after(SOON):
        await trio.lowlevel.wait_readable(fd)
    return int(os.read(fd, 100))


# Where a process between the zygote and its child may stand when the zygote dies.
PHASES = [
    pytest.param(os, "pidfd_open", id="intermediate, before its fork"),
    pytest.param(handshake, "_wait_until_dead", id="child, before it is the master's"),
    pytest.param(prctl, "set_parent_death_signal", id="child, before it is tied to the master"),
    pytest.param(handshake, "report", id="child, before its report"),
]


@pytest.mark.parametrize(("owner", "name"), PHASES)
async def test_a_zygote_killed_during_a_spawn_leaves_nobody(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is on the way when the zygote dies, spawn raises at once and aclose ends and reaps all of them."""
    zygote = Zygote(stay)
    with fork_holding(monkeypatch, zygote, owner, name) as (stopped, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_broken, functools.partial(zygote.spawn, "", []))
            pid = await told(stopped)
            os.kill(zygote.pid, signal.SIGKILL)
        assert not is_gone(pid)
        await zygote.aclose()
        assert is_gone(pid)
        assert children() == set()


@pytest.mark.parametrize(("owner", "name"), PHASES)
async def test_a_child_that_was_never_handed_over_does_not_begin(
    owner: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When spawn has failed, the child on its way leaves by itself, without its work being called."""
    reader, writer = os.pipe()

    def become(_job: str, _fds: list[int]) -> None:
        os.write(writer, b"worked")
        stay(_job, _fds)

    zygote = Zygote(become)
    with fork_holding(monkeypatch, zygote, owner, name) as (stopped, release):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_broken, functools.partial(zygote.spawn, "", []))
            await told(stopped)
            os.kill(zygote.pid, signal.SIGKILL)
        os.write(release, b"x")
        os.close(writer)
        # EOF: the last process that could have written is gone, and nobody has killed it.
        with trio.fail_after(SOON):
            await trio.lowlevel.wait_readable(reader)
        assert os.read(reader, 100) == b""
        await zygote.aclose()
    os.close(reader)


@pytest.mark.parametrize(("owner", "name"), PHASES)
async def test_a_held_spawn_ends_well(owner: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the two above: the same hold without a kill makes a child that works."""
    zygote = Zygote(lambda _job, _fds: sys.exit(9))
    with fork_holding(monkeypatch, zygote, owner, name) as (stopped, release):
        pidfds: list[int] = []

        async def spawn() -> None:
            pidfds.append((await zygote.spawn("", []))[1])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(spawn)
            await told(stopped)
            os.write(release, b"x")
        assert await reap(pidfds[0]) == 9
        await zygote.aclose()


async def test_a_zygote_killed_after_the_report_has_made_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that has reported is the master's, whatever becomes of the zygote then."""
    async with open_zygote(stay) as zygote:
        pidfd_open = os.pidfd_open

        def kill_first(pid: int) -> int:
            os.kill(zygote.pid, signal.SIGKILL)
            select.select([zygote.pidfd], [], [])
            return pidfd_open(pid)

        monkeypatch.setattr(os, "pidfd_open", kill_first)
        pid, pidfd = await zygote.spawn("", [])
        monkeypatch.undo()
        await zygote.aclose()
        assert children() == {pid}
        await reap_killed(pidfd)


async def test_a_child_killed_before_its_report_breaks_the_spawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was killed is reaped with the zygote, whose end is not waited for to tell."""
    zygote = Zygote(stay)
    with fork_holding(monkeypatch, zygote, handshake, "report") as (stopped, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_broken, functools.partial(zygote.spawn, "", []))
            os.kill(await told(stopped), signal.SIGKILL)
        await zygote.aclose()
    assert children() == set()


# The end of the zygote.


async def test_aclose_kills_a_zygote_that_does_not_leave() -> None:
    """A stopped zygote is given its grace and no more."""
    zygote = Zygote(leave)
    zygote.fork()
    os.kill(zygote.pid, signal.SIGSTOP)
    with trio.fail_after(SOON):
        await zygote.aclose(grace=0.05)
    assert children() == set()


async def test_a_cancelled_aclose_closes_all_the_same() -> None:
    """Cancellation takes the grace, not the reaping."""
    zygote = Zygote(leave)
    zygote.fork()
    os.kill(zygote.pid, signal.SIGSTOP)
    with trio.CancelScope() as scope:
        scope.cancel()
        await zygote.aclose(grace=60)
    assert scope.cancelled_caught
    assert children() == set()


async def test_aclose_ends_a_spawn_under_way() -> None:
    """A caller that waits for a child learns that there is none; one that waits its turn, that the zygote is closed."""
    zygote = Zygote(leave)
    zygote.fork()
    os.kill(zygote.pid, signal.SIGSTOP)
    outcomes: list[type] = []

    async def spawn() -> None:
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)) as caught:
            await zygote.spawn("", [])
        outcomes.append(caught.type)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(spawn)
        nursery.start_soon(spawn)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            nursery.start_soon(functools.partial(zygote.aclose, grace=0.05))
    assert outcomes[0] is trio.BrokenResourceError
    assert children() == set()


# Cancellation.


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the given step of the tasks in it."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.scope, self.left = scope, step

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self.scope.cancel()


async def spawn_cancelled_at(zygote: Zygote, step: int) -> tuple[int, int] | None:
    """The child of a spawn cancelled before one of its steps, if it returned one."""
    child = None
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            child = await zygote.spawn("", [])
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return child


async def strays_of_the_sweep() -> int:
    """Cancel a spawn before each of its steps; the number of children that nobody was told of."""
    strays = 0
    for step in range(1, 15):
        async with open_zygote(stay) as zygote:
            before = count_fds()
            child = await spawn_cancelled_at(zygote, step)
            if child is None:  # requests are served in turn: after the next one, one that should not be there has come
                child = await zygote.spawn("", [])
            await reap_killed(child[1])
            strays += children() != {zygote.pid}
            assert count_fds() == before
    return strays


async def test_spawn_cancelled_at_each_step_loses_no_child() -> None:
    """Either the caller gets the child or none is made."""
    assert await strays_of_the_sweep() == 0


async def test_the_sweep_finds_a_spawn_that_is_not_shielded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the one above: without the shield, there are children that nobody was told of."""
    scope = trio.CancelScope
    monkeypatch.setattr(trio, "CancelScope", lambda *, shield=False, **rest: scope(**rest))  # noqa: PLW0108  dropped
    assert await strays_of_the_sweep() > 0


# A full system.


@pytest.mark.skipif(os.getuid() != 0, reason="a user of its own, to count processes of, needs root")
def test_out_of_processes() -> None:
    """EAGAIN of each of the two forks is raised by spawn, leaves no process, and the next one works."""
    program = """
import errno, os, resource, signal, sys, trio
from pathlib import Path
from trisig._prefork import zygote as zygote_module
from trisig._prefork.zygote import Zygote

def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

def forget_threads():
    while len(os.listdir("/proc/self/task")) > 1:  # join is earlier than the kernel, which counts it as a process
        os.sched_yield()

most = resource.getrlimit(resource.RLIMIT_NPROC)[1]

def limit(pid, processes):
    resource.prlimit(pid, resource.RLIMIT_NPROC, (processes, most))

async def attempt(zygote):
    try:
        _, pidfd = await zygote.spawn("", [])
    except OSError as exc:
        return errno.errorcode[exc.errno]
    await trio.lowlevel.wait_readable(pidfd)
    status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status
    os.close(pidfd)
    return status

async def main():
    zygote = Zygote(lambda job, fds: sys.exit(5))
    zygote.fork()
    me = os.getpid()
    for processes in (2, 3, 4, 2, 4):  # the master and the zygote are two
        forget_threads()
        limit(zygote.pid, processes)
        print(await attempt(zygote), children(me) == [str(zygote.pid)])
        with trio.fail_after(5):
            while children(zygote.pid):  # an intermediate which reported that its fork failed, and is just ending
                await trio.sleep(0.001)
    await zygote.aclose()
    for processes in (1, 2, 4):  # too few for the forking thread, for the intermediate, and enough
        forget_threads()
        limit(0, processes)
        try:
            zygote.fork()
        except OSError as exc:
            print(errno.errorcode[exc.errno], children(me))
        else:
            print(await attempt(zygote))
            await zygote.aclose()

os.setgid(int(sys.argv[1])), os.setuid(int(sys.argv[1]))
before = len(os.listdir("/proc/self/fd"))
trio.run(main)
assert before == len(os.listdir("/proc/self/fd"))
"""
    uid = 2_000_000 + os.getpid()  # nobody else's, so that the processes of the user are those of the test
    done = run_program(program, str(uid))
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:5] == [f"{result} True" for result in ("EAGAIN", "EAGAIN", "5", "EAGAIN", "5")]
    assert lines[5:] == ["EAGAIN []", "EAGAIN []", "5"]


def test_out_of_descriptors() -> None:
    """With any number of free descriptors, a spawn works or raises EMFILE before there is a child."""
    program = """
import errno, os, resource, signal, sys, trio, trio.testing
from pathlib import Path
from trisig._prefork.zygote import Zygote

def fill():
    taken = []
    while True:
        try:
            taken.append(os.dup(0))
        except OSError:
            return taken

async def attempt(zygote, free):
    taken = fill()
    for _ in range(free):
        os.close(taken.pop())
    result = None
    try:
        _, pidfd = await zygote.spawn("", [])
    except OSError as exc:
        result = errno.errorcode[exc.errno]
    finally:
        for fd in taken:
            os.close(fd)
    if result is None:
        await trio.lowlevel.wait_readable(pidfd)
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status
        os.close(pidfd)
    me = os.getpid()
    assert Path(f"/proc/self/task/{me}/children").read_text().split() == [str(zygote.pid)]
    return result

async def ask(zygote, count):
    try:
        _, pidfd = await zygote.spawn("", [0] * count)
    except OSError as exc:
        print(count, errno.errorcode[exc.errno])
    else:
        await trio.lowlevel.wait_readable(pidfd)
        print(count, os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status)
        os.close(pidfd)

async def main():
    zygote = Zygote(lambda job, fds: sys.exit(5))
    zygote.fork()
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    for free in range(6):
        print(await attempt(zygote, free))
    os.kill(zygote.pid, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, zygote, 0)
        await trio.testing.wait_all_tasks_blocked()
        taken = fill()  # while the request is under way, so that only what it reserved is left
        os.kill(zygote.pid, signal.SIGCONT)
    for fd in taken:
        os.close(fd)
    await zygote.aclose()
    taken = fill()
    while True:
        try:
            zygote.fork()
        except OSError as exc:
            assert exc.errno == errno.EMFILE, exc
            os.close(taken.pop())
        else:
            break
    for fd in taken[:8]:
        os.close(fd)
    for count in (0, 30, 0, 8, 0):  # the zygote is as full as the master was
        await ask(zygote, count)
    await zygote.aclose()

trio.run(main)
"""
    done = run_program(program)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:6] == ["EMFILE", "EMFILE", "EMFILE", "5", "5", "5"]
    assert lines[6:] == ["0 5", "0 5", "30 EMFILE", "0 5", "8 EMFILE", "0 5"]


async def test_a_child_that_is_not_adopted_leaves_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child which has reported begins on the master's word, and not on the end of their conversation."""
    reader, writer = os.pipe()

    def become(_job: str, _fds: list[int]) -> None:
        os.write(writer, b"worked")

    def turn_away(self: handshake.SpawnHandshake, _pid: int) -> int:
        self.close()
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async with open_zygote(become) as zygote:
        monkeypatch.setattr(handshake.SpawnHandshake, "take_over", turn_away)
        with trio.fail_after(SOON), pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
            await zygote.spawn("", [])
        assert children() == {zygote.pid}
    os.close(writer)
    assert os.read(reader, 100) == b""
    os.close(reader)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
async def test_a_child_without_a_pidfd_is_ended(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the kernel gives no pidfd for a child that exists, spawn kills and reaps it, and raises."""
    me, pidfd_open = os.getpid(), os.pidfd_open

    def refuse(pid: int) -> int:
        if os.getpid() == me:
            raise OSError(error, os.strerror(error))
        return pidfd_open(pid)

    async with open_zygote(stay) as zygote:
        monkeypatch.setattr(os, "pidfd_open", refuse)
        with pytest.raises(OSError, match=os.strerror(error)) as caught:
            await zygote.spawn("", [])
        assert caught.value.errno == error
        assert children() == {zygote.pid}
        monkeypatch.undo()
        _, pidfd = await zygote.spawn("", [])
        await reap_killed(pidfd)


def test_an_intermediate_that_cannot_fork_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second fork of the zygote's own birth fails, fork() raises its error and leaves no process."""
    me, fork = os.getpid(), os.fork

    def fork_in_master_only() -> int:
        if os.getpid() != me:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    monkeypatch.setattr(os, "fork", fork_in_master_only)
    zygote = Zygote(leave)
    with pytest.raises(BlockingIOError):
        zygote.fork()
    assert children() == set()


def test_a_zygote_without_a_pidfd_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of the zygote itself: fork() raises and leaves no process."""
    me, pidfd_open = os.getpid(), os.pidfd_open

    def refuse(pid: int) -> int:
        if os.getpid() == me:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return pidfd_open(pid)

    monkeypatch.setattr(os, "pidfd_open", refuse)
    zygote = Zygote(leave)
    with pytest.raises(OSError, match="Too many open files"):
        zygote.fork()
    assert children() == set()
