"""Context variables: each handler begins with those that its process had after its start hooks."""

from contextvars import ContextVar
from pathlib import Path
from typing import Any

import trio
from witness import Journal

import trisig

USER: ContextVar[str] = ContextVar("user", default="nobody")


async def test_what_a_handler_sets_is_seen_by_no_other(tmp_path: Path) -> None:
    """A plain or async handler sees what the master and a start hook set, and nothing that another handler set."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    place: ContextVar[str] = ContextVar("place", default="nowhere")

    @signals.on_start("worker1")
    def hook() -> None:
        place.set("hook")

    @signals.handler(1, target="worker1")
    def plain(signum: int) -> None:
        journal.note(USER.get(), place.get())
        USER.set("plain")

    @signals.handler(2, target="worker1")
    async def patient(signum: int) -> None:
        journal.note(USER.get(), place.get())
        USER.set("async")
        await trio.lowlevel.checkpoint()
        journal.note(USER.get(), await trio.to_thread.run_sync(USER.get))

    USER.set("master")
    async with trisig.open_master(signals) as master:
        for signum in (1, 1, 2, 1, 2):
            await signals.send(signum)
    assert master.statistics().failed == 0
    fresh, own = ("worker1", "master", "hook"), ("worker1", "async", "async")
    assert journal.read() == [fresh, fresh, fresh, own, fresh, fresh, own]


async def test_what_a_handler_returns_to_be_awaited_keeps_its_context(tmp_path: Path) -> None:
    """What a plain handler sets before it returns an awaitable is seen by the awaitable, and by no later handler."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def rest() -> None:
        await trio.lowlevel.checkpoint()
        journal.note(USER.get())

    @signals.handler(1, target="worker1")
    def both(signum: int) -> Any:
        journal.note(USER.get())
        USER.set("both")
        return rest()

    async with trisig.open_master(signals):
        await signals.send(1)
        await signals.send(1)
    assert [note[1] for note in journal.read()] == ["nobody", "both", "nobody", "both"]
