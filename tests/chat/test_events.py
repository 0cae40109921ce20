"""Events at work: the clock, the message of the day, the rotation, and what a killed worker's clients see."""

import os
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import trio

from chat_harness import Server, Terminal, Visitor, chat_server

BOUND = 60  # seconds


@asynccontextmanager
async def visited(folder: Path, *options: str) -> AsyncIterator[tuple[Server, trio.Nursery, Visitor]]:
    """A server with one visitor; its log must be free of failures at the end."""
    with chat_server(folder, *options) as server, trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            yield server, nursery, await nursery.start(Visitor(server, "ada").live)
            nursery.cancel_scope.cancel()
        assert server.stop() == 0
    assert "Traceback" not in server.log, server.log


def heard(visitor: Visitor, kind: str) -> list[str]:
    """What of one kind a visitor was shown."""
    return [item["body"] for item in visitor.items if item["kind"] == kind]


async def test_a_mule_tells_the_time(tmp_path: Path) -> None:
    """The timer's signal runs in the mule, and everyone reads the time, again and again."""
    async with visited(tmp_path, "--workers=2", "--clock=0.5") as (server, nursery, page):
        terminal = await nursery.start(Terminal(server, "bob").live)
        await page.until(lambda: len(heard(page, "time")) >= 2)
        await terminal.until(lambda: any(line.startswith("* It is ") for line in terminal.lines))
        server.wait_for_log(r"mule1 +signal \d+: announces the time")


async def test_who_is_silent_for_long_is_dismissed(tmp_path: Path) -> None:
    """The mule clears the session, its worker closes it with a word, and who talks stays."""
    async with visited(tmp_path, "--workers=2", "--idle=1.5") as (server, nursery, page):
        silent = await nursery.start(Terminal(server, "bob").live)
        while not silent.ended:
            await page.say("still here")
            await trio.sleep(0.25)
        assert silent.lines[-1] == "* You were silent for so long that your place was cleared."
        assert len(page.welcomes) == 1
        await page.until(lambda: any(item["kind"] == "leave" and item["name"] == "bob" for item in page.items))
        server.wait_for_log(r"mule1 +signal \d+: clears 1 idle sessions")


async def test_everyone_reads_the_new_message_of_the_day(tmp_path: Path) -> None:
    """A changed file, a replaced one as editors do it, and whoever comes later: all read what is in it now."""
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        assert "Edit motd.txt" in page.welcomes[0]["motd"]
        (tmp_path / "motd.txt").write_text("Closed on Sunday.")
        await page.until(lambda: "Closed on Sunday." in heard(page, "motd"))
        (tmp_path / "new.txt").write_text("Open on Sunday.\x1b[2J")
        (tmp_path / "new.txt").replace(tmp_path / "motd.txt")
        await page.until(lambda: "Open on Sunday.[2J" in heard(page, "motd"))
        late = await nursery.start(Visitor(server, "late").live)
        assert late.welcomes[0]["motd"] == "Open on Sunday.[2J"
        server.wait_for_log(r"worker\d +signal \d+: the message of the day has changed")


async def test_sighup_rotates_the_history(tmp_path: Path) -> None:
    """The mule that waits for the signal archives what is old; clients go on as if nothing had been."""
    async with visited(tmp_path, "--workers=2", "--keep=3") as (server, nursery, page):
        for number in range(8):
            await page.say(str(number))
        await page.until(lambda: len(page.texts) == 8)
        server.process.send_signal(signal.SIGHUP)
        await trio.to_thread.run_sync(server.wait_for_log, r"mule1 +signal \d+: the history is rotated, 5 messages")
        late = await nursery.start(Visitor(server, "late").live)
        await page.say("after")
        await late.until(lambda: "after" in late.bodies)
        assert late.bodies == ["5", "6", "7", "after"]
    with closing(sqlite3.connect(tmp_path / "chat.sqlite")) as db:
        assert [body for (body,) in db.execute("SELECT body FROM archive ORDER BY id")] == list("01234")


async def test_a_killed_worker_disturbs_nobody_else(tmp_path: Path) -> None:
    """Its clients leave the list and come back by themselves; those of the other worker keep their connection."""
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        others = [await nursery.start(Visitor(server, f"v{number}").live) for number in range(8)]
        everyone = {visitor.name: visitor for visitor in [page, *others]}
        hit = {name for name, visitor in everyone.items() if visitor.welcomes[0]["worker"] == 2}
        os.kill(server.worker_pid(2), signal.SIGKILL)
        for name in hit:
            await everyone[name].until(lambda visitor=everyone[name]: len(visitor.welcomes) == 2)
        await page.say("all here?")
        for visitor in everyone.values():
            await visitor.until(lambda visitor=visitor: visitor.texts)
        assert {name for name, visitor in everyone.items() if len(visitor.welcomes) > 1} == hit
        late = await nursery.start(Visitor(server, "late").live)
        assert {person["name"] for person in late.welcomes[0]["people"]} == {*everyone, "late"}


async def test_history_outlives_the_server(tmp_path: Path) -> None:
    """Started again on the same database, it shows what was said, and nobody who is not here."""
    async with visited(tmp_path, "--workers=2") as (_, _nursery, page):
        await page.say("first life")
        await page.until(lambda: page.texts)
    async with visited(tmp_path, "--workers=1") as (_, _nursery, page):
        await page.until(lambda: page.texts)
        assert page.bodies == ["first life"]
        assert [person["name"] for person in page.welcomes[0]["people"]] == ["ada"]


async def test_ten_thousand_missed_messages_are_shown_in_order(tmp_path: Path) -> None:
    """Who comes back after a long time is shown all of them, once, and then what is said now."""
    async with visited(tmp_path, "--workers=2") as (_, _nursery, page):
        await page.say("the last that was seen")
        await page.until(lambda: page.texts)
        seen = page.texts
    with closing(sqlite3.connect(tmp_path / "chat.sqlite")) as db, db:
        row = "INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', 'lobby', 'eve', 1, ?, 1)"
        db.executemany(row, [(str(number),) for number in range(10_000)])
    async with visited(tmp_path, "--workers=2") as (server, nursery, page):
        assert len(page.bodies) < 200
        back = Visitor(server, "back")
        back.texts += seen
        await nursery.start(back.live)
        await page.say("now")
        await back.until(lambda: "now" in back.bodies)
        assert back.bodies == ["the last that was seen", *map(str, range(10_000)), "now"]
