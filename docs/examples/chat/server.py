"""The listening sockets, and what surrounds every connection.

All workers accept from the same two sockets. The master opens them before the first fork and every process inherits
them, so the port is either ours or refused at once with the reason; a worker that dies leaves no hole, because who
knocks meanwhile is let in by another one; and the system has no say in which worker a client gets. With SO_REUSEPORT
each worker would have a socket of its own: a second server would start unnoticed and take half of the clients, and
whoever waits in the queue of a killed worker would be reset.
"""

from __future__ import annotations

import logging
import resource
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

import trio
from wsproto.utilities import ProtocolError

from client import Client
from hub import Hub

log = logging.getLogger("chat")

BACKLOG = 1024
SENT_AHEAD = 64 * 1024  # bytes that the kernel takes for a client that does not read

SPARE = 64  # file descriptors that are not for clients
MOST_CLIENTS = 10_000  # of one worker

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
        raise OSError(problem.errno, f"cannot listen on {host} port {port}: {problem.strerror}") from None
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


@dataclass(frozen=True)
class Patience:
    """How long a worker waits for one client.

    Attributes:
        to_enter: seconds for it to say who it is.
        to_read: seconds for it to read what it is shown in one go.
    """

    to_enter: float
    to_read: float


async def accept_all(sockets: dict[socket.socket, Serve], hub: Hub, patience: Patience) -> None:
    """Accept connections, in a worker, until cancelled.

    Args:
        sockets: the listening sockets, each with what serves its connections.
        hub: where clients join.
        patience: how long to wait for a client.
    """
    places = trio.Semaphore(most_clients())
    async with trio.open_nursery() as nursery:
        for listener, serve in sockets.items():
            doors = [_Door(trio.SocketListener(trio.socket.from_stdlib_socket(listener)), places)]
            nursery.start_soon(trio.serve_listeners, partial(_connected, serve, hub, patience, places), doors)


def most_clients() -> int:
    """How many clients this process can have, and still open files."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CLIENTS if descriptors == resource.RLIM_INFINITY else descriptors - SPARE
    return max(1, min(MOST_CLIENTS, wanted))


class _Door(trio.abc.Listener[trio.SocketStream]):
    """A listening socket from which connections are accepted while there is a place for them.

    A worker that is full leaves them to the others, and if all are full, they wait in the kernel.
    """

    def __init__(self, listener: trio.SocketListener, places: trio.Semaphore) -> None:
        self._listener, self._places = listener, places

    async def accept(self) -> trio.SocketStream:
        """Accept a connection, which takes a place."""
        if not self._places.value:
            log.warning("is full; further clients wait until somebody leaves")
        await self._places.acquire()
        try:
            return await self._listener.accept()
        except BaseException:
            self._places.release()
            raise

    async def aclose(self) -> None:
        """Close the socket."""
        await self._listener.aclose()


async def _connected(
    serve: Serve, hub: Hub, patience: Patience, places: trio.Semaphore, stream: trio.SocketStream
) -> None:
    """One connection. Its errors do not reach the others."""
    client = Client(patience.to_read)
    with _contained():
        with client.scope:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(client.enter_within, patience.to_enter)
                await serve(stream, client, hub)
                nursery.cancel_scope.cancel()
    with _contained():
        await hub.leave(client)
    places.release()


@contextmanager
def _contained() -> Iterator[None]:
    """Keep what fails in one connection from ending the worker."""
    try:
        yield
    except* (trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError, OSError):
        pass  # it has vanished, or speaks nonsense
    except* sqlite3.Error as problems:
        log.error("a connection ends, because the database fails: %s", _first(problems))  # noqa: TRY400  one line
    except* Exception:
        log.exception("a connection failed")


def _first(problem: BaseException) -> BaseException:
    return _first(problem.exceptions[0]) if isinstance(problem, BaseExceptionGroup) else problem
