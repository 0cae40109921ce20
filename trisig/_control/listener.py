"""A listening Unix socket that is made again when its file is removed, and removes no other file."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from trisig._linux.inotify import IN_ATTRIB, IN_DELETE_SELF, IN_MOVE_SELF, Inotify

from .socket_file import SocketFile, close_socket, directory_lock, inode_of

log = logging.getLogger("trisig")

# A name that is unlinked is a change of the link count: the inode lives on while the socket is bound to it.
_NAME_IS_LOST = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF


class UnixListener:
    """A listening socket; made by `listen_at` and `open_listener`.

    Args:
        file: where it is.
        sock: what listens.
        made: the device and the inode of its file.
    """

    def __init__(self, file: SocketFile, sock: trio.socket.SocketType, made: tuple[int, int]) -> None:
        self._file = file
        self._sock, self._made = sock, made

    @property
    def sock(self) -> trio.socket.SocketType:
        """What listens; another one when it was made again."""
        return self._sock

    @property
    def made(self) -> tuple[int, int]:
        """The device and the inode of its file."""
        return self._made

    async def accept(self) -> trio.SocketStream:
        """The next client.

        Raises:
            OSError: there are too few descriptors, or too little memory.
        """
        while True:
            sock = self._sock
            try:
                connection, _ = await sock.accept()
                return trio.SocketStream(connection)
            except trio.ClosedResourceError:
                if sock is self._sock:
                    raise  # else it was made again meanwhile

    async def keep(self) -> None:
        """Make the socket again whenever its name is removed; return when that is not possible any more."""
        try:
            with _open_inotify() as inotify:
                while await self._is_watched(inotify):
                    await trio.lowlevel.wait_readable(inotify.fd)
                    inotify.read()
        except (OSError, trio.BusyResourceError) as error:
            log.warning(
                "master: %s %s will not be made again if it is removed: %s", self._file.name, self._file.path, error
            )

    async def _is_watched(self, inotify: Inotify) -> bool:
        """Watch what is at the path now; whether that is our own socket, made again if there was nothing."""
        while True:
            try:
                inotify.add(str(self._file.path), _NAME_IS_LOST)
                is_ours = inode_of(self._file.path) == self._made
            except FileNotFoundError:
                await self._make_again()
                continue
            if not is_ours:
                log.warning(
                    "master: %s %s was replaced by another program; nobody reaches this master there any more",
                    self._file.name,
                    self._file.path,
                )
            return is_ours

    async def _make_again(self) -> None:
        async with directory_lock(self._file):
            before, (self._sock, self._made) = self._sock, self._file.make()
        before.close()
        log.warning("master: %s %s was removed; made it again", self._file.name, self._file.path)

    def close(self) -> None:
        """Stop listening, and remove the socket unless another one is there by now."""
        try:
            if inode_of(self._file.path) == self._made:
                self._file.path.unlink()
        except OSError:  # removed, or its directory cannot be reached any more
            pass
        finally:
            close_socket(self._sock)


async def listen_at(file: SocketFile) -> UnixListener:
    """Make a socket. Clients can connect from now on, and wait.

    Raises:
        trio.BusyResourceError: another program listens there.
        OSError: the socket cannot be made there.
    """
    async with directory_lock(file):
        return UnixListener(file, *file.make())


@asynccontextmanager
async def open_listener(path: Path) -> AsyncIterator[UnixListener]:
    """Make the control socket, and remove it at the end of the block.

    Raises:
        trio.BusyResourceError: another master listens there.
        OSError: the socket cannot be made there.
    """
    listener = await listen_at(SocketFile(path))
    try:
        yield listener
    finally:
        listener.close()


@contextmanager
def _open_inotify() -> Iterator[Inotify]:
    inotify = Inotify()
    try:
        yield inotify
    finally:
        inotify.close()
