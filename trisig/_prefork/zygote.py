"""The prefork helper: a clean process that forks every child of the master.

A handler which is registered before the master opens has to exist in every child, closures included, so children are
forked and not started anew. The memory of a master that runs is not a state that a later respawn should begin with. So
one process, the zygote, is forked when the master opens, never runs trio, and forks each child on request. `handshake`
describes how a child comes to the master.

Master and zygote share one socket. A request is a job and descriptors, the first of them the socket of the handshake,
over which the child itself answers, so the zygote says something only when there is no child. EOF ends the zygote,
and the kernel kills it when the master dies.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
from typing import TYPE_CHECKING, NamedTuple

import trio

from trisig._linux import prctl
from trisig._util.ki_protection import ki_protected

from .fork import fork_in_own_group
from .handshake import SpawnHandshake
from .open_files import FileRefs, flush_open_files
from .reap import has_children, reap_killed, reap_now
from .server import MAX_FDS, MAX_JOB_BYTES, become_zygote, replace_by_devnull

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from .interpreter import Begun

_SPAWN_TIMEOUT = 10.0  # seconds


@ki_protected
class Zygote:
    """Forked once when a master opens; forks every child from then on.

    The children are children of the process that calls `spawn`, which becomes a child subreaper. They have a process
    group of their own, do nothing at SIGINT and SIGTERM, have no other Python signal handlers and an empty signal mask,
    and the kernel kills them when this process ends, whatever ends it.

    Args:
        become: runs in each new child with the job and the descriptors of `spawn`. The child leaves when it returns:
            with status 0, with the code of a `SystemExit`, or with 1 and a traceback for another exception. Before
            that it does what the interpreter does at its end, for what the child itself has opened or registered.
            None for a zygote that is only ever begun, and not forked.
        spawn_timeout: seconds after which a zygote that makes no child, because it is stopped for example, is killed.
    """

    def __init__(
        self, become: Callable[[str, list[int]], None] | None = None, *, spawn_timeout: float = _SPAWN_TIMEOUT
    ) -> None:
        self._become = become
        self._spawn_timeout = spawn_timeout
        self._lock = trio.Lock()
        self._process: _Process | None = None
        self._inherits = False  # whether orphans fall to this process anyway

    @property
    def is_there(self) -> bool:
        """Whether it has been made, and not closed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id of the zygote."""
        return self._running().pid

    @property
    def pidfd(self) -> int:
        """Readable once the zygote is dead; `aclose` closes it."""
        return self._running().pidfd

    def fork(self, *, private_fds: Iterable[int] = ()) -> None:
        """Fork the zygote. What exists in this process now is what every child begins with, open files included.

        Blocks for the few milliseconds that it takes. Works before ``trio.run`` and inside it, and again after
        `aclose`.

        Args:
            private_fds: descriptors which no child shall hold: ``/dev/null`` replaces them there. A master that runs
                names its ends of the children's sockets, or closing one would be EOF to nobody.

        Raises:
            RuntimeError: it is forked already, or SIGCHLD is ignored in this process.
            OSError: the system is out of processes, memory or descriptors.
            trio.BrokenResourceError: something killed the new process at once.
        """
        if self._process is not None:
            raise RuntimeError("the zygote is forked already: `await zygote.aclose()` comes before another fork()")
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            raise RuntimeError(
                "SIGCHLD is ignored, so the kernel would reap the children unseen: "
                "call signal.signal(signal.SIGCHLD, signal.SIG_DFL) first"
            )
        self._inherits = prctl.is_child_subreaper()
        prctl.set_child_subreaper()
        open_files = flush_open_files()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.push(ours)
            with theirs:
                watch = ours.dup()  # in reserve, like the one of a handshake
                undo.push(watch)
                pid, pidfd = self._fork_serving((ours, watch), theirs, (*private_fds,), open_files)
            undo.pop_all()
        os.dup2(pidfd, watch.fileno(), inheritable=False)
        ours.setblocking(False)
        self._process = _Process(pid, pidfd, watch.detach(), ours)

    async def begin(self, start: Callable[[socket.socket], Awaitable[Begun]]) -> bytes:
        """Start an interpreter that becomes the zygote, instead of a fork of this process.

        Args:
            start: starts it, given its end of the socket.

        Returns:
            What it reported. If it ended then, there is no zygote, and `pid` raises `trio.ClosedResourceError`.

        Raises:
            RuntimeError: there is a zygote already.
            OSError: out of processes, memory or descriptors.
        """
        if self._process is not None:
            raise RuntimeError("the zygote is there already: `await zygote.aclose()` comes before another one")
        self._inherits = prctl.is_child_subreaper()
        prctl.set_child_subreaper()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.push(ours)
            watch = undo.enter_context(ours.dup())
            begun = await start(theirs)
            if begun.zygote is not None:
                pid, pidfd = begun.zygote
                undo.pop_all()
                os.dup2(pidfd, watch.fileno(), inheritable=False)
                ours.setblocking(False)
                self._process = _Process(pid, pidfd, watch.detach(), ours)
        return begun.report

    async def spawn(self, job: str, fds: Sequence[int]) -> tuple[int, int]:
        """Make a child of this process, one at a time.

        Cancellation counts only until the request is sent: a child that was made is always returned.

        Args:
            job: what the child is told, at most `MAX_JOB_BYTES` bytes of UTF-8.
            fds: descriptors of which the child gets copies (not inherited over an exec), at most `MAX_FDS`.

        Returns:
            The pid and the pidfd of the child. The caller closes the pidfd and reaps the child.

        Raises:
            ValueError: the job or the list is too long.
            OSError: out of processes, memory or descriptors, here or in the zygote. There is no child.
            trio.BrokenResourceError: the zygote or the new child was killed. There is no child; `aclose` and `fork`
                make a new zygote.
            trio.ClosedResourceError: not forked, or closed.
        """
        message = _encode_job(job)
        if len(fds) > MAX_FDS:
            raise ValueError(f"{len(fds)} descriptors are too many for one child: the limit is {MAX_FDS}")
        async with self._lock:
            return await _request(self._running(), message, fds, self._spawn_timeout)

    def kill(self) -> None:
        """Kill the zygote at once, with what it has not handed over yet. `aclose` is still to be called.

        Children that `spawn` returned live on. Does nothing when there is no zygote.
        """
        if self._process is not None:
            self._process.kill()

    async def aclose(self, grace: float = 1.0) -> None:
        """Let the zygote leave, and reap it. Children that `spawn` returned live on.

        Args:
            grace: seconds until it is killed. A cancelled call kills it at once, and reaps it all the same.
        """
        if self._process is None:
            await trio.lowlevel.checkpoint()
            return
        process = self._process
        process.hang_up()
        try:
            with trio.move_on_after(grace):
                async with self._lock:
                    if self._process is process:
                        await trio.lowlevel.wait_readable(process.watch)
        finally:
            with trio.CancelScope(shield=True):
                await self._kill_and_reap(process)

    async def _kill_and_reap(self, process: _Process) -> None:
        """Kill and reap the group of the zygote, after a spawn which is under way has learned of its death."""
        if self._process is not process:
            return  # somebody else's aclose was faster
        self.kill()
        async with self._lock:
            if self._process is process:
                await reap_killed(os.P_PGID, process.pid)
                self._process = None
                process.close()
                if not self._inherits:  # another zygote of this process takes it again with its next child
                    prctl.set_child_subreaper(on=False)

    def _running(self) -> _Process:
        if self._process is None:
            raise trio.ClosedResourceError("this zygote is not forked, or closed: call fork() first")
        return self._process

    def _fork_serving(
        self, ours: Sequence[socket.socket], theirs: socket.socket, private_fds: Sequence[int], open_files: FileRefs
    ) -> tuple[int, int]:
        master, become = os.getpid(), self._become
        assert become is not None, "what is forked has to become something"
        with SpawnHandshake() as handshake:

            def serve() -> None:
                """What the zygote and the intermediate before it do."""
                handshake.close_near_side()
                for end in ours:
                    end.close()
                for fd in private_fds:
                    replace_by_devnull(fd)
                become_zygote(master, handshake.far, theirs, become, open_files)

            intermediate = fork_in_own_group(serve)
            handshake.far.close()
            try:
                pid = handshake.read_report()
                return pid, handshake.take_over(pid)
            finally:
                handshake.close()
                reap_now(os.P_PGID, intermediate)


class _Process(NamedTuple):
    """A zygote as its master sees it."""

    pid: int
    pidfd: int
    watch: int  # the same for the holder of the lock: trio lets one task at a time wait for a descriptor
    line: socket.socket

    def is_dead(self) -> bool:
        try:
            return os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def kill(self) -> None:
        # By group and number: with a child of ours in the group, reaped by us alone, the number cannot be another's.
        # There is none if something else in this process has reaped the zygote.
        if has_children(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Send EOF. Closing is not enough: another zygote forked meanwhile inherited a copy of the socket."""
        with contextlib.suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for fd in (self.pidfd, self.watch):
            trio.lowlevel.notify_closing(fd)
            os.close(fd)
        self.line.close()


