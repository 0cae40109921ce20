"""Who may put a journal in its place.

A journal is never changed by the next master. It is read, another one is made beside it with what was pending, and
that is renamed over it. Whoever holds the lock on the file that has the name beside may do that, so one lock orders
all who open one path, the first of them too, who find nothing there.

The lock goes along with the file: it becomes that of the running master, and is inherited by all of its children. It
ends with the last process of the tree, so no successor reads marks that a dying child still writes. A file that a
killed master left beside is locked by nobody, and is used again.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import trio

from ._errors import reworded

_BESIDE = ".trisig-new"


class Claim:
    """The right to replace what is at a path.

    Attributes:
        path: where the file will be once it is published.
        fd: the file; a killed master may have left something in it.
        published: whether it has taken its place.

    Raises:
        trio.BusyResourceError: another master has it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._beside = path.with_name(path.name + _BESIDE)
        self.published = False
        self.fd = self._open()
        while not self._is_beside():
            # Published or removed after it was opened here: the name stands for another file now, or for none.
            os.close(self.fd)
            self.fd = self._open()

    def _open(self) -> int:
        try:
            fd = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise unusable(self.path, error) from None
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
        self.published = True

    def close(self) -> None:
        """Let go of the file, and remove it if it was not published."""
        try:
            if not self.published:
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


def unusable(path: Path, error: OSError) -> OSError:
    """The error of a journal that cannot be read or made, with what to do about it."""
    if error.errno == errno.ENOENT:
        return reworded(error, f"journal {path}: there is no directory {path.parent}; make it, or name another path")
    return reworded(error, f"journal {path}: {error.strerror}; {_remedy(path, error)}")


def _remedy(path: Path, error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"let this user read and write it, and make files in {path.parent}, or name another path"
    if error.errno == errno.EROFS:
        return "name a path on a file system that can be written"
    return "name another path"


def no_room(path: Path, error: OSError, needed: int, *, published: bool) -> OSError:
    """The error of a journal for which the disk has no room.

    Args:
        path: of the journal.
        error: what the kernel said.
        needed: bytes that the file has to have.
        published: whether the journal is in its place, and the one before it gone.
    """
    advice = "" if published else " beside the one that it takes the place of: make room for both, or name another path"
    return reworded(error, f"journal {path}: {error.strerror}: it needs {needed} bytes{advice}")
