"""A stand-in for the master: it takes what sources raise, and remembers it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

from trisig._sources import Engines, EventSource, Send, SourceRun, open_engines

Start = Callable[[EventSource], Awaitable[None]]


class Recorder:
    """Takes signals as the master would, and remembers each with its time."""

    def __init__(self) -> None:
        self.raised: list[int] = []
        self.times: list[float] = []
        self.delays: list[float] = []
        self._news = trio.Event()

    async def send(self, signum: int) -> None:
        """Accept a signal; while `delays` has entries the queue is full for that long."""
        await trio.lowlevel.checkpoint()
        self.raised.append(signum)
        self.times.append(trio.current_time())
        self._news.set()
        self._news = trio.Event()
        if self.delays:
            await trio.sleep(self.delays.pop(0))

    async def wait(self, count: int, signum: int | None = None) -> None:
        """Wait until `count` signals (of one number) have come."""
        while (len(self.raised) if signum is None else self.raised.count(signum)) < count:
            await self._news.wait()


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    """The engines of one master."""
    async with open_engines() as engines:
        yield engines


async def run_on(
    engines: Engines, source: EventSource, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a source as the master does; started once it is armed, and hears or cannot hear for now."""
    with SourceRun(source, engines) as course:
        await engines.wait_settled()
        task_status.started()
        await course.resume(send)
