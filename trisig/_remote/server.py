"""Takes signals of other programs, in the master.

A packet that is none, half a packet, or silence ends its connection; nothing else changes.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Protocol

import trio

from trisig._control.admission import Admission, ClientLimits

from .packet import DELIVERED, PACKET_BYTES, signum_of
from .sockets import RemoteSockets

log = logging.getLogger("trisig")

_PATIENCE_S = 4.0  # uWSGI's socket-timeout
_LAST_WORDS_S = 0.5  # in which a signal that is on its way is taken and answered at the end


class Raising(Protocol):
    """Raises signals, as `Signals` does."""

    async def send(self, signum: int) -> None: ...
    def send_nowait(self, signum: int) -> None: ...


class RemoteServer:
    """Raises what clients send.

    Args:
        signals: where.
        sockets: to which they connect.
        closes: whether `serve` closes them at its end.
    """

    def __init__(self, signals: Raising, sockets: RemoteSockets, *, closes: bool) -> None:
        self._signals = signals
        self._sockets = sockets
        self._closes = closes
        self._admission = Admission(ClientLimits(idle=_PATIENCE_S), "socket", queues=True)
        self._conversations: set[trio.CancelScope] = set()
        self._has_complained = False

    async def serve(self, _master: object = None) -> None:
        """Take signals until cancelled; a service of the master."""
        log.info("master: takes signals of other programs at %s", ", ".join(self._sockets.addresses))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._end_conversations_at_the_end)
                for listener in self._sockets.listeners:
                    nursery.start_soon(self._admission.serve, listener.accept, self._converse, nursery)
                    nursery.start_soon(listener.keep)
        finally:
            if self._closes:
                self._sockets.close()

    async def _end_conversations_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for scope in self._conversations:
                scope.deadline = trio.current_time() + _LAST_WORDS_S

    async def _converse(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope(shield=True) as scope:  # whose end is the business of the task above
            self._conversations.add(scope)
            try:
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await self._take(stream)
            finally:
                self._conversations.discard(scope)

    async def _take(self, stream: trio.SocketStream) -> None:
        packet = await self._packet(stream)
        signum = signum_of(packet)
        if signum is None:
            self._complain(packet)
        elif await self._is_raised(signum, stream):
            with trio.CancelScope() as scope, self._admission.idling(scope):
                await stream.send_all(DELIVERED)

    async def _packet(self, stream: trio.SocketStream) -> bytes:
        """The first four bytes; fewer if no more come in time."""
        packet = b""
        with trio.CancelScope() as scope, self._admission.idling(scope):
            while len(packet) < PACKET_BYTES and (part := await stream.receive_some(PACKET_BYTES - len(packet))):
                packet += part
        return packet

    async def _is_raised(self, signum: int, stream: trio.SocketStream) -> bool:
        """Raise a signal, as soon as there is room; False if the client has given up before."""
        try:
            self._signals.send_nowait(signum)
        except trio.WouldBlock:
            return await self._is_raised_while_awaited(signum, stream)
        return True

    async def _is_raised_while_awaited(self, signum: int, stream: trio.SocketStream) -> bool:
        is_raised = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_left, stream, nursery.cancel_scope)
            await self._signals.send(signum)
            is_raised = True
            nursery.cancel_scope.cancel()
        return is_raised

    def _complain(self, packet: bytes) -> None:
        """Say once that somebody sends something else."""
        if packet and not self._has_complained:
            self._has_complained = True
            log.warning(
                "master: socket: a packet that raises no signal (it begins with %s) was not answered; requests are for "
                "a web server",
                packet.hex(" "),
            )


async def _cancel_when_left(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Give up with a client that sends no more: it has ended its wait, and may send the signal again."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some(PACKET_BYTES):
            pass
    scope.cancel()
