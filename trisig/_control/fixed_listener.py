"""A listening socket that nobody takes away: a port, or one that a service manager has opened."""

from __future__ import annotations

import os
import socket
from typing import Self

import trio

from .socket_file import close_socket


class FixedListener:
    """Takes the connections of a socket that listens.

    Args:
        sock: the socket.
    """

    def __init__(self, sock: trio.socket.SocketType) -> None:
        self.sock = sock

    @classmethod
    def inherited(cls, fd: int) -> Self:
        """The control socket that a service manager has opened, and that outlives the master.

        Args:
            fd: its descriptor; stays open.

        Raises:
            OSError: it is another kind of socket.
        """
        sock = socket.socket(fileno=os.dup(fd))
        if sock.family != socket.AF_UNIX or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.close()
            raise OSError("the socket named control is not one at a path that listens: write ListenStream=/run/...")
        return cls(trio.socket.from_stdlib_socket(sock))

    @property
    def name(self) -> str:
        """Its address; the path of a Unix socket."""
        return str(self.sock.getsockname())

    async def accept(self) -> trio.SocketStream:
        """The next client.

        Raises:
            OSError: there are too few descriptors, or too little memory.
        """
        connection, _ = await self.sock.accept()
        return trio.SocketStream(connection)

    async def keep(self) -> None:
        """Nothing has to be made again."""
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Take no more connections here; once more does nothing."""
        close_socket(self.sock)
