"""A WebSocket on a trio stream: wsproto knows the protocol, this moves the bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import trio
from wsproto import WSConnection
from wsproto.connection import ConnectionState, ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason

from client import Client
from inbox import Batch

LONGEST = 64 * 1024  # characters of one message
MOST_FRAMES = 64  # of one message
CHUNK = 64 * 1024
LINGER = 1.0  # seconds for a client to close after we did
DRAINED = 16  # chunks


async def drain(stream: trio.SocketStream) -> None:
    """Read what a client still sends: closing with input unread would reset the connection, and lose our last words.

    It is not read without end: a client that goes on sending does not want to read them.
    """
    for _ in range(DRAINED):
        if not await stream.receive_some(CHUNK):
            return


class WebSocketLine:
    """The server's side of one WebSocket.

    Args:
        stream: where an HTTP request has been read that asks for a WebSocket.
        headers, target: of that request.
        rest: what came behind it.
    """

    def __init__(self, stream: trio.SocketStream, headers: list[tuple[bytes, bytes]], target: str, rest: bytes) -> None:
        self._stream = stream
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._protocol.initiate_upgrade_connection(headers, target)
        self._rest = rest
        # What the protocol makes must be sent in the order in which it was made.
        self._writing = trio.Lock()
        self._parts: list[str] = []
        self._length = self._frames = 0

    async def accept(self) -> None:
        """Agree to speak."""
        for event in self._protocol.events():
            if isinstance(event, Request):
                await self._send(AcceptConnection())

    async def show(self, batch: Batch) -> None:
        """Send a list of JSON objects as one message; an empty one says that we are still here."""
        if self._protocol.state is ConnectionState.OPEN:
            await self._send(TextMessage(f"[{','.join(shown.json for shown in batch)}]"))

    async def messages(self, client: Client) -> AsyncGenerator[str]:
        """The texts that the client sends, until it closes. Each frame counts, an empty one and a ping too."""
        self._protocol.receive_data(self._rest)
        while True:
            for event in self._protocol.events():
                await client.keep_input_pace()
                if (message := await self._take(event)) is not None:
                    yield message
            if self._protocol.state is not ConnectionState.OPEN:
                await self._linger()
                return
            data = await self._stream.receive_some(CHUNK)
            if not data:
                return
            await client.keep_input_pace()
            self._protocol.receive_data(data)

    async def _linger(self) -> None:
        """Give the client a moment to read our farewell."""
        if self._protocol.state is ConnectionState.LOCAL_CLOSING:
            with trio.move_on_after(LINGER):
                await drain(self._stream)

    async def _take(self, event: Event) -> str | None:
        match event:
            case TextMessage():
                return await self._collect(event)
            case BytesMessage():
                await self.close(CloseReason.UNSUPPORTED_DATA)
            case Ping() | CloseConnection() if self._protocol.state is not ConnectionState.CLOSED:
                await self._send(event.response())
        return None

    async def _collect(self, part: TextMessage) -> str | None:
        self._parts.append(part.data)
        self._length += len(part.data)
        self._frames += part.frame_finished
        if self._length > LONGEST or self._frames > MOST_FRAMES:
            await self.close(CloseReason.MESSAGE_TOO_BIG)
        elif part.message_finished:
            message = "".join(self._parts)
            self._parts, self._length, self._frames = [], 0, 0
            return message
        return None

    async def close(self, reason: CloseReason = CloseReason.NORMAL_CLOSURE) -> None:
        """Say that this is the end."""
        if self._protocol.state is ConnectionState.OPEN:
            await self._send(CloseConnection(reason))

    async def _send(self, event: Event) -> None:
        async with self._writing:
            await self._stream.send_all(self._protocol.send(event))
