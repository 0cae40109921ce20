"""Limits and bad input: what one client does wrong is nobody else's affair."""

import json
import os
import re
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import trio
from wsproto.events import TextMessage

from chat_harness import EXAMPLE, Server, Terminal, Visitor, WebSocket, chat_server

BOUND = 60  # seconds


@contextmanager
def clean_server(folder: Path) -> Iterator[Server]:
    """A server of two workers, whose log must be free of failures at the end."""
    with chat_server(folder, "--workers=2", "--vanish=2") as server:
        yield server
        assert server.stop() == 0
    assert "Traceback" not in server.log, server.log
    assert "SIGKILL" not in server.log


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server of one's own."""
    with clean_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for those who say nothing on it."""
    with clean_server(tmp_path_factory.mktemp("chat")) as server:
        yield server


@asynccontextmanager
async def everyone(server: Server) -> AsyncIterator[tuple[trio.Nursery, Visitor, Terminal]]:
    """One visitor with the page and one with nc; everything that they do ends with the block."""
    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            page = await nursery.start(Visitor(server, "ada").live)
            terminal = await nursery.start(Terminal(server, "bob").live)
            yield nursery, page, terminal
            nursery.cancel_scope.cancel()


async def test_both_kinds_of_client_talk(server: Server) -> None:
    """What one types in a browser the other reads in a terminal, and the other way round."""
    async with everyone(server) as (_, page, terminal):
        await page.say("hello from the page")
        await terminal.until(lambda: "hello from the page" in terminal.said)
        await terminal.type("hello from the terminal")
        await page.until(lambda: "hello from the terminal" in page.bodies)


async def test_a_terminal_is_told_what_it_did_wrong(server: Server) -> None:
    """Bytes that are not UTF-8, endless lines and unknown commands get an answer, empty lines none; it goes on."""
    async with everyone(server) as (_, page, terminal):
        for line in (b"caf\xe9", b"x" * 100_000, b"y" * 2001, b"", b"   ", b"/what"):
            await terminal.type(line)
        await terminal.type("fine")
        await page.until(lambda: page.texts)
        assert page.bodies == ["fine"]
        told = [line for line in terminal.lines if line.startswith("*")][-4:]
        assert "not UTF-8" in told[0]
        assert "too long" in told[1]
        assert "2001 characters" in told[2]
        assert "/join" in told[3]


async def test_a_terminal_cannot_be_made_to_obey(server: Server) -> None:
    """Escape sequences do not reach it, and a second line does not look like the first of somebody else."""
    async with everyone(server) as (_, page, terminal):
        await page.say("\x1b]0;owned\x07 first\n12:00 eve: lies")
        await terminal.until(lambda: any("lies" in line for line in terminal.lines))
        assert not any("\x1b" in line or "\x07" in line for line in terminal.lines)
        assert terminal.lines[-1] == "      | 12:00 eve: lies"


async def test_rooms_and_who(server: Server) -> None:
    """Who is in another room reads nothing of this one; /who says who is where."""
    async with everyone(server) as (_, page, terminal):
        await terminal.type("/join Attic")
        await terminal.until(lambda: any("#attic" in line for line in terminal.lines))
        await page.say("nobody reads this")
        await page.until(lambda: page.texts)
        await terminal.type("only me")
        await terminal.until(lambda: terminal.said)
        await terminal.type("/who")
        await terminal.until(lambda: any("Here: ada (#lobby, worker" in line for line in terminal.lines))
        assert terminal.said == ["only me"]
        assert page.bodies == ["nobody reads this"]
        await terminal.type("/quit")
        await page.until(lambda: any(item["kind"] == "leave" and item["name"] == "bob" for item in page.items))


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[" * 50_000,
        '{"type":"join"}',
        '{"type":"say","body":"x","nonce":"n"}',
        '{"type":"older","before":-1}',
    ],
)
async def test_a_bad_frame_is_answered(shared: Server, frame: str) -> None:
    """A frame that no page would send gets a notice, and the connection lives."""
    async with connected(shared) as socket:
        await socket.send(TextMessage(frame))
        async with aclosing(socket.items()) as items:
            assert (await anext(items))["kind"] == "notice"
            await socket.send_json(type="join", name="eve", room="lobby", client="c1", since=None)
            assert (await anext(items))["kind"] == "welcome"


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[WebSocket]:
    """A WebSocket on which nothing was said yet."""
    with trio.fail_after(BOUND):
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            websocket = WebSocket(stream)
            await websocket.ask(f"127.0.0.1:{server.port}")
            yield websocket


async def test_a_message_without_end_is_cut_off(shared: Server) -> None:
    """More than 64 KiB in one message close the connection with the code for it."""
    async with connected(shared) as websocket:
        for _ in range(10):
            await websocket.send(TextMessage("x" * 10_000, message_finished=False))
        assert [item async for item in websocket.items()] == []
        assert websocket.closed == 1009


async def http(server: Server, request: str, headers: str = "") -> str:
    """Send the head of a request, and read the answer to its end."""
    with trio.fail_after(BOUND):
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await stream.send_all(f"{request} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
            return b"".join([data async for data in stream]).decode()


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /", "", 200),
        ("HEAD /chat.js", "", 200),
        ("GET /chat.css?v=1", "", 200),
        ("GET /../store.py", "", 404),
        ("GET /chat.sqlite", "", 404),
        ("POST /", "", 405),
        ("GET /talk", "", 404),
        ("GET /talk", "Upgrade: websocket\r\n", 400),
        ("GET /talk", "Upgrade: websocket\r\nOrigin: http://elsewhere\r\n", 403),
        ("nonsense", "", 400),
        ("GET /", "X: " + "y" * 100_000 + "\r\n", 431),
    ],
)
async def test_http(shared: Server, request_line: str, headers: str, status: int) -> None:
    """The files of the page and nothing else; a page of somebody else's may not open a WebSocket."""
    answer = await http(shared, request_line, headers)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert "default-src 'none'" in answer


