"""The listening sockets, and what surrounds every connection.

All workers accept from the same two sockets. The master opens them before the first fork and every process inherits
them, so the port is either ours or refused at once with the reason; a worker that dies leaves no hole, because who
knocks meanwhile is let in by another one; and the system has no say in which worker a client gets. With SO_REUSEPORT
each worker would have a socket of its own: a second server would start unnoticed and take half of the clients, and
whoever waits in the queue of a killed worker would be reset.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from functools import partial

import trio
from wsproto.utilities import ProtocolError

from client import Client
from hub import Hub

log = logging.getLogger("chat")

BACKLOG = 1024
SENT_AHEAD = 64 * 1024  # bytes that the kernel takes for a client that does not read

Serve = Callable[[trio.SocketStream, Client, Hub], Awaitable[None]]


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket, in the master.

    Raises:
        OSError: the port is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)  # those that it accepts inherit it
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {problem.strerror}") from None
    except BaseException:
        listener.close()
        raise
    return listener


async def accept_all(sockets: dict[socket.socket, Serve], hub: Hub, vanish: float) -> None:
    """Accept connections, in a worker, until cancelled."""
    async with trio.open_nursery() as nursery:
        for listener, serve in sockets.items():
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
            nursery.start_soon(trio.serve_listeners, partial(_connected, serve, hub, vanish), listeners)


async def _connected(serve: Serve, hub: Hub, vanish: float, stream: trio.SocketStream) -> None:
    """One connection. What goes wrong with it is its own affair."""
    client = Client()
    with client.scope:
        async with stream:
            try:
                _notice_vanishing(stream, vanish)
                await serve(stream, client, hub)
            except* (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, OSError):
                pass  # it has vanished, or speaks nonsense
            except* Exception:
                log.exception("a connection failed")
    await hub.leave(client)


def _notice_vanishing(stream: trio.SocketStream, seconds: float) -> None:
    """Let the kernel end the connection when nobody has answered for so long, whether or not we had to say anything."""
    step = max(1, round(seconds / 4))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, step)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, step)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
