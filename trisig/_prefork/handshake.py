"""One handshake: how a new process becomes a child of the master, and of nobody else.

Every handshake, the zygote's own included, is the same double fork::

    master or zygote ── fork ─> intermediate ── fork ─> child
           the intermediate ends; the child falls to the nearest subreaper, the master
    child:  sees the intermediate end, finds the master as its parent, ties its life to it, reports its pid
    master: opens the pidfd, moves the child into a process group of its own, says go
    child:  begins its work

Both talk over a socket pair made for this one handshake. Until "go", a child belongs to the process group of its zygote
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
from typing import TYPE_CHECKING, Self

import trio

from trisig._linux import prctl
from trisig._util.tracebacks import refused_call

from .fork import fork_quietly

if TYPE_CHECKING:
    from collections.abc import Callable

_REPORT = struct.Struct("ii200s")  # pid, errno, what failed
_GO = b"g"


class SpawnHandshake:
    """One handshake as the master sees it: the socket pair, and a descriptor held in reserve for the pidfd.

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
        pid, error, why = _REPORT.unpack(message)
        if error:
            raise OSError(error, why.rstrip(b"\0").decode(errors="replace") or os.strerror(error))
        return int(pid)

    def take_over(self, pid: int) -> int:
        """Take charge of the child: returns its pidfd.

        Raises:
            OSError: the kernel gave no pidfd. The child is killed, and left for the caller to reap.
        """
        self._reserve.close()
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise  # it has died, and something else in this process has reaped it: the number may be another's by now
        except OSError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise
        # Dead already, or reaped by something else in this process: the owner of the pidfd will see it.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
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


def fork_detached(master: int, handshake: socket.socket, body: Callable[[], None]) -> None:
    """Fork the child, in the intermediate process; ``body`` runs in the child once the master has taken it over."""
    try:
        intermediate = os.pidfd_open(os.getpid())
        child = fork_quietly()
    except OSError as exc:
        report(handshake, 0, exc.errno or errno.EAGAIN, refused_call(exc))
        return
    if child == 0:
        _wait_until_dead(intermediate)
        _be_taken_over(master, handshake)
        body()


def _wait_until_dead(pidfd: int) -> None:
    """Wait for the end of a parent. Its pidfd tells when the children have their new one; EOF on a pipe is earlier."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    waiting.poll()
    os.close(pidfd)


def _be_taken_over(master: int, handshake: socket.socket) -> None:
    """Tie the life of this process to the master, report, and wait for its go; leave when there is none."""
    _require_parent(master)
    prctl.set_parent_death_signal(signal.SIGKILL)
    _require_parent(master)  # it may have died before the line above
    with handshake, contextlib.suppress(ConnectionError):
        report(handshake, os.getpid(), 0)
        if handshake.recv(len(_GO)) == _GO:
            return
    raise SystemExit(1)


def _require_parent(master: int) -> None:
    if os.getppid() != master:
        raise SystemExit(1)


def report(handshake: socket.socket, pid: int, error: int, why: str = "") -> None:
    """Tell the master the pid of the child, or the errno for which there is none and what failed."""
    handshake.send(_REPORT.pack(pid, error, why.encode()))
