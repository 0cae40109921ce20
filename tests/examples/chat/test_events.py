"""Events at work: the clock, the message of the day, the rotation, and what a killed worker's clients see."""

import os
import random
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import trio
from witness import eventually

from app import ROTATE
from chat_harness import BOUND, Server, Terminal, Visitor, chat_server, remember


@asynccontextmanager
async def visited(folder: Path, *options: str) -> AsyncIterator[tuple[Server, trio.Nursery, Visitor]]:
    """A server with one visitor; its log must be free of failures at the end."""
    with chat_server(folder, *options) as server, trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            yield server, nursery, await nursery.start(Visitor(server, "ada").live)
            nursery.cancel_scope.cancel()
        assert server.stop() == 0
    assert "Traceback" not in server.log, server.log


async def test_a_mule_tells_the_time(tmp_path: Path) -> None:
    """The timer's signal runs in the mule, and everyone reads the time, again and again."""
    async with visited(tmp_path, "--workers=2", "--clock=0.5") as (server, nursery, page):
        terminal = await nursery.start(Terminal(server, "bob").live)
        await page.until(lambda: len(page.heard("time")) >= 2)
        await terminal.until(lambda: any(line.startswith("* It is ") for line in terminal.lines))
        server.wait_for_log(r"mule1 +signal \d+: announces the time")


async def test_who_is_silent_for_long_is_dismissed(tmp_path: Path) -> None:
    """The mule clears the session, its worker closes it with a word, and who talks stays.

    Who has not even said who they are, in a terminal or through a page that was made to, is shown the door too.
    """
    async with visited(tmp_path, "--workers=2", "--idle=3") as (server, nursery, page):
        silent = await nursery.start(Terminal(server, "bob").live)
        nobody = [
            await nursery.start(until_ended, server.tcp_port, b""),
            await nursery.start(until_ended, server.port, UPGRADE),
        ]
        while not silent.ended or not all(said.is_over for said in nobody):
            await page.say("still here")
            await trio.sleep(0.25)
        assert silent.lines[-1] == "* You were silent for too long, so the server ended your session."
        assert nobody[0].data == b"* What is your name?\n* You did not give a name.\n"
        assert b"You did not give a name." in nobody[1].data
        assert len(page.welcomes) == 1
        await page.until(lambda: page.heard("leave", name="bob"))
        server.wait_for_log(r"mule1 +signal \d+: ends 1 idle sessions")


