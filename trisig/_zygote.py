"""The prefork helper: a clean process that forks every child of the master.

A handler which is registered before the master opens has to exist in every child, closures included, so children are
forked and not started anew. A process in which trio runs cannot fork into a process in which trio can run, and its
memory is not a state that a later respawn should begin with. So one process, the zygote, is forked when the master
opens, never runs trio, and forks each child on request. How a child comes to the master is told in `_birth`.

Master and zygote share one socket. A request is a job and descriptors, the first of them the socket of the birth,
over which the child itself answers, so the zygote says something only when there is no child. EOF ends the zygote,
and the kernel kills it when the master dies.
"""

from __future__ import annotations

import contextlib
import contextvars
import errno
import functools
import gc
import math
import os
import signal
import socket
import threading
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import trio

from . import _kernel
from ._birth import Birth, bear, flush_standard_streams, run_and_leave
from ._interrupt import uninterrupted
from ._zygotes_end import MAX_FDS, MAX_JOB_BYTES, forget_signals, replace_by_devnull, serve_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_LONGEST_BIRTH = 10.0  # seconds until a zygote that makes no child, because it is stopped say, is given up


@uninterrupted
class Zygote:
    """Forked once when a master opens; forks every child from then on.

    The children are children of the process that calls `spawn`, which becomes a child subreaper. They have a process
    group of their own, do nothing at SIGINT and SIGTERM, have no other Python signal handlers and an empty signal mask,
    and the kernel kills them when this process ends, whatever ends it.

    Args:
        become: runs in each new child with the job and the descriptors of `spawn`. The child leaves when it returns:
            with status 0, with the code of a `SystemExit`, or with 1 and a traceback for another exception. No atexit
            handler runs.
    """

    def __init__(self, become: Callable[[str, list[int]], None]) -> None:
        self._become = become
        self._lock = trio.Lock()
        self._process: _Process | None = None
        self._inherits = False  # whether orphans fall to this process anyway

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
        self._inherits = _kernel.is_child_subreaper()
        _kernel.set_child_subreaper()
        flush_standard_streams()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as undo:
            undo.push(ours)
            with theirs:
                watch = ours.dup()  # in reserve, like the one of a birth
                undo.push(watch)
                pid, pidfd = self._fork_serving((ours, watch), theirs, (*private_fds,))
            undo.pop_all()
        os.dup2(pidfd, watch.fileno(), inheritable=False)
        ours.setblocking(False)
        self._process = _Process(pid, pidfd, watch.detach(), ours)

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
            return await _request(self._running(), message, fds)

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
                await self._bury(process)

    async def _bury(self, process: _Process) -> None:
        """Kill and reap the group of the zygote, after a spawn which is under way has learned of its death."""
        if self._process is not process:
            return  # somebody else's aclose was faster
        self.kill()
        async with self._lock:
            if self._process is process:
                await _reap(os.P_PGID, process.pid)
                self._process = None
                process.close()
                if not self._inherits:  # another zygote of this process takes it again with its next child
                    _kernel.set_child_subreaper(on=False)

    def _running(self) -> _Process:
        if self._process is None:
            raise trio.ClosedResourceError("this zygote is not forked, or closed: call fork() first")
        return self._process

    def _fork_serving(
        self, ours: Sequence[socket.socket], theirs: socket.socket, private_fds: Sequence[int]
    ) -> tuple[int, int]:
        master = os.getpid()
        with Birth() as birth:

            def serve() -> None:
                """What the zygote and the intermediate before it do."""
                birth.close_near_side()
                for end in ours:
                    end.close()
                for fd in private_fds:
                    replace_by_devnull(fd)
                forget_signals()
                gc.freeze()  # the collector would write to, and so copy, every page that the children share
                _kernel.set_name("trisig zygote")
                bear(master, birth.far, functools.partial(serve_requests, master, theirs, self._become))

            intermediate = _in_fresh_thread(functools.partial(_fork_in_own_group, serve))
            birth.far.close()
            try:
                pid = birth.read_report()
                return pid, birth.adopt(pid)
            finally:
                birth.close()
                _reap_now(os.P_PGID, intermediate)


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
        # By group and number: the zygote is our child and not reaped yet, so the number cannot be another's.
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


async def _request(process: _Process, message: bytes, fds: Sequence[int]) -> tuple[int, int]:
    with Birth() as birth:
        birth.near.setblocking(False)
        _kernel.set_child_subreaper()  # each time: the application may have taken it back
        try:
            socket.send_fds(process.line, [message], [birth.far.fileno(), *fds])
        except ConnectionError as exc:
            raise trio.BrokenResourceError("the zygote has died") from exc
        birth.far.close()
        pid = await _wait_for_report(birth, process)
        try:
            return pid, birth.adopt(pid)
        except OSError:
            with trio.CancelScope(shield=True):
                await _reap(os.P_PID, pid)
            raise


async def _wait_for_report(birth: Birth, process: _Process) -> int:
    # Readable is a hint: epoll may name a descriptor for what an earlier owner of its number did, when a forked
    # process still holds a copy of that.
    give_up = trio.current_time() + _LONGEST_BIRTH
    while True:
        dead = process.is_dead()  # asked first, so that a report made before the death counts
        try:
            return birth.read_report()
        except trio.WouldBlock:
            if dead:
                raise trio.BrokenResourceError("the zygote has died") from None
        # Shielded: what was asked for is answered, and the answer is taken.
        with trio.CancelScope(shield=True, deadline=give_up) as waiting:
            await _wait_any_readable(birth.near.fileno(), process.watch)
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


async def _reap(idtype: int, ident: int) -> None:
    """Reap the killed children of this name. Those not dead yet are waited for in a thread: a group has no pidfd."""
    if not _reap_now(idtype, ident, os.WNOHANG):
        await trio.to_thread.run_sync(_reap_now, idtype, ident)


def _reap_now(idtype: int, ident: int, options: int = 0) -> bool:
    """Reap every child of this name; tells whether none is left."""
    try:
        while os.waitid(idtype, ident, os.WEXITED | options) is not None:
            pass
    except ChildProcessError:
        return True
    return False


def _in_fresh_thread(fork: Callable[[], int]) -> int:
    """Call ``fork`` in a thread that ends with it.

    The child gets this thread as its main thread: without a trio loop below it, and with the caller's context
    variables, while the caller stands at a known place.
    """
    result: Future[int] = Future()

    def run() -> None:
        try:
            result.set_result(fork())
        except BaseException as exc:  # noqa: BLE001, ASYNC103  it is raised in the caller
            result.set_exception(exc)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="MainThread")
    try:
        thread.start()
    except RuntimeError as exc:  # the one error of a refused pthread_create
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from exc
    thread.join()
    return result.result()


def _fork_in_own_group(body: Callable[[], None]) -> int:
    """Fork a process that runs ``body`` in a new process group, with all signals blocked at first."""
    # Blocked in this thread only, which ends soon: a signal that met the child before it forgot the handlers would
    # be written to the wakeup fd, that is, to the loop of the master.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = _fork_among_threads()
    if pid == 0:
        os.setpgid(0, 0)
        run_and_leave(body)
    with contextlib.suppress(OSError):  # in both, so that the group exists whoever runs first, or dies first
        os.setpgid(pid, pid)
    return pid


def _fork_among_threads() -> int:
    """Fork without the warning of Python 3.12 and later; the filters are restored in both processes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        return os.fork()