async def test_who_writes_too_fast_is_read_later(server: Server) -> None:
    """Thirty lines at once all arrive, in order, no faster than the pace allows; others are not delayed."""
    async with everyone(server) as (_, page, terminal):
        began = trio.current_time()
        for number in range(30):
            await terminal.type(str(number))
        await page.say("quick")
        await page.until(lambda: "quick" in page.bodies)
        assert "29" not in page.bodies
        await page.until(lambda: len(page.texts) == 31)
        assert trio.current_time() - began > 1.5
        assert [body for body in page.bodies if body != "quick"] == [str(number) for number in range(30)]


async def test_who_does_not_read_is_dropped(server: Server) -> None:
    """Its inbox fills, it is dropped within seconds, and the others, who read, miss nothing."""
    async with everyone(server) as (_, page, terminal):
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with deaf:
            deaf.connect(("127.0.0.1", server.tcp_port))
            deaf.sendall(b"deaf\n")
            await page.until(lambda: any(item["kind"] == "join" and item["name"] == "deaf" for item in page.items))
            flood(server, 4000)
            await page.say("that was all")
            await page.until(lambda: "that was all" in page.bodies)
            assert len(page.texts) == 4001
            await terminal.until(lambda: len(terminal.said) == 4001)
            await trio.to_thread.run_sync(server.wait_for_log, "deaf does not read, and is dropped")
            await page.until(lambda: any(item["kind"] == "leave" and item["name"] == "deaf" for item in page.items))


def flood(server: Server, count: int) -> None:
    """Let thousands of texts be in the database at once, as if hundreds of people had typed."""
    with closing(sqlite3.connect(server.folder / "chat.sqlite", timeout=30)) as db, db:
        row = "INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', 'lobby', 'eve', 1, ?, 1)"
        db.executemany(row, [(f"{number}" + "x" * 200,) for number in range(count)])


async def test_who_vanishes_is_noticed(server: Server) -> None:
    """A client that is gone without a word, as when its network is cut, leaves the room after a few seconds."""
    async with everyone(server) as (_, page, _terminal):
        gone = socket.create_connection(("127.0.0.1", server.tcp_port))
        gone.sendall(b"ghost\n")
        await page.until(lambda: any(item["kind"] == "join" and item["name"] == "ghost" for item in page.items))
        close_silently(gone)
        await page.until(lambda: any(item["kind"] == "leave" and item["name"] == "ghost" for item in page.items))


def close_silently(connection: socket.socket) -> None:
    """Let the kernel forget a connection without telling the other side; without the privilege, reset it."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR
    except PermissionError:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_a_port_in_use_is_one_line(tmp_path: Path, server: Server) -> None:
    """A second server on the same port says so in one line, with exit status 1."""
    second = subprocess.run(
        [sys.executable, EXAMPLE / "chat.py", f"--port={server.port}", "--tcp-port=0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=BOUND,
    )
    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr == f"Error: cannot listen on 127.0.0.1 port {server.port}: Address already in use\n"


@pytest.mark.parametrize(
    ("options", "word"), [(["--rotate=99 * * * *"], "minute"), (["--database=/proc/none/x"], "database file")]
)
def test_what_cannot_be_is_one_line(tmp_path: Path, options: list[str], word: str) -> None:
    """A crontab line that is none, or a database that cannot be, is one line with exit status 1."""
    command = [sys.executable, EXAMPLE / "chat.py", "--port=0", "--tcp-port=0", *options]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=BOUND)
    assert ended.returncode == 1
    assert re.fullmatch(rf"Error: .*{word}.*\n", ended.stderr), ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_stops_cleanly(tmp_path: Path, number: int) -> None:
    """With clients connected, one of whom does not read: exit status 0, soon, and no process is left."""
    with chat_server(tmp_path, "--workers=2") as server, trio.fail_after(BOUND):
        async with everyone(server):
            pids = [server.worker_pid(1), server.worker_pid(2)]
            assert await trio.to_thread.run_sync(server.stop, number) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert "Traceback" not in server.log
    assert server.log.splitlines()[-1].endswith("has stopped")


def test_a_bounded_run_ends_by_itself(tmp_path: Path) -> None:
    """`--seconds` is for those who only want to see it start."""
    with chat_server(tmp_path, "--workers=1", "--seconds=0.1") as server:
        assert server.process.wait(BOUND) == 0
    assert json.dumps(server.log).count("is ready") == 1
