"""Starts the chat server as its user does, and talks to it as its page does."""

from __future__ import annotations

import json
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import AcceptConnection, CloseConnection, Event, Request, TextMessage
from wsproto.utilities import LocalProtocolError

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "chat"
BOUND = 60  # seconds that anything may take before a test fails, on a busy machine too
STOP_SECONDS = BOUND


@dataclass
class Server:
    """A running chat server."""

    process: subprocess.Popen[str]
    folder: Path
    port: int
    tcp_port: int
    greeting: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def database(self) -> Path:
        return self.folder / "chat.sqlite"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def worker_pid(self, number: int) -> int:
        serves = rf"worker{number} +serves, pid (\d+)"
        self.wait_for_log(serves)  # the master may be ready a moment before the line is there
        return int(re.findall(serves, self.log)[-1])

    def wait_for_log(self, pattern: str, seconds: float = BOUND) -> str:
        """Wait until a line of the log matches, and return what its first group matched, or all."""
        give_up = time.monotonic() + seconds
        while not (found := re.search(pattern, self.log)):
            assert time.monotonic() < give_up, f"{pattern!r} is not in the log:\n{self.log}"
            time.sleep(0.02)
        return found[found.re.groups and 1]

    def trisig(self, *words: str) -> str:
        """What the `trisig` command answers about this server."""
        command = [sys.executable, "-m", "trisig", *words, "--control", "chat.control"]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=True, timeout=STOP_SECONDS
        ).stdout

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


def remember(database: Path, bodies: Iterable[str], room: str = "lobby", at: float = 1.0) -> None:
    """Let texts be in the database at once, as if hundreds of people had typed."""
    with closing(sqlite3.connect(database, timeout=30)) as db, db:
        row = "INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', ?, 'eve', 1, ?, ?)"
        db.executemany(row, [(room, body, at) for body in bodies])


@contextmanager
def chat_server(folder: Path, *options: str, descriptors: int | None = None) -> Iterator[Server]:
    """Run a server on free ports until it is stopped, at the latest at the end."""
    command = [sys.executable, "-W", "error", EXAMPLE / "chat.py", "--port=0", "--tcp-port=0", *options]
    if descriptors is not None:
        command = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    with process:
        try:
            assert process.stdout is not None
            greeting = process.stdout.readline()
            found = re.search(r"http://.+:(\d+)/ .* nc \S+ (\d+)", greeting)
            assert found, greeting + (folder / "log").read_text()
            server = Server(process, folder, int(found[1]), int(found[2]), greeting)
            server.wait_for_log("master +ready, ")
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


