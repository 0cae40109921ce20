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
        address: HOST:PORT, or the path of a Unix socket, which has a slash or no colon.

    Raises:
        ValueError: not an address.
        trio.BusyResourceError: another program listens on that Unix socket.
        OSError: it is in use, or cannot be had.
    """
    place = parse_address(address)
    if isinstance(place, Path):
        async with open_listener(place) as listener:
            yield Outlet(address, [listener])
        return
    listeners = await trio.open_tcp_listeners(place[1], host=place[0])
    try:
        yield Outlet(address, listeners)
    finally:
        for one in listeners:
            one.socket.close()


def parse_address(text: str) -> tuple[str | None, int] | Path:
    """Read HOST:PORT, :PORT or [::1]:PORT, or a path.

    Raises:
        ValueError: none of them.
    """
    if not text or "\0" in text:
        raise ValueError("an address is HOST:PORT, like 127.0.0.1:9100, or a path")
    if text.startswith("@"):
        raise ValueError(f"{text!r} is an abstract socket, which anybody may use: write a path, or HOST:PORT")
    if "/" in text or ":" not in text:
        return Path(text)
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ValueError(f"{text!r} is not an address: write HOST:PORT, like 127.0.0.1:9100, or a path with a slash")
    return host.removeprefix("[").removesuffix("]") or None, int(port)
