"""The event sources of one master: each in a task of its own, watched.

Sources that an application declared are armed before the children start and raise signals once these are ready;
sources that are added later do both at once. What a source raises is logged, and the source goes on after a pause
that doubles up to 30 seconds; it never takes the master down. One that returns has ended by itself. One that a child
added ends with that child, as what it registered does.

The master alone judges what runs: whoever adds or removes a source names it by its key.
"""

from __future__ import annotations

import logging
import math
from typing import Any
from weakref import WeakValueDictionary

import trio

from ._groups import peeled
from ._interrupt import uninterrupted
from ._sources import (
    Course,
    Engines,
    EventSource,
    Send,
    SharingSource,
    describe,
    from_spec,
    is_tied,
    key_of,
    open_engines,
)
from ._statistics import SourceStatistics
from ._thread import OwnThread

log = logging.getLogger("trisig")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds
_STEADY = 60.0  # seconds of running after which a failure counts as the first one


class _Running:
    """One source and how it fares."""

    def __init__(self, source: EventSource, course: Course, owner: str | None, turn: trio.Lock) -> None:
        self.source = source
        self.name = describe(source)
        self.course = course
        self.owner = owner
        self.turn = turn
        self.scope = trio.CancelScope()
        self.restarts = 0
        self.error: str | None = None

    def told(self) -> SourceStatistics:
        return SourceStatistics(self.name, self.course.fired, self.course.missed, self.restarts, self.error)


@uninterrupted
class Sources:
    """Runs event sources.

    Args:
        send: raises a signal in the master.
        declared: the sources that run from the beginning, by key. What is removed is taken out of it.
    """

    def __init__(self, send: Send, declared: dict[str, EventSource]) -> None:
        self._send = send
        self._declared = declared
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
        running = _Running(source, Course(source, self._engines), owner, turn)
        self._running[key] = running
        self._nursery.start_soon(self._keep, key, running, name=running.name)

    def add_spec(self, spec: dict[str, Any], owner: str) -> None:
        """Start a source that a child described."""
        self.add(from_spec(spec), owner)

    def remove(self, key: str) -> None:
        """Stop a source.

        Raises:
            ValueError: it does not run.
            RuntimeError: this is not the thread of the master.
        """
        self._thread.check("sources are removed", "signals.remove_source, source")
        if key not in self._running:
            raise ValueError("this source is not running: it was not added, was removed before, or has ended by itself")
        self._declared.pop(key, None)
        self._end(key)

    def _end(self, key: str) -> None:
        self._running.pop(key).scope.cancel()

    def end_of(self, owner: str) -> None:
        """A child has ended, and with it what it added."""
        for key in [key for key, running in self._running.items() if running.owner == owner]:
            self._end(key)

    def end_with(self, signum: int) -> None:
        """The entry of a signal has gone, and with it the source that was made together with it."""
        for key in [key for key, running in self._running.items() if is_tied(running.source, signum)]:
            self._end(key)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the sources until cancelled; started once all that were declared are armed.

        Raises:
            OSError: the kernel refuses what one of them needs.
        """
        async with open_engines() as self._engines:  # which end after the sources that they serve
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
        """Let them raise signals from now on; returns once none of them is waiting for a first answer of a server."""
        self._go.set()
        await self._engines.settled()

    def stop(self) -> None:
        """Let them raise no more, and take no others."""
        self._scope.cancel()

    def statistics(self) -> tuple[SourceStatistics, ...]:
        return tuple(running.told() for running in self._running.values())

    async def _keep(self, key: str, running: _Running) -> None:
        with running.scope, running.course:
            await self._go.wait()
            async with running.turn:
                await self._persist(running)
        if self._running.get(key) is running:
            del self._running[key]

    async def _persist(self, running: _Running) -> None:
        """Run a source until it ends by itself, however often it fails on the way."""
        pause = _FIRST_PAUSE
        while True:
            began = trio.current_time()
            try:
                return await running.course.go_on(self._send)
            # In a group it may come together with the cancellation of the source, which goes on its way.
            except* Exception as failure:  # noqa: BLE001  it is logged, and no source may end the master
                if trio.current_time() - began > _STEADY:
                    pause = _FIRST_PAUSE
                self._failed(running, peeled(failure), pause)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            running.restarts += 1

    def _failed(self, running: _Running, error: BaseException, pause: float) -> None:
        running.error = f"{type(error).__name__}: {describe(error)}"
        stopping = trio.current_effective_deadline() == -math.inf
        then = " while it was stopped" if stopping else f", next try in {pause:g} s"
        if isinstance(running.source, SharingSource):
            log.error("%s failed%s: %s", running.name, then, running.error)
        else:
            log.error("%s failed%s", running.name, then, exc_info=error)
