"""The event sources of one master, one task each.

Declared sources are armed before the children start, and raise signals once the children are ready; a source that is
added later does both at once. A source that raises an exception is logged and goes on after a pause that doubles up to
30 seconds; it never ends the master. A source that returns has ended by itself. A source that a child added ends with
that child, as the child's table entries do.

The master alone decides what runs: whoever adds or removes a source names it by its key.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from weakref import WeakValueDictionary

import trio

from trisig._model.event import Event
from trisig._model.once import Once
from trisig._model.past import Record
from trisig._model.statistics import SourceStatistics
from trisig._model.text import describe
from trisig._sources import (
    BuiltinSource,
    Engines,
    EngineSource,
    EventSource,
    SourceRun,
    is_owned_by_entry,
    key_of,
    open_engines,
)
from trisig._sources.early_clock import LONGEST_LEAD_S
from trisig._sources.raised import Raised, RaisedSender
from trisig._util.backoff import Backoff
from trisig._util.exception_groups import peeled
from trisig._util.ki_protection import ki_protected
from trisig._util.own_thread import OwnThread

log = logging.getLogger("trisig")


class _Running:
    """One source and how it fares.

    Args:
        source: of any kind.
        run: its run, armed.
        owner: the child that added it, if one did.
        turn: held by the one run of the source that may raise signals.
    """

    def __init__(self, source: EventSource, run: SourceRun, owner: str | None, turn: trio.Lock) -> None:
        self.source = source
        self.name = describe(source)
        self.run = run
        self.owner = owner
        self.turn = turn
        self.is_unique = isinstance(source, EngineSource) and source.unique
        self.late: float | None = getattr(source, "late", None)
        self.scope = trio.CancelScope()
        self.restarts = 0
        self.failed = False
        self.error: str | None = None

    @property
    def signum(self) -> int | None:
        return self.source.signum if isinstance(self.source, EngineSource) else None

    @property
    def state(self) -> str:
        return "failed" if self.failed else self.run.state

    def event(self) -> Event:
        noticed = self.run.noticed
        return Event(self.name, noticed.due, noticed.missed, noticed.path, noticed.payload)

    @property
    def once(self) -> Once | None:
        due = self.run.noticed.due if self.is_unique else None
        return None if due is None else Once(self.name, due, self.late)

    def was_accepted(self) -> None:
        self.run.was_accepted()

    def statistics(self, *, started: bool) -> SourceStatistics:
        return SourceStatistics(
            source=self.name,
            fired=self.run.fired,
            missed=self.run.missed,
            restarts=self.restarts,
            error=self.run.error or self.error,
            state=self.state if started else "starting",
            next_due=self.run.next_due,
            settings=self.source.settings if isinstance(self.source, BuiltinSource) else {},
        )


@ki_protected
class Sources:
    """Runs event sources.

    Args:
        raised: the channel to the dispatcher; each source gets a clone, and its end is the end of all sources.
        declared: the sources that run from the beginning, by key. A source that is removed is taken out of it.
        accept_at_once: accepts what a source has just noticed without the channel, if there is room; whether it has.
        timer_lead: most seconds before a timer is due at which the master wakes up; 0 for not before.
        backoff: the pauses after which a failed source is started again.
        schedules: where the past of a source is kept, by its name.
    """

    def __init__(
        self,
        raised: trio.MemorySendChannel[Raised],
        declared: dict[str, EventSource],
        accept_at_once: Callable[[Raised], bool] = lambda _: False,
        timer_lead: float = LONGEST_LEAD_S,
        backoff: Backoff = Backoff(),  # noqa: B008  frozen
        schedules: Callable[[str], Record | None] = lambda _: None,
    ) -> None:
        self._raised = raised
        self._accept_at_once = accept_at_once
        self._declared = declared
        self._backoff = backoff
        self._schedules = schedules
        self._timer_lead = timer_lead
        self._running: dict[str, _Running] = {}
        # Of two runs of one source the second waits for the end of the first.
        self._turns = WeakValueDictionary[str, trio.Lock]()
        self._go = trio.Event()
        self._scope = trio.CancelScope()
        self._thread = OwnThread()
        self._nursery: trio.Nursery
        self._engines: Engines

    def add(self, source: EventSource, owner: str | None = None) -> None:
        """Start a source, or have it started with the others.

        Args:
            source: of any kind.
            owner: the child that adds it, with which it ends.

        Raises:
            ValueError: it runs already.
            OSError: the kernel refuses what it needs.
            trio.ClosedResourceError: the master is shutting down.
            RuntimeError: this is not the thread of the master.
        """
        self._thread.check("sources are added", "signals.add_source, source")
        if self._scope.cancel_called:
            raise trio.ClosedResourceError("the master is shutting down and takes no more sources")
        key = key_of(source)
        if key in self._running:
            raise ValueError(f"{describe(source)} has been added already")
        turn = self._turns.setdefault(key, trio.Lock())
        # The source of a child ends with the child, and so does its schedule.
        record = self._schedules(describe(source)) if owner is None else None
        running = _Running(source, SourceRun(source, self._engines, record), owner, turn)
        self._running[key] = running
        self._nursery.start_soon(self._keep, key, running, name=running.name)

    def remove(self, key: str) -> None:
        """Stop a source.

        Raises:
            ValueError: it does not run.
            RuntimeError: this is not the thread of the master.
        """
        self._thread.check("sources are removed", "signals.remove_source, source")
        self._find(key)
        self._declared.pop(key, None)
        self._end(key)

    def pause(self, key: str, *, paused: bool) -> None:
        """Let a source raise no signals, or let it go on.

        Args:
            key: of the source.
            paused: whether it is to pause.

        Raises:
            ValueError: it does not run.
            RuntimeError: this is not the thread of the master.
        """
        verb = "pause" if paused else "resume"
        self._thread.check(f"sources are {verb}d", f"signals.{verb}_source, source")
        self._find(key).run.paused = paused

    def _find(self, key: str) -> _Running:
        if key not in self._running:
            raise ValueError("this source is not running: it was not added, was removed before, or has ended by itself")
        return self._running[key]

    def key_of_name(self, name: str) -> str:
        """The key of the source that the statistics call by a name, or that raises the signal of a number.

        Raises:
            ValueError: there is none, or there are several.
        """
        keys = [key for key, running in self._running.items() if name in (running.name, str(running.signum))]
        if len(keys) == 1:
            return keys[0]
        names = ", ".join(sorted(running.name for running in self._running.values()))
        if not names:
            raise ValueError(f"no source is called {name!r}; no source is running")
        number = f"{len(keys)} sources are" if keys else "no source is"
        raise ValueError(f"{number} called {name!r}; expected one of: {names}")

    def occasion(self, name: str) -> tuple[int, Event]:
        """The signal of a source, and the event of one that is raised now.

        Raises:
            ValueError: there is no such source, or several, or its signal is known to itself alone.
        """
        running = self._running[self.key_of_name(name)]
        if running.signum is None:
            raise ValueError(f"{running.name} says which signal only when it raises it; send that signal")
        return running.signum, Event(running.name)

    def _end(self, key: str) -> None:
        running = self._running.pop(key)
        running.run.removed = True  # its task ends some steps later
        running.scope.cancel()

    def end_of(self, owner: str) -> None:
        """End the sources that a child added, because the child has ended."""
        for key in [key for key, running in self._running.items() if running.owner == owner]:
            self._end(key)

    def end_with(self, signum: int) -> None:
        """End the source that was made together with the entry of a signal, because the entry has gone."""
        for key in [key for key, running in self._running.items() if is_owned_by_entry(running.source, signum)]:
            self._end(key)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the sources until cancelled; started once all declared ones are armed.

        Raises:
            OSError: the kernel refuses what one of them needs.
        """
        async with (
            self._raised,
            open_engines(timer_lead=self._timer_lead) as self._engines,
        ):  # which end after the sources that they serve
            with self._scope:
                async with trio.open_nursery() as self._nursery:
                    try:
                        for source in self._declared.values():
                            self.add(source)
                        task_status.started()
                        await trio.sleep_forever()
                    finally:
                        self.stop()

    async def go(self) -> None:
        """Let the sources raise signals from now on; returns once none waits for a first answer of a server."""
        self._go.set()
        await self._engines.wait_settled()

    def stop(self) -> None:
        """End all sources, and refuse new ones."""
        self._scope.cancel()

    def statistics(self) -> tuple[SourceStatistics, ...]:
        """How each source fares, in the order in which they were added."""
        return tuple(running.statistics(started=self._go.is_set()) for running in self._running.values())

    async def _keep(self, key: str, running: _Running) -> None:
        with running.scope, running.run:
            await self._go.wait()
            async with running.turn, self._raised.clone() as channel:
                await self._persist(running, RaisedSender(channel, self._accept_at_once, running))
        # By the same key another run of the source may have begun since.
        if self._running.get(key) is running:
            del self._running[key]

    async def _persist(self, running: _Running, sender: RaisedSender) -> None:
        """Run a source until it ends by itself, however often it fails on the way."""
        failures = 0
        while True:
            began = trio.current_time()
            running.failed = False
            try:
                return await running.run.resume(sender, sender.offer)
            # In a group it may come together with the cancellation of the source, which goes on its way.
            except* Exception as failure:  # noqa: BLE001  it is logged, and no source may end the master
                failures = self._backoff.count(failures, trio.current_time() - began)
                self._failed(running, peeled(failure), self._backoff.pause(failures))
            await trio.sleep(self._backoff.pause(failures))
            running.restarts += 1

    def _failed(self, running: _Running, error: BaseException, pause: float) -> None:
        running.failed = True
        running.error = f"{type(error).__name__}: {describe(error)}"
        stopping = trio.current_effective_deadline() == -math.inf
        then = " while it was stopped" if stopping else f", next try in {pause:g} s"
        if isinstance(running.source, EngineSource):
            log.error("%s failed%s: %s", running.name, then, running.error)
        else:
            log.error("%s failed%s", running.name, then, exc_info=error)
