"""Limits and bad input: what one client does wrong is nobody else's affair."""

import os
import signal
import socket
import sqlite3
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path

import pytest
import trio
from wsproto.events import TextMessage

from chat_harness import BOUND, Server, Terminal, Visitor, WebSocket, chat_server, everyone, remember


@contextmanager
def clean_server(folder: Path, *options: str, descriptors: int | None = None) -> Iterator[Server]:
    """A server of two workers, whose log must be free of failures at the end."""
    with chat_server(folder, "--workers=2", "--vanish=2", *options, descriptors=descriptors) as server:
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
        assert told[3].startswith("* Unknown command /etc/passwd. Nothing was sent. ")
        assert "// sends a text that begins with a slash" in told[3]
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
                "This page is out of date. Reload it, please.",
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


@pytest.mark.parametrize(("frames", "end"), [(64, None), (65, 1009)])
async def test_a_message_has_few_frames(shared: Server, frames: int, end: int | None) -> None:
    """A message may come in 64 frames. With one more, however empty they are, the connection is closed."""
    async with connected(shared) as websocket, aclosing(websocket.items()) as items:
        await websocket.send(TextMessage("[", message_finished=False))
        for _ in range(frames - 2):
            await websocket.send(TextMessage("", message_finished=False))
        await websocket.send(TextMessage("]"))
        told = [item["kind"] async for item in first(items)]
        assert told == ([] if end else ["notice"])
        assert websocket.closed == end


async def first(items: AsyncIterator[dict[str, object]]) -> AsyncIterator[dict[str, object]]:
    """The first one, if there is one."""
    async for item in items:
        yield item
        return


PING = b"\x89\x80mask"
FLOOD = 20_000  # pings
BLOCKS = 2000  # of 64 kilobytes
TALK = 10  # messages that are said and read meanwhile


async def test_a_flood_of_pings_is_read_later(server: Server) -> None:
    """While others talk, few of the pings are answered, though all of them were sent at once."""
    async with everyone(server) as (nursery, page, _terminal), connected(server) as websocket:
        nursery.start_soon(websocket.stream.send_all, PING * FLOOD)
        await talk(page)
        answers = await websocket.stream.receive_some(10 * FLOOD)
        assert 0 < len(answers) < FLOOD // 10


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_input_without_end_is_read_later(server: Server, first: bytes) -> None:
    """While others talk, little is read of a line that never ends, or of what follows a request."""
    sent = 0

    async def flood() -> None:
        nonlocal sent
        port = server.port if first else server.tcp_port
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(first)
            with suppress(trio.BrokenResourceError):  # the server has closed
                for _ in range(BLOCKS):
                    await stream.send_all(b"x" * 65536)
                    sent += 1

    async with everyone(server) as (nursery, page, _terminal):
        nursery.start_soon(flood)
        await talk(page)
        assert 0 < sent < BLOCKS // 4


async def talk(page: Visitor) -> None:
    """Say one thing after the other, each when the last one is read."""
    for number in range(TALK):
        await page.say(str(number))
        await page.until(lambda number=number: str(number) in page.bodies)


