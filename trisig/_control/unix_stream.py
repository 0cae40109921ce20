"""Connects to a Unix socket from trio, also while its backlog is full."""

from __future__ import annotations

import os
import socket

import trio

_PAUSE_S = 0.02


async def open_unix_stream(path: str | os.PathLike[str]) -> trio.SocketStream:
    """Connect, when the listener has room for it.

    Not by `trio.open_unix_socket`, which takes a socket for connected that a full backlog has refused with EAGAIN.

    Raises:
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while not _is_taken(sock, path):  # noqa: ASYNC110  the kernel has no event for room in the backlog
            await trio.sleep(_PAUSE_S)
        return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    except BaseException:
        sock.close()
        raise


def _is_taken(sock: socket.socket, path: str | os.PathLike[str]) -> bool:
    try:
        sock.connect(os.fspath(path))
    except BlockingIOError:
        return False
    return True
