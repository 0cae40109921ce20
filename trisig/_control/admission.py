"""Which clients of a socket are let in: how many at a time, and how long they may be silent."""

from __future__ import annotations

import errno
import logging
import resource
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec
import trio

log = logging.getLogger("trisig")

_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Accept = Callable[[], Awaitable[trio.SocketStream]]
Converse = Callable[[trio.SocketStream], Awaitable[None]]


class ClientLimits(msgspec.Struct, frozen=True):
    """What the clients of a socket may use.

    Attributes:
        connections: how many may be open at a time, if they have a quarter of the descriptors at most. One more closes
            the one that has been idle longest.
        idle: seconds after which a connection is closed whose client is waited for.
        spare: how many descriptors the master keeps for its children's births.
    """

    connections: int = 64
    idle: float = 60.0
    spare: int = 32


class Admission:
    """Lets clients in.

    Args:
        limits: what they may use.
        name: what the log calls the socket.
        queues: whether one too many waits for its turn if none is idle; else it is closed.
    """

    def __init__(self, limits: ClientLimits, name: str, *, queues: bool) -> None:
        self._limits = limits
        self._name = name
        self._queues = queues
        self._open = 0
        self._leaving = trio.lowlevel.ParkingLot()
        self._idle: dict[trio.CancelScope, None] = {}  # the longest idle first
        self._complained = False

    async def serve(self, accept: Accept, converse: Converse, connections: trio.Nursery) -> None:
        """Let in whoever connects, until cancelled.

        Args:
            accept: waits for the next client.
            converse: talks with one, and closes its connection.
            connections: where that runs. Conversations go on when this is cancelled and nobody else is let in.
        """
        while True:
            try:
                stream = await accept()
            except OSError as error:
                await self._bear(error)
                continue
            if await self._is_let_in(stream):
                connections.start_soon(self._converse, converse, stream)
            else:
                stream.socket.close()

    async def _is_let_in(self, stream: trio.SocketStream) -> bool:
        try:
            while not (fits := self._fits(stream)) and self._queues:
                await self._leaving.park()
        except trio.Cancelled:
            stream.socket.close()
            raise
        return fits

    async def _converse(self, converse: Converse, stream: trio.SocketStream) -> None:
        self._open += 1
        try:
            await converse(stream)
        finally:
            self._open -= 1
            self._leaving.unpark_all()

    @contextmanager
    def idling(self, scope: trio.CancelScope) -> Iterator[None]:
        """Meanwhile the client is waited for: not for ever, and not if another one needs the room."""
        self._idle[scope] = None
        scope.deadline = trio.current_time() + self._limits.idle
        try:
            yield
        finally:
            self._idle.pop(scope, None)
            scope.deadline = float("inf")

    async def _bear(self, error: OSError) -> None:
        """Go on after a client that could not be let in.

        Raises:
            OSError: the socket is of no use any more.
        """
        if error.errno == errno.ECONNABORTED:
            return
        if error.errno not in _NO_ROOM:
            raise error
        self._complain(error.strerror or "no room")
        self._close_longest_idle()
        with trio.move_on_after(1):  # the kernel has no event for a descriptor that becomes free elsewhere
            await self._leaving.park()

    def _fits(self, stream: trio.SocketStream) -> bool:
        return self._has_room(stream) or self._close_longest_idle() or not self._open

    def _has_room(self, stream: trio.SocketStream) -> bool:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if descriptors == resource.RLIM_INFINITY:
            descriptors = sys.maxsize
        most = min(self._limits.connections, descriptors // 4)
        # The kernel gives out the lowest free number, so a high one means that few are left. A low one does not mean
        # that many are: a connection that has just left may have had it.
        if self._open < most and stream.socket.fileno() < descriptors - self._limits.spare:
            if self._open < most // 2:
                self._complained = False
            return True
        self._complain(f"{self._open} connections are open")
        return False

    def _complain(self, why: str) -> None:
        """Say once that there are too many, and again only after it was better in between."""
        if not self._complained:
            log.warning("master: %s: %s; closing those that have been idle longest", self._name, why)
        self._complained = True

    def _close_longest_idle(self) -> bool:
        for scope in self._idle:
            del self._idle[scope]
            scope.cancel()
            return True
        return False