async def _request(process: _Process, message: bytes, fds: Sequence[int], timeout: float) -> tuple[int, int]:  # noqa: ASYNC109  of the zygote, not of the caller
    with SpawnHandshake() as handshake:
        handshake.near.setblocking(False)
        prctl.set_child_subreaper()  # each time: the application may have taken it back
        try:
            socket.send_fds(process.line, [message], [handshake.far.fileno(), *fds])
        except ConnectionError as exc:
            raise trio.BrokenResourceError("the zygote has died") from exc
        handshake.far.close()
        pid = await _wait_for_report(handshake, process, timeout)
        try:
            return pid, handshake.take_over(pid)
        except OSError:
            with trio.CancelScope(shield=True):
                await reap_killed(os.P_PID, pid)
            raise


async def _wait_for_report(handshake: SpawnHandshake, process: _Process, timeout: float) -> int:  # noqa: ASYNC109  as above
    # Readable is a hint: epoll may name a descriptor for what an earlier owner of its number did, when a forked
    # process still holds a copy of that.
    give_up = trio.current_time() + timeout
    while True:
        dead = process.is_dead()  # asked first, so that a report made before the death counts
        try:
            return handshake.read_report()
        except trio.WouldBlock:
            if dead:
                raise trio.BrokenResourceError("the zygote has died") from None
        # Shielded: what was asked for is answered, and the answer is taken.
        with trio.CancelScope(shield=True, deadline=give_up) as waiting:
            await _wait_any_readable(handshake.near.fileno(), process.watch)
        if waiting.cancelled_caught:
            process.kill()
            give_up = math.inf


async def _wait_any_readable(*fds: int) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(fd: int) -> None:
            await trio.lowlevel.wait_readable(fd)
            nursery.cancel_scope.cancel()

        for fd in fds:
            nursery.start_soon(wait, fd)


def _encode_job(job: str) -> bytes:
    message = job.encode()
    if len(message) > MAX_JOB_BYTES:
        raise ValueError(f"a job of {len(message)} bytes is too long: pass a descriptor to read it from instead")
    return message