UPGRADE = (
    b"GET /talk HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass
class Said:
    """What a server said on a connection."""

    data: bytes = b""
    is_over: bool = False


async def until_ended(port: int, request: bytes, *, task_status: trio.TaskStatus[Said]) -> None:
    """Say one thing and listen until the server ends the connection."""
    said = Said()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        task_status.started(said)
        async for data in stream:
            said.data += data
    said.is_over = True


async def test_everyone_reads_the_new_message_of_the_day(tmp_path: Path) -> None:
    """A changed file, a replaced one as editors do it, an emptied one: all read what is in it, late comers too."""
    file = tmp_path / "motd.txt"
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        assert "Edit motd.txt" in page.welcomes[0]["motd"]
        file.write_text("Closed on Sunday.")
        await page.until(lambda: page.heard("motd", body="Closed on Sunday."))
        (tmp_path / "new.txt").write_text("Open on Sunday.\x1b[2J")
        (tmp_path / "new.txt").replace(file)
        await page.until(lambda: page.heard("motd", body="Open on Sunday.[2J"))
        late = await nursery.start(Visitor(server, "late").live)
        assert late.welcomes[0]["motd"] == "Open on Sunday.[2J"
        server.wait_for_log(r"worker\d +signal \d+: the message of the day has changed")
        seen = len(page.items)
        file.write_text("")
        await page.until(lambda: any(item["kind"] == "motd" and not item["body"] for item in page.items[seen:]))
        late = await nursery.start(Visitor(server, "later").live)
        assert late.welcomes[0]["motd"] == ""
        # What cannot be read is one line in the log, and no reason to change anything.
        file.unlink()
        file.mkdir()
        await trio.to_thread.run_sync(server.wait_for_log, r"the message of the day stays as it was: .*motd\.txt")


async def test_a_terminal_reads_the_message_of_the_day_last(tmp_path: Path) -> None:
    """In a room with a long history it would not be seen above that."""
    async with visited(tmp_path, "--workers=1") as (server, nursery, page):
        remember(server.database, map(str, range(150)))
        await page.say("news")
        await page.until(lambda: len(page.texts) == 151)
        bob = await nursery.start(Terminal(server, "bob").live)
        assert bob.said[-100:] == [*map(str, range(51, 150)), "news"]
        assert bob.lines[-2] == "* Welcome. Edit motd.txt and everyone here reads what you wrote."
        assert bob.lines[-1].startswith("* You are bob, in #lobby")


async def test_a_lively_room_delays_no_other_signal(tmp_path: Path) -> None:
    """While two dozen people talk without a pause, a change of the message of the day is read all the same."""
    async with visited(tmp_path) as (server, nursery, page):
        crowd = [await nursery.start(Visitor(server, f"v{number}").live) for number in range(24)]

        async def talk(visitor: Visitor) -> None:
            while True:
                await visitor.say("and another thing")
                await trio.sleep(random.uniform(0.2, 0.3))

        for visitor in crowd:
            nursery.start_soon(talk, visitor)
        await page.until(lambda: len(page.texts) > 100)
        (tmp_path / "motd.txt").write_text("Hush.")
        await page.until(lambda: page.heard("motd", body="Hush."))  # they talk on until then


async def test_a_rotation_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """A mule archives what is old, as often as the signal is raised that cron raises, and at no other.

    Nobody new sees it. Who was away reads on from it, and a message that is sent once more is known.
    """
    async with visited(tmp_path, "--workers=2", "--keep=3") as (server, nursery, page):
        for number in range(8):
            await page.say(str(number))
        await page.until(lambda: len(page.texts) == 8)
        await trio.to_thread.run_sync(server.trisig, "send", "200")
        await trio.to_thread.run_sync(server.trisig, "send", str(ROTATE))
        await trio.to_thread.run_sync(
            server.wait_for_log, rf"mule1 +signal {ROTATE}: the history is rotated, 5 messages"
        )

        first = page.heard("text", body="0")[0]
        await page.ask(type="say", body="0", nonce=first["nonce"])
        await page.until(lambda: page.heard("receipt", nonce=first["nonce"], is_new=False))
        away = Visitor(server, "away")
        away.texts.append((first["id"], "0"))
        await nursery.start(away.live)
        late = await nursery.start(Visitor(server, "late").live)
        await page.say("after")
        await late.until(lambda: "after" in late.bodies)
        assert late.bodies == ["5", "6", "7", "after"]
        for visitor in (away, page):
            await visitor.until(lambda visitor=visitor: "after" in visitor.bodies)
        assert away.bodies == page.bodies == [*"01234567", "after"]
    with closing(sqlite3.connect(server.database)) as db:
        assert [body for (body,) in db.execute("SELECT body FROM archive ORDER BY id")] == list("01234")


async def test_a_rotation_that_fails_is_one_line(tmp_path: Path) -> None:
    """The mule lives on, and the next rotation makes up for it."""
    async with visited(tmp_path, "--workers=1", "--keep=1") as (server, _nursery, page):
        for number in range(3):
            await page.say(str(number))
        await page.until(lambda: len(page.texts) == 3)
        with closing(sqlite3.connect(server.database, isolation_level=None)) as db:
            db.execute("CREATE TRIGGER full BEFORE INSERT ON archive BEGIN SELECT RAISE(ABORT, 'no space'); END")
            await trio.to_thread.run_sync(server.trisig, "send", str(ROTATE))
            await trio.to_thread.run_sync(server.wait_for_log, r"mule1 +signal \d+: .* is not rotated: no space")
            db.execute("DROP TRIGGER full")
        await trio.to_thread.run_sync(server.trisig, "send", str(ROTATE))
        await trio.to_thread.run_sync(server.wait_for_log, "the history is rotated, 2 messages archived")
        assert server.log.count("mule1 ") == 3  # in the master's first line, and these two


async def test_a_killed_worker_disturbs_nobody_else(tmp_path: Path) -> None:
    """Its clients leave the list and come back by themselves; those of the other worker keep their connection.

    A terminal does not come back, and must not stay in the list.
    """
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        others = [await nursery.start(Visitor(server, f"v{number}").live) for number in range(8)]
        terminals = [await nursery.start(Terminal(server, f"t{number}").live) for number in range(8)]
        everyone = {visitor.name: visitor for visitor in [page, *others]}
        number = terminals[0].worker
        hit = {name for name, visitor in everyone.items() if visitor.welcomes[0]["worker"] == number}
        lost = {terminal.name for terminal in terminals if terminal.worker == number}
        os.kill(server.worker_pid(number), signal.SIGKILL)
        again = rf"(?s)worker{number} +serves.*worker{number} +serves"
        await trio.to_thread.run_sync(server.wait_for_log, again)
        for name in hit:
            await everyone[name].until(lambda visitor=everyone[name]: len(visitor.welcomes) == 2)
        await page.say("all here?")
        for visitor in everyone.values():
            await visitor.until(lambda visitor=visitor: visitor.texts)
        assert {name for name, visitor in everyone.items() if len(visitor.welcomes) > 1} == hit
        late = await nursery.start(Visitor(server, "late").live)
        stayed = {terminal.name for terminal in terminals} - lost
        assert {person["name"] for person in late.welcomes[0]["people"]} == {*everyone, *stayed, "late"}
        await eventually(lambda: {terminal.name for terminal in terminals if terminal.ended} == lost)


async def test_history_outlives_the_server(tmp_path: Path) -> None:
    """Started again on the same database, it shows the end of what was said, and nobody who is not here.

    Who was there before is shown all that was missed, ten thousand messages of it, once and in order, and then what is
    said now.
    """
    async with visited(tmp_path, "--workers=2") as (_, _nursery, page):
        await page.say("the last that was seen")
        await page.until(lambda: page.texts)
        seen = page.texts
    remember(tmp_path / "chat.sqlite", map(str, range(10_000)))
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        assert [person["name"] for person in page.welcomes[0]["people"]] == ["ada"]
        assert page.bodies == list(map(str, range(9_900, 10_000)))
        back = Visitor(server, "back")
        back.texts += seen
        await nursery.start(back.live)
        await page.say("now")
        await back.until(lambda: "now" in back.bodies)
        assert back.bodies == ["the last that was seen", *map(str, range(10_000)), "now"]
