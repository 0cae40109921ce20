"""One worker's clients, without a server: who waits for whom."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio

from client import Client
from events import Event, Page
from hub import Hub
from inbox import AHEAD, MOST, Inbox, size_of
from store import Store, prepare
from words import Join, Say

CROWD = 100


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub that tells nobody else."""
    prepare(tmp_path / "chat.sqlite", "")
    store = Store(tmp_path / "chat.sqlite")
    store.open()
    with closing(store._db):
        yield Hub(store, trio.lowlevel.checkpoint)


async def test_a_crowd_that_comes_delays_nobody(hub: Hub) -> None:
    """A hundred come in the same moment: what somebody says then is stored before most of them are in."""
    speaker = Client(60)
    await hub.join(speaker, Join("ada", "lobby", "c", None))
    crowd = [Client(60) for _ in range(CROWD)]
    with trio.fail_after(60):
        async with trio.open_nursery() as coming:
            for number, client in enumerate(crowd):
                coming.start_soon(hub.join, client, Join("eve", "lobby", f"c{number}", None))
            for _ in range(3):  # by then each of them has begun to come in
                await trio.lowlevel.checkpoint()
            await hub.say(speaker, Say("hello", None))
            assert len([client for client in crowd if client.name]) < CROWD // 4
    assert all(client.name for client in crowd)


def text(body: str) -> Event:
    """Something that Ada says."""
    return Event(1, "text", "lobby", "ada", 1, body, 0.0, None)


async def test_an_inbox_is_full_by_its_characters() -> None:
    """Whoever hands on never waits: a full inbox refuses, and one that was emptied takes more."""
    inbox = Inbox()
    batch = [text("x" * 2000)] * 100
    taken = 0
    while inbox.offer(batch, size_of(batch)):
        taken += size_of(batch)
    assert MOST < taken < MOST + 2 * size_of(batch)
    await inbox.take()
    while not inbox.offer(batch, size_of(batch)):
        await inbox.take()


async def test_what_is_shown_in_one_go_is_short() -> None:
    """However much waits, in order; something that is longer comes alone."""
    inbox = Inbox()
    page = Page("lobby", [text("x" * 2000)] * 200, more=True)
    waiting = [*(text(f"{number}" + "x" * 2000) for number in range(200)), page, text("end")]
    inbox.offer(waiting, size_of(waiting))
    inbox.close()
    shown = []
    with pytest.raises(trio.EndOfChannel):
        while True:
            batch = await inbox.take()
            assert size_of(batch) <= AHEAD or batch == [page]
            shown += batch
    assert shown == waiting


async def test_who_asks_and_does_not_read_waits(autojump_clock: trio.testing.MockClock) -> None:
    """The answers to one's own requests do not pile up: the second page waits until the first one is read."""
    inbox = Inbox()
    page = Page("lobby", [text("x" * 2000)] * 200, more=True)
    await inbox.put([page])
    with trio.move_on_after(3600) as patience:
        await inbox.put([page])
    assert patience.cancelled_caught
    assert await inbox.take() == [page]
    await inbox.put([page])