async def http(server: Server, request: str, headers: str = "", host: str = "127.0.0.1") -> str:
    """Send the head of a request, and read the answer to its end."""
    with trio.fail_after(BOUND):
        async with await trio.open_tcp_stream("127.0.0.1", server.port) as stream:
            await stream.send_all(f"{request} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
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


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("LOCALHOST:8000", True),
        ("chat.example", True),
        ("Chat.Example.:8000", True),
        ("elsewhere.example:8000", False),
        ("localhost.elsewhere.example", False),
        ("127.0.0.1.elsewhere.example", False),
        ("", False),
    ],
)
async def test_it_goes_by_few_names(named: Server, host: str, *, allowed: bool) -> None:
    """A page whose own name was made to point here (DNS rebinding) gets nothing: neither a file nor a WebSocket."""
    page = await http(named, "GET /", host=host)
    assert page.startswith("HTTP/1.1 200" if allowed else "HTTP/1.1 403")
    assert ("--allow-host NAME" in page) is not allowed
    talk = await http(named, "GET /talk", f"Upgrade: websocket\r\nOrigin: http://{host}\r\n", host=host)
    assert talk.startswith("HTTP/1.1 400" if allowed else "HTTP/1.1 403")  # 400: nothing else of a WebSocket is there


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that goes by a name."""
    with clean_server(tmp_path_factory.mktemp("chat"), "--allow-host=chat.EXAMPLE") as server:
        yield server


async def test_who_writes_too_fast_is_read_later(server: Server) -> None:
    """Thirty lines at once all arrive, in order, no faster than the pace allows; others are not delayed."""
    async with everyone(server) as (_, page, terminal):
        began = trio.current_time()
        for number in range(30):
            await terminal.type(str(number))
        await page.say("quick")
        await page.until(lambda: len(page.texts) == 31)
        assert page.bodies.index("quick") < page.bodies.index("29")
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
            await trio.to_thread.run_sync(server.wait_for_log, "deaf does not read and is disconnected")
            await page.until(lambda: page.heard("leave", name="deaf"))


async def test_who_reads_too_slowly_is_cut_off(server: Server) -> None:
    """Ten kilobytes a second are too few, though the kernel sees that it reads; the others read all meanwhile."""
    async with everyone(server) as (nursery, page, terminal):
        slow = trio.socket.socket()
        slow.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
        await slow.connect(("127.0.0.1", server.tcp_port))
        await slow.send(b"slow\n")
        nursery.start_soon(trickle, slow)
        await page.until(lambda: page.heard("join", name="slow"))
        remember(server.database, (f"{number}" + "x" * 1000 for number in range(400)))
        await page.say("that was all")
        await terminal.until(lambda: "that was all" in terminal.said)
        await trio.to_thread.run_sync(server.wait_for_log, "slow reads too slowly and is cut off")
        await page.until(lambda: page.heard("leave", name="slow"))
        assert len(page.texts) == 401
    assert "does not read" not in server.log


async def trickle(slow: trio.socket.SocketType) -> None:
    """Read a little ten times a second."""
    with slow, suppress(OSError):
        while True:
            if not await slow.recv(1000):
                return
            await trio.sleep(0.1)


async def test_a_full_server_lets_nobody_in_until_somebody_leaves(tmp_path: Path) -> None:
    """Clients that would take the last file descriptors wait in front of it, and those who are in are served."""
    with clean_server(tmp_path, descriptors=128) as server:
        async with everyone(server) as (_, page, _terminal):
            crowd = [socket.create_connection(("127.0.0.1", server.tcp_port)) for _ in range(400)]
            await trio.to_thread.run_sync(server.wait_for_log, "is full; further clients wait until somebody leaves")
            await page.say("still served")
            await page.until(lambda: page.texts)
            for connection in crowd:
                connection.close()
            late = await trio.open_tcp_stream("127.0.0.1", server.tcp_port)
            async with late:
                await late.send_all(b"late\n")
                await page.until(lambda: page.heard("join", name="late"))


async def test_a_database_that_fails_ends_no_worker(tmp_path: Path) -> None:
    """Who speaks or leaves while nothing can be written is a line in the log; a new worker starts all the same."""
    with chat_server(tmp_path, "--workers=2") as server:
        async with everyone(server) as (nursery, page, terminal):
            late = await nursery.start(Terminal(server, "late").live)
            with closing(sqlite3.connect(server.database, isolation_level=None)) as db:
                db.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no space'); END")
                await late.type("nobody can read this")
                fails = "because the database fails: no space"
                await trio.to_thread.run_sync(server.wait_for_log, f"{fails}(?s:.*){fails}")
                assert server.log.count("serves, pid") == 2
                other = 3 - terminal.worker
                os.kill(server.worker_pid(other), signal.SIGKILL)
                serves = rf"worker{other} +serves"
                await trio.to_thread.run_sync(server.wait_for_log, f"{serves}(?s:.*){serves}")
                db.execute("DROP TRIGGER full")
            await page.say("and on")
            await terminal.until(lambda: terminal.said == ["and on"])
        assert server.stop() == 0
    assert server.log.count("serves, pid") == 3
    assert "Traceback" not in server.log


async def test_a_terminal_is_told_who_comes_and_goes(server: Server) -> None:
    """In its room, and whatever it does itself only once; and that a name was taken."""
    async with everyone(server) as (nursery, page, terminal):
        eve = await nursery.start(Terminal(server, "bob").live)
        assert "* The name bob is taken; /name NAME chooses another one." in eve.lines
        assert eve.lines[-1].startswith("* You are bob-2, in #lobby, ")
        await eve.type("/name eve")
        await eve.until(lambda: eve.lines[-1].startswith("* You are eve, in #lobby, "))
        await eve.type("/join attic")
        await eve.until(lambda: eve.lines[-1].startswith("* You are eve, in #attic, "))
        carol = await nursery.start(Terminal(server, "carol").live)
        await carol.type("/quit")
        await page.until(lambda: page.heard("leave", name="carol"))
        await eve.type("/join lobby")
        await eve.type("/quit")
        await terminal.until(lambda: terminal.lines[-1] == "* eve left.")
        told = [line for line in terminal.lines if line.startswith("* ")]
        assert told[told.index("* bob-2 joined #lobby.") :] == [
            "* bob-2 joined #lobby.",
            "* bob-2 is now eve.",
            "* eve joined #attic.",
            "* carol joined #lobby.",
            "* carol left.",
            "* eve joined #lobby.",
            "* eve left.",
        ]
        assert not [line for line in eve.lines if "carol" in line or " joined #" in line]


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
