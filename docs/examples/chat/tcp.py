"""Plain TCP, for `nc localhost 7000`: one line is one message, and a line that begins with a slash is a command."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import trio

from client import Client
from events import Event, Notice, Shown
from hub import Hub
from inbox import Batch
from words import MAX_TEXT, BadInput, Join, Say, clean_name, clean_room, clean_text, split_command

LONGEST = 4 * MAX_TEXT + 2  # bytes: the longest text, if each character takes four, and the end of its line
COMMANDS = "/join ROOM, /name NAME, /who, /help, /quit; // sends a text that begins with a slash."


class TcpLine:
    """Shows things to a terminal."""

    def __init__(self, stream: trio.SocketStream, client: Client) -> None:
        self._stream, self._client = stream, client

    async def show(self, batch: Batch) -> None:
        """Send the lines of these: who joins or leaves its room too, as a terminal has no list of people."""
        if lines := "".join(shown.lines for shown in batch if self._is_wanted(shown)):
            await self._stream.send_all(lines.encode())

    def _is_wanted(self, shown: Shown) -> bool:
        if not isinstance(shown, Event):
            return True
        is_in_welcome = shown.kind in {"join", "leave"} and shown.id <= self._client.welcomed_at
        return shown.is_seen_in(self._client.room) and not is_in_welcome


async def serve_tcp(stream: trio.SocketStream, client: Client, hub: Hub) -> None:
    """Serve one connection until either side ends it."""
    await client.put([Notice("What is your name?")])
    async with trio.open_nursery() as nursery, aclosing(_lines(stream, client)) as lines:
        nursery.start_soon(_write, client, TcpLine(stream, client), nursery.cancel_scope)
        await _Visitor(client, hub).obey(lines)
        client.dismiss(Notice("Goodbye.", "bye"))


async def _write(client: Client, line: TcpLine, connection: trio.CancelScope) -> None:
    await client.write(line)
    connection.cancel()


async def _lines(stream: trio.SocketStream, client: Client) -> AsyncGenerator[bytes | None]:
    """The lines that a client sends, None for one that is too long. What comes after the last newline is nothing."""
    buffer, too_long = bytearray(), False
    async for data in stream:
        await client.keep_input_pace()
        buffer += data
        while (end := buffer.find(b"\n")) >= 0:
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            yield None if too_long or len(line) > LONGEST else line
            too_long = False
        if len(buffer) > LONGEST:
            buffer.clear()
            too_long = True


class _Visitor:
    """What the lines of one client mean."""

    def __init__(self, client: Client, hub: Hub) -> None:
        self._client, self._hub = client, hub

    async def obey(self, lines: AsyncIterator[bytes | None]) -> None:
        async for line in lines:
            await self._client.keep_pace()
            try:
                if await self._obey(_decode(line)) == "quit":
                    return
            except BadInput as problem:
                await self._client.put([Notice(str(problem))])

    async def _obey(self, line: str) -> str | None:
        if not self._client.name:
            await self._enter(clean_name(line), "lobby")
            return None
        match split_command(line):
            case "", text:
                await self._hub.say(self._client, Say(text, None))
            case "/join", room:
                await self._enter(self._client.name, clean_room(room))
            case "/name", name:
                await self._enter(clean_name(name), self._client.room)
            case "/who", _:
                await self._hub.show_people(self._client)
            case "/help", _:
                await self._client.put([Notice(f"Type, and everyone in the room reads it. {COMMANDS}")])
            case "/quit", _:
                return "quit"
            case command, _:
                raise BadInput(f"Unknown command {command}. Nothing was sent. Commands: {COMMANDS}")
        return None

    async def _enter(self, name: str, room: str) -> None:
        await self._hub.join(self._client, Join(name, room, self._client.connection, None))


def _decode(line: bytes | None) -> str:
    if line is None:
        raise BadInput("This line is too long. It was not sent.")
    try:
        return clean_text(line.decode())
    except UnicodeDecodeError:
        raise BadInput("This line is not UTF-8. It was not sent.") from None