class WebSocket:
    """A WebSocket as a browser speaks it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.protocol = WSConnection(ConnectionType.CLIENT)
        self._writing = trio.Lock()
        self._part = ""
        self.closed: int | None = None

    @property
    def is_open(self) -> bool:
        return self.protocol.state is ConnectionState.OPEN

    async def ask(self, host: str) -> None:
        """Ask to be let in."""
        await self.send(Request(host=host, target="/talk", extra_headers=[(b"Origin", f"http://{host}".encode())]))
        while not self.is_open:
            data = await self.stream.receive_some()
            if not data:
                raise trio.BrokenResourceError
            self.protocol.receive_data(data)

    async def send(self, event: Event) -> None:
        async with self._writing:
            await self.stream.send_all(self.protocol.send(event))

    async def send_json(self, **request: Any) -> None:
        await self.send(TextMessage(json.dumps(request)))

    async def items(self) -> AsyncGenerator[dict[str, Any], None]:
        """What the server says, until it closes."""
        data = b" "
        while data:
            for event in self.protocol.events():
                for item in self._take(event):
                    yield item
            data = await self.stream.receive_some()
            self.protocol.receive_data(data or None)

    def _take(self, event: Event) -> list[dict[str, Any]]:
        assert isinstance(event, AcceptConnection | TextMessage | CloseConnection), event
        if isinstance(event, CloseConnection):
            self.closed = event.code
        if not isinstance(event, TextMessage):
            return []
        self._part += event.data
        if not event.message_finished:
            return []
        whole, self._part = self._part, ""
        return json.loads(whole)


class Visitor:
    """A client that keeps the rules of the page: it comes back, says where it was, and sends again what it must."""

    def __init__(self, server: Server, name: str, room: str = "lobby") -> None:
        self.server, self.name, self.room = server, name, room
        self.texts: list[tuple[int, str]] = []
        self.items: list[dict[str, Any]] = []
        self.outbox: dict[str, str] = {}
        self.welcomes: list[dict[str, Any]] = []
        self._socket: WebSocket
        self._heard = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def bodies(self) -> list[str]:
        return [body for _, body in self.texts]

    async def live(self, *, task_status: trio.TaskStatus[Visitor] = trio.TASK_STATUS_IGNORED) -> None:
        """Stay connected until `leave`; started once it was welcomed."""
        self._welcomed = lambda: task_status.started(self)
        with self._scope:
            while True:
                with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                    await self._connect()
                await trio.sleep(0.1)

    async def _connect(self) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", self.server.port) as stream:
            self._socket = WebSocket(stream)
            await self._socket.ask(f"127.0.0.1:{self.server.port}")
            async with aclosing(self._socket.items()) as items:
                await self._join()
                async for item in items:
                    await self._take(item)
                    self._heard.set()
                    self._heard = trio.Event()

    async def _join(self) -> None:
        since = self.texts[-1][0] if self.texts else None
        await self._socket.send_json(type="join", name=self.name, room=self.room, client=f"c-{self.name}", since=since)

    async def _take(self, item: dict[str, Any]) -> None:
        self.items.append(item)
        if item["kind"] == "welcome":
            self.welcomes.append(item)
            self._read(item["messages"])
            if len(self.welcomes) == 1:
                self._welcomed()
            for nonce, body in list(self.outbox.items()):
                await self._socket.send_json(type="say", nonce=nonce, body=body)
        elif item["kind"] == "text":
            self._read([item])
        elif item["kind"] == "receipt" and not item["is_new"]:
            self.outbox.pop(item["nonce"], None)

    def _read(self, texts: list[dict[str, Any]]) -> None:
        self.texts += [(text["id"], text["body"]) for text in texts]
        for text in texts:
            self.outbox.pop(text["nonce"], None)

    def heard(self, kind: str, **like: object) -> list[dict[str, Any]]:
        """The things of one kind that it was shown, those with these fields."""
        found = [item for item in self.items if item["kind"] == kind]
        return [item for item in found if all(item[field] == value for field, value in like.items())]

    async def ask(self, **request: Any) -> None:
        """Send something that `say` and `live` would not."""
        await self._socket.send_json(**request)

    async def say(self, body: str) -> None:
        nonce = secrets.token_hex(8)
        self.outbox[nonce] = body
        # What does not get through is said again after the next welcome.
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, LocalProtocolError):
            await self._socket.send_json(type="say", nonce=nonce, body=body)

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until `what()` is true, looking again whenever something was heard."""
        while not what():
            await self._heard.wait()

    def leave(self) -> None:
        self._scope.cancel()


class Terminal:
    """A person with nc, who types lines and reads lines."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name = server, name
        self.lines: list[str] = []
        self.ended = False
        self._stream: trio.SocketStream
        self._heard = trio.Event()

    async def live(self, *, task_status: trio.TaskStatus[Terminal] = trio.TASK_STATUS_IGNORED) -> None:
        """Read until the server ends it; started once it is in the room."""
        self._welcomed = lambda: task_status.started(self)
        async with await trio.open_tcp_stream("127.0.0.1", self.server.tcp_port) as self._stream:
            await self.type(self.name)
            rest = b""
            with suppress(trio.BrokenResourceError):
                async for data in self._stream:
                    *lines, rest = (rest + data).split(b"\n")
                    self._read([line.decode() for line in lines])
        self.ended = True
        self._hear()

    def _read(self, lines: list[str]) -> None:
        was_in = any("You are" in line for line in self.lines)
        self.lines += lines
        if not was_in and any("You are" in line for line in lines):
            self._welcomed()
        self._hear()

    def _hear(self) -> None:
        self._heard.set()
        self._heard = trio.Event()

    async def type(self, line: str | bytes) -> None:
        data = line if isinstance(line, bytes) else line.encode()
        await self._stream.send_all(data + b"\n")

    @property
    def worker(self) -> int:
        """The worker that it is on."""
        (worker,) = re.findall(r"on worker (\d+)\.", "\n".join(self.lines))
        return int(worker)

    @property
    def said(self) -> list[str]:
        """What people said, without their names."""
        return [line.partition(": ")[2] for line in self.lines if not line.startswith("*")]

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until `what()` is true, looking again whenever something was heard."""
        while not what():
            assert not self.ended, self.lines
            await self._heard.wait()


@asynccontextmanager
async def everyone(server: Server) -> AsyncIterator[tuple[trio.Nursery, Visitor, Terminal]]:
    """One visitor with the page and one with nc; everything that they do ends with the block."""
    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            page = await nursery.start(Visitor(server, "ada").live)
            terminal = await nursery.start(Terminal(server, "bob").live)
            yield nursery, page, terminal
            nursery.cancel_scope.cancel()
