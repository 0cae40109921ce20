"""The file of a Unix socket: made, and taken over from a program that is dead.

Two programs never remove each other's: who makes a socket holds a lock on its directory from the first look at what is
there until the new one listens. A socket that refuses connections under that lock belongs to nobody.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from trisig._model.errors import reworded

from .probe import is_listened_on

_BACKLOG = 64
_LOCK_TRIES = 100
_LOCK_PAUSE_S = 0.02


class SocketFile(msgspec.Struct, frozen=True):
    """Where a Unix socket is to be.

    Attributes:
        path: of its file.
        mode: of its file, from its first moment; None for what the umask allows.
        name: what messages call it.
        rival: what they call another program that listens there.
    """

    path: Path
    mode: int | None = 0o600
    name: str = "control socket"
    rival: str = "another master"

    def make(self) -> tuple[trio.socket.SocketType, tuple[int, int]]:
        """A listening socket, and the inode of its file. To be called under `directory_lock`, with no checkpoint in it.

        Raises:
            OSError: the socket cannot be made there.
            trio.BusyResourceError: somebody listens there.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if self.mode is not None:
                os.fchmod(sock.fileno(), self.mode)  # Linux gives this mode to the name, minus the umask
            self._bind(sock)
            if self.mode is not None and stat.S_IMODE(self.path.lstat().st_mode) != self.mode:
                self.path.chmod(self.mode)  # the umask has taken something away
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            return trio.socket.from_stdlib_socket(sock), inode_of(self.path)
        except BaseException:
            sock.close()
            raise

    def _bind(self, sock: socket.socket) -> None:
        try:
            sock.bind(str(self.path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise self._unusable(error) from None
        else:
            return
        self._remove_dead()
        try:
            sock.bind(str(self.path))
        except OSError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: OSError) -> OSError:
        if error.errno == errno.ENOENT:
            why = f"there is no directory {self.path.parent}; make it, or name another path"
        elif error.errno == errno.EADDRINUSE:
            why = "another program has just put something there; name another path"
        else:
            why = f"{error.strerror or error}; name another path"
        return reworded(error, f"{self.name} {self.path}: {why}")

    def _remove_dead(self) -> None:
        """Remove the socket of a program that was killed.

        Raises:
            OSError: there is something else.
            trio.BusyResourceError: somebody listens.
        """
        place = f"{self.name} {self.path}"
        if not stat.S_ISSOCK(self.path.lstat().st_mode):
            kind = "a directory" if self.path.is_dir() else "a file, not a socket"
            raise FileExistsError(f"{place}: this is {kind}; name another path")
        try:
            if not is_listened_on(self.path):
                self.path.unlink()
                return
        except OSError as error:
            if error.errno == errno.EPROTOTYPE:
                other = FileExistsError(f"{place}: a socket of another kind is there; name another path")
                raise other from None
            raise self._unusable(error) from None
        raise trio.BusyResourceError(f"{place}: {self.rival} listens there; name another path")


def close_socket(sock: trio.socket.SocketType) -> None:
    """Close a socket, inside a `trio.run` or outside; once more does nothing."""
    if trio.lowlevel.in_trio_run():
        sock.close()
    elif sock.fileno() >= 0:
        os.close(sock.detach())


def inode_of(path: Path) -> tuple[int, int]:
    """The device and the inode of a file.

    Raises:
        OSError: there is none.
    """
    found = path.lstat()
    return found.st_dev, found.st_ino


@asynccontextmanager
async def directory_lock(file: SocketFile) -> AsyncIterator[None]:
    """Be the only one that makes a socket in a directory.

    Raises:
        trio.BusyResourceError: another process holds the lock, and does not let go.
    """
    try:
        fd = os.open(file.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # not there, which `bind` explains, or not readable: then whoever may write there is careful
        yield
        return
    try:
        await _lock(fd, file)
        yield
    finally:
        os.close(fd)


async def _lock(fd: int, file: SocketFile) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The kernel has no event for a lock that ends, and waiting in a thread could not be cancelled. Masters
            # hold it for less than a millisecond.
            await trio.sleep(_LOCK_PAUSE_S)
        else:
            return
    locked = f"another process has locked {file.path.parent}; name another path"
    raise trio.BusyResourceError(f"{file.name} {file.path}: {locked}")
