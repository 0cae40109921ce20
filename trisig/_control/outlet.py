"""An address at which anybody who may connect reads what a master reports: one answer a connection.

A client costs the master one descriptor, for a few seconds at most. Whatever it sends, or does not read, ends its own
connection and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import trio

from trisig._model.address import Address

from .admission import Admission, ClientLimits
from .listener import open_listener

log = logging.getLogger("trisig")

_MOST = 32  # connections at a time; one more is closed at once
_PATIENCE_S = 10.0  # that a client may take to ask and to read

Answer: TypeAlias = Callable[[trio.SocketStream], Awaitable[object]]


class _Listener(Protocol):
    async def accept(self) -> trio.SocketStream: ...


class Outlet:
    """Listens at one address; made by `open_outlet`.

    Args:
        address: how it is written.
        listeners: its sockets.
    """

    def __init__(self, address: str, listeners: Sequence[_Listener]) -> None:
        self._address = address
        self._listeners = listeners
        self._admission = Admission(ClientLimits(_MOST), address, queues=False)

    async def serve(self, answer: Answer) -> None:
        """Answer whoever connects, until cancelled.

        Args:
            answer: called with each connection, which is closed when it returns, or after ten seconds.
        """
        converse = partial(self._answer, answer)
        async with trio.open_nursery() as nursery:
            for listener in self._listeners:
                nursery.start_soon(self._admission.serve, listener.accept, converse, nursery)

    async def _answer(self, answer: Answer, stream: trio.SocketStream) -> None:
        try:
            with trio.move_on_after(_PATIENCE_S):
                async with stream:
                    await answer(stream)
        except trio.BrokenResourceError:
            pass  # the client has gone
        except Exception:
            log.exception("master: a client of %s could not be answered", self._address)


@asynccontextmanager
async def open_outlet(address: str) -> AsyncIterator[Outlet]:
    """Listen at an address while the block runs.

    Args:
        address: HOST:PORT, or the path of a Unix socket, which has a slash or no colon. Without a host, all interfaces.

    Raises:
        ValueError: not an address.
        trio.BusyResourceError: another program listens on that Unix socket.
        OSError: it is in use, or cannot be had.
    """
    place = Address.parse(address)
    if place.path:
        async with open_listener(Path(place.path)) as listener:
            yield Outlet(address, [listener])
        return
    listeners = await trio.open_tcp_listeners(place.port, host=place.host or None)
    try:
        yield Outlet(address, listeners)
    finally:
        for one in listeners:
            one.socket.close()
