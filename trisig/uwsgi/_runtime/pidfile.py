"""The process that a pidfile names."""

from __future__ import annotations

import os
import re
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import trio

from trisig._sources.watcher import Watcher

_LONGEST = 64  # bytes that are read of a pidfile; a number and the end of a line are enough
_NUMBER = re.compile(rb"\s*(\d+)")


@dataclass(frozen=True, slots=True)
class NamedProcess:
    """A process that was alive when it was found, and that need not be a child.

    Attributes:
        pid: its number.
        pidfd: it means this process even after its number is given to another one.
    """

    pid: int
    pidfd: int

    async def ended(self) -> None:
        """Wait for its end, and reap it if it has fallen to this process; and what has led its session meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._reap_leader)
            await _reaped(self.pidfd)
            nursery.cancel_scope.cancel()

    async def _reap_leader(self) -> None:
        """Reap who has made its session, forked it and ended. Its number is its own while the session has a member."""
        try:
            leader = os.getsid(self.pid)
        except ProcessLookupError:
            return
        if (pidfd := _opened(leader)) >= 0:
            try:
                await _reaped(pidfd)
            finally:
                os.close(pidfd)

    def is_child(self) -> bool:
        """Whether this process is its parent."""
        try:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def send(self, number: int) -> None:
        """Send a Unix signal, to its group if it leads one; to nobody if it has ended or is somebody else's.

        uWSGI sends to the group only, and so to nobody if a daemon has forked after it had made its session.
        """
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self.pid) == self.pid:  # a group keeps its number while it has a member
                os.killpg(self.pid, number)
            else:
                signal.pidfd_send_signal(self.pidfd, number)


async def _reaped(pidfd: int) -> None:
    """Wait for the end of a process, and reap it if it is a child, and nobody has done so."""
    await trio.lowlevel.wait_readable(pidfd)
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222  it does not wait


@contextmanager
def named_in(path: str, but: int = 0) -> Iterator[NamedProcess | None]:
    """The living process that a pidfile names, for a block; None if there is none.

    Args:
        path: of the pidfile.
        but: a number that is an old one.
    """
    pid = _number_in(path)
    pidfd = _opened(pid) if pid not in (0, but, os.getpid()) else -1
    if pidfd < 0:
        yield None
        return
    try:
        yield NamedProcess(pid, pidfd) if not select.select([pidfd], [], [], 0)[0] else None
    finally:
        os.close(pidfd)


def reap_named_in(path: str) -> None:
    """Reap the process that a pidfile names, if it is a child and has ended."""
    if pid := _number_in(path):
        with suppress(ChildProcessError, OverflowError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


async def wait_named(path: str, but: int) -> None:
    """Wait until a pidfile names a living process.

    Raises:
        OSError: no inotify instance or watch is left.
    """
    watcher = Watcher()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.drive)
        with watcher.monitor(path) as monitor:
            while not _names_one(path, but):
                await monitor.next()
        nursery.cancel_scope.cancel()


def _names_one(path: str, but: int) -> bool:
    with named_in(path, but) as found:
        return found is not None


def _number_in(path: str) -> int:
    """0 for none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        match = _NUMBER.match(os.read(fd, _LONGEST))
    except OSError:
        return 0
    finally:
        os.close(fd)
    return int(match[1]) if match else 0


def _opened(pid: int) -> int:
    """-1 if there is no such process."""
    try:
        return os.pidfd_open(pid)
    except (OSError, OverflowError):
        return -1
