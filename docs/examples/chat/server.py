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
from contextlib import suppress
from functools import partial

import trio
from wsproto.utilities import ProtocolError

from client import Client
from hub import Hub

log = logging.getLogger("chat")

BACKLOG = 1024
SENT_AHEAD = 64 * 1024  # bytes that the kernel takes for a client that does not read

Serve = Callable[[trio.SocketStream, Client, Hub], Awaitable[None]]


def listen(host: str, port: int, vanish: float) -> socket.socket:
    """Open a listening socket, in the master. The connections that it accepts inherit its options.

    Args:
        host: the address to listen on.
        port: the port; 0 for any that is free.
        vanish: seconds without any answer after which the kernel ends a connection, whether or not we had to say
            anything on it.

    Raises:
        OSError: the port is taken, or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT_AHEAD)
        _notice_vanishing(listener, vanish)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        raise OSError(f"cannot listen on {host} port {port}: {problem.strerror}") from None
    except BaseException:
        listener.close()
        raise
    return listener


def reachable(listener: socket.socket) -> tuple[str, int]:
    """The host and port at which others find a listening socket.

    For one that listens everywhere this is the machine's address in its network, which a telephone there can open.
    """
    host, port = listener.getsockname()[:2]
    anywhere = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104  each with an address outside, that is nobody's
    if host in anywhere:
        with socket.socket(listener.family, socket.SOCK_DGRAM) as asking, suppress(OSError):
            asking.connect((anywhere[host], 9))  # sends nothing; the kernel chooses the address to send from
            host = asking.getsockname()[0]
    return host, port


def _notice_vanishing(listener: socket.socket, seconds: float) -> None:
    step = max(1, round(seconds / 4))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, step)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, step)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


async def accept_all(sockets: dict[socket.socket, Serve], hub: Hub, patience: float) -> None:
    """Accept connections, in a worker, until cancelled.

    Args:
        sockets: the listening sockets, each with what serves its connections.
        hub: where clients join.
        patience: seconds for a client to say who it is.
    """
    async with trio.open_nursery() as nursery:
        for listener, serve in sockets.items():
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
            nursery.start_soon(trio.serve_listeners, partial(_connected, serve, hub, patience), listeners)


async def _connected(serve: Serve, hub: Hub, patience: float, stream: trio.SocketStream) -> None:
    """One connection. What goes wrong with it is its own affair."""
    client = Client()
    try:
        with client.scope:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(client.enter_within, patience)
                await serve(stream, client, hub)
                nursery.cancel_scope.cancel()
    except* (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, OSError):
        pass  # it has vanished, or speaks nonsense
    except* Exception:
        log.exception("a connection failed")
    await hub.leave(client)
