"""One birth: how a new process becomes a child of the master, and of nobody else.

Every birth, the zygote's own included, is the same double fork::

    master or zygote ── fork ─> intermediate ── fork ─> child
           the intermediate ends; the child falls to the nearest subreaper, the master
    child:  sees the intermediate end, finds the master as its parent, ties its life to it, reports its pid
    master: opens the pidfd, moves the child into a process group of its own, says go
    child:  begins its work

Both talk over a socket pair made for this one birth. Until "go", a child belongs to the process group of its zygote
and leaves on EOF; afterwards the master knows it. Nothing is in between: what a dead zygote leaves behind is in its
group, and is killed and reaped as that group.

The zygote too comes through an intermediate, because the kernel sends the parent death signal when the parent
*thread* ends, and ``Thread.join`` returns before that (on Python 3.12 and older it waits for a lock which the ending
thread releases, not for the thread). A child that fell to a subreaper hangs on the main thread of that process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
from typing import TYPE_CHECKING, NoReturn, Self

import trio

from . import _kernel

if TYPE_CHECKING:
    from collections.abc import Callable

_REPORT = struct.Struct("ii")  # pid, errno
_GO = b"g"


class Birth:
    """One birth as the master sees it: the socket pair, and a descriptor held in reserve for the pidfd.

    Without the reserve, a fork could succeed and the pidfd then fail: an unwatched child.
    """

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._reserve = self.near.dup()
        except BaseException:
            self._close_pair()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read_report(self) -> int:
        """The pid that the child reports.

        Raises:
            OSError: what the zygote or the intermediate met; there is no child.
            trio.BrokenResourceError: EOF, the report will never come.
            trio.WouldBlock: no report yet, on a socket which does not block.
        """
        try:
            message = self.near.recv(_REPORT.size)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except ConnectionError:
            message = b""
        if not message:
            raise trio.BrokenResourceError("the zygote, or the child that it was making, has died")
        pid, error = _REPORT.unpack(message)
        if error:
            raise OSError(error, os.strerror(error))
        return int(pid)

    def adopt(self, pid: int) -> int:
        """Take charge of the child: returns its pidfd.

        Raises:
            OSError: the kernel gave no pidfd. The child is killed, and left for the caller to reap.
        """
        self._reserve.close()
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # our child, not reaped: the number is still its own
            raise
        os.setpgid(pid, pid)
        with contextlib.suppress(OSError):  # dead already: the owner of the pidfd will see it
            self.near.send(_GO)
        return pidfd

    def close_near_side(self) -> None:
        """In the forked process: let go of what is the master's."""
        self.near.close()
        self._reserve.close()

    def _close_pair(self) -> None:
        with contextlib.suppress(OSError):
            self.near.shutdown(socket.SHUT_WR)  # EOF, whoever else holds a copy; the "go" before it stays readable
        self.near.close()
        self.far.close()

    def close(self) -> None:
        """A child that has not heard its "go" leaves."""
        self._reserve.close()
        self._close_pair()


def bear(master: int, birth: socket.socket, body: Callable[[], None]) -> None:
    """Fork the child, in the intermediate process; ``body`` runs in the child once the master has adopted it."""
    try:
        intermediate = os.pidfd_open(os.getpid())
        child = os.fork()
    except OSError as exc:
        report(birth, 0, exc.errno or errno.EAGAIN)
        return
    if child == 0:
        _wait_until_dead(intermediate)
        _be_adopted(master, birth)
        body()


def _wait_until_dead(pidfd: int) -> None:
    """Wait for the end of a parent. Its pidfd tells when the children have their new one; EOF on a pipe is earlier."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    waiting.poll()
    os.close(pidfd)


def _be_adopted(master: int, birth: socket.socket) -> None:
    """Tie the life of this process to the master, report, and wait for its go; leave when there is none."""
    _require_parent(master)
    _kernel.set_parent_death_signal(signal.SIGKILL)
    _require_parent(master)  # it may have died before the line above
    with birth, contextlib.suppress(ConnectionError):
        report(birth, os.getpid(), 0)
        if birth.recv(len(_GO)) == _GO:
            return
    raise SystemExit(1)


def _require_parent(master: int) -> None:
    if os.getppid() != master:
        raise SystemExit(1)


def report(birth: socket.socket, pid: int, error: int) -> None:
    """Tell the master the pid of the child, or the errno for which there is none."""
    birth.send(_REPORT.pack(pid, error))


def run_and_leave(body: Callable[[], None]) -> NoReturn:
    """Run ``body`` as all that this process still does: nothing of the stack below, no atexit handler."""
    status = 1
    try:
        body()
        status = 0
    except SystemExit as exc:
        status = _exit_status(exc.code)
    except BaseException as exc:  # noqa: BLE001, ASYNC103  there is nobody above to catch it
        with contextlib.suppress(Exception):
            sys.excepthook(type(exc), exc, exc.__traceback__)
    finally:
        try:
            flush_standard_streams()
        finally:
            os._exit(status)


def _exit_status(code: object) -> int:
    """The exit status of a `SystemExit`, as the interpreter has it."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{code}\n")
    return 1


def flush_standard_streams() -> None:
    """Write out what is buffered, before a fork would double it or an exit lose it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed, or its reader gone
            stream.flush()
