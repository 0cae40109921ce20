"""Who may put a journal in its place.

A journal is never changed by the next master. It is read, another one is made beside it with what was pending, and
that is renamed over it. Whoever holds the lock on the file that has the name beside may do that, so one lock orders
all who open one path, the first of them too, who find nothing there.

The lock goes along with the file: it becomes that of the running master, and is inherited by all of its children. It
ends with the last process of the tree, so no successor reads marks that a dying child still writes. A file that a
killed master left beside is locked by nobody, and is used again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import trio

_BESIDE = ".trisig-new"


class Claim:
    """The right to replace what is at a path.

    Attributes:
        path: where the file will be once it is published.
        fd: the file; a killed master may have left something in it.

    Raises:
        trio.BusyResourceError: another master has it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(path.name + _BESIDE)
        self._published = False
        self.fd = self._open()
        while not self._is_beside():
            # Published or removed after it was opened here: the name stands for another file now, or for none.
            os.close(self.fd)
            self.fd = self._open()

    def _open(self) -> int:
        try:
            fd = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise OSError(error.errno, f"the journal cannot be made: {error.strerror}", str(self.path)) from None
        try:
            if try_lock(fd):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        raise busy(self.path)

    def _is_beside(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), self._beside.stat())
        except FileNotFoundError:
            return False

    def publish(self) -> None:
        """Put the file in its place."""
        self._beside.rename(self.path)
        self._published = True

    def close(self) -> None:
        """Let go of the file, and remove it if it was not published."""
        try:
            if not self._published:
                self._beside.unlink(missing_ok=True)
            # Said aloud: a process that a handler has forked may hold a copy of the descriptor.
            fcntl.flock(self.fd, fcntl.LOCK_UN)
        finally:
            os.close(self.fd)


def try_lock(fd: int) -> bool:
    """Lock a file, unless somebody else has."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def busy(path: Path) -> trio.BusyResourceError:
    """What a second master is told."""
    return trio.BusyResourceError(f"journal {path}: another master is using it; stop that one, or name another file")
