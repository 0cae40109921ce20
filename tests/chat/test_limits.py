"""Limits and bad input: what one client does wrong is nobody else's affair."""

import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from wsproto.events import TextMessage

from chat_harness import BOUND, Server, WebSocket, chat_server, everyone, remember


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
        lines = (
            b"caf\xe9",
            b"x" * 100_000,
            b"y" * 2001,
            b"",
            b"   ",
            "\u200b\u2800".encode(),
            b"/etc/passwd is a file",
        )
        for line in (*lines, b"/join a b", b"/name a b", b"//etc/passwd is a file", b"/HELP"):
            await terminal.type(line)
        await terminal.type("fine")
        await page.until(lambda: len(page.texts) == 2)
        assert page.bodies == ["/etc/passwd is a file", "fine"]
        await terminal.until(lambda: "fine" in terminal.said)
        told = [line for line in terminal.lines if line.startswith("*")][-7:]
        assert "not UTF-8" in told[0]
        assert "too long" in told[1]
        assert "2001 characters" in told[2]
        assert told[3].startswith("* There is no /etc/passwd, and nothing was sent. ")
        assert "// says something with a slash" in told[3]
        assert told[4].startswith("* The name of a room has ")
        assert told[5].startswith("* A name has ")
        assert told[6].startswith("* Type, and everyone in the room reads it.")


async def test_each_message_is_confirmed(server: Server) -> None:
    """A new one, even if its sender has left the room meanwhile; one that was sent before; and one that is nothing."""
    async with everyone(server) as (_, page, terminal):
        await page.ask(type="say", body="on the way out", nonce="n1")
        await page.ask(type="join", name="ada", room="attic", client="c-ada", since=None)
        await page.until(lambda: page.heard("receipt", nonce="n1", is_new=True))
        await page.until(lambda: page.heard("welcome", room="attic"))
        await page.ask(type="say", body="on the way out", nonce="n1")
        await page.until(lambda: page.heard("receipt", nonce="n1", is_new=False))
        await page.ask(type="say", body=" \u200b\n", nonce="n2")
        await page.until(lambda: page.heard("receipt", nonce="n2", is_new=False))
        await terminal.until(lambda: terminal.said)
        await terminal.type("end")
        await terminal.until(lambda: "end" in terminal.said)
        assert terminal.said == ["on the way out", "end"]


async def test_another_name_keeps_the_place(server: Server) -> None:
    """Whoever changes the name in a terminal stays where they are, and is not shown the history again."""
    async with everyone(server) as (_, page, terminal):
        await page.say("once")
        await terminal.until(lambda: terminal.said)
        await terminal.type("/name robert")
        await page.until(lambda: page.heard("join", name="robert", room="lobby") and page.heard("leave", name="bob"))
        await terminal.type("it is me")
        await page.until(lambda: page.heard("text", name="robert", body="it is me"))
        await terminal.until(lambda: "it is me" in terminal.said)
        assert terminal.said == ["once", "it is me"]


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
        await page.until(lambda: page.heard("leave", name="bob"))


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "null",
        "[" * 50_000,
        '{"type":"join"}',
        '{"type":"join","name":"not one","room":"lobby","client":"c","since":null}',
        '{"type":"say","body":"x","nonce":"n"}',
        '{"type":"older","before":-1}',
    ],
)
async def test_a_bad_frame_is_answered(shared: Server, frame: str) -> None:
    """A frame that no page would send gets a notice that a person understands, and the connection lives."""
    async with connected(shared) as socket:
        await socket.send(TextMessage(frame))
        async with aclosing(socket.items()) as items:
            told = await anext(items)
            assert told["kind"] == "notice"
            assert told["body"] in {
                "This page does not fit this server. Reload it, please.",
                "Enter a room first.",
                "A name has 1 to 24 letters, digits, dots, dashes or underscores.",
            }
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
    """More than 65536 characters in one message close the connection with the code for it."""
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
            await page.until(lambda: page.heard("join", name="deaf"))
            remember(server.database, (f"{number}" + "x" * 200 for number in range(4000)))
            await page.say("that was all")
            await page.until(lambda: "that was all" in page.bodies)
            assert len(page.texts) == 4001
            await terminal.until(lambda: len(terminal.said) == 4001)
            await trio.to_thread.run_sync(server.wait_for_log, "deaf does not read, and is dropped")
            await page.until(lambda: page.heard("leave", name="deaf"))


async def test_who_vanishes_is_noticed(server: Server) -> None:
    """A client that is gone without a word, as when its network is cut, leaves the room after a few seconds."""
    async with everyone(server) as (_, page, _terminal):
        gone = socket.create_connection(("127.0.0.1", server.tcp_port))
        gone.sendall(b"ghost\n")
        await page.until(lambda: page.heard("join", name="ghost"))
        close_silently(gone)
        await page.until(lambda: page.heard("leave", name="ghost"))


def close_silently(connection: socket.socket) -> None:
    """Let the kernel forget a connection without telling the other side; without the privilege, reset it."""
    try:
        connection.setsockopt(socket.IPPROTO_TCP, 19, 1)  # TCP_REPAIR
    except PermissionError:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
