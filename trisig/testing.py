"""For tests of an application: its handlers, tasks and schedules in the process of the test, without a master."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import trio
import trio.testing

from ._api.signals import Signals, application_of
from ._model.event import Event
from ._model.text import describe
from ._sources import Engines, EngineSource, EventSource, SourceRun
from ._testing.lines import Lines
from ._testing.trio_engines import open_trio_engines
from ._testing.verbs import HereVerbs
from ._util.exception_groups import unwrapped

__all__ = ["Here", "run_here"]


class Here:
    """What runs here; `run_here` yields it."""

    def __init__(self, verbs: HereVerbs, lines: Lines) -> None:
        self._verbs = verbs
        self._lines = lines

    @property
    def raised(self) -> list[int]:
        """The numbers of the signals that were raised, by sources too, in order."""
        return list(self._verbs.raised)

    @property
    def sent(self) -> list[str]:
        """The names of the tasks that were sent or called, in order."""
        return list(self._verbs.sent)

    async def wait_idle(self) -> None:
        """Wait until all that was raised and sent has run, and what that has raised too."""
        await self._lines.wait_idle()


@asynccontextmanager
async def run_here(signals: Signals, *, now: datetime | None = None) -> AsyncIterator[Here]:
    """Run an application's handlers, tasks and sources in this process, without a fork.

    All clocks are trio's, so `trio.testing.MockClock` drives timers and crons. One handler or task of a target runs at
    a time, in the order of raising; `overlap=` and `retry=` count. An error of a handler is raised out of the block,
    one of a task that was called goes to the caller. When the block ends, sources stop, and what is queued runs.

    Start functions and services do not run, and durable tasks are not kept: `open_master` is for that. Each target
    stands for one process.

    Args:
        signals: the application.
        now: the time of day at the start, for crons; None for what it is.

    Raises:
        trio.BusyResourceError: these signals have a master, or run here already.
        Exception: what a handler has raised.
    """
    app = application_of(signals)
    with app.opening(), unwrapped():
        async with open_trio_engines(time.time() if now is None else now.timestamp()) as engines:
            async with trio.open_nursery() as handlers:
                lines, before = Lines(handlers), app.verbs
                try:
                    # It ends before the lines are waited for: a source may raise a last signal while it is cancelled.
                    async with trio.open_nursery() as sources:
                        keeper = _Sources(sources, engines)
                        keeper.verbs = app.verbs = verbs = HereVerbs(app, lines, keeper.keep)
                        for source in app.sources.values():
                            verbs.add_source(source)
                        await trio.testing.wait_all_tasks_blocked()  # the sources have begun
                        yield Here(verbs, lines)
                        sources.cancel_scope.cancel()
                    await lines.wait_idle()
                finally:
                    app.verbs = before


class _Sources:
    """Runs sources in a nursery."""

    def __init__(self, nursery: trio.Nursery, engines: Engines) -> None:
        self._nursery = nursery
        self._engines = engines
        self.verbs: HereVerbs

    def keep(self, source: EventSource) -> trio.CancelScope:
        """Run a source until its scope is cancelled."""
        scope, run = trio.CancelScope(), SourceRun(source, self._engines)
        self._nursery.start_soon(self._run, source, run, scope, name=describe(source))
        return scope

    async def _run(self, source: EventSource, run: SourceRun, scope: trio.CancelScope) -> None:
        async def send(signum: int) -> None:
            noticed = run.noticed if isinstance(source, EngineSource) else None
            event = Event(describe(source)) if noticed is None else _event(source, run)
            self.verbs.send_nowait(signum, event)
            await trio.lowlevel.checkpoint()

        with scope, run:
            await run.resume(send)


def _event(source: EventSource, run: SourceRun) -> Event:
    noticed = run.noticed
    return Event(describe(source), noticed.due, noticed.missed, noticed.path, noticed.payload)
