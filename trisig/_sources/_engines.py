"""What the sources of one master share: three clocks, one inotify descriptor, and what optional sources bring.

    async with open_engines() as engines:
        async with trio.open_nursery() as nursery:
            await nursery.start(engines.run, source, send)   # returns once the source is armed

Each engine is made when the first source asks for it, so a master without file monitors takes none of the few
inotify instances a user may have. Sources have to end inside the `async with`: it is the engines that wake them.
"""

from __future__ import annotations

import abc
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Protocol, TypeVar

import trio

from ._clocks import Clock, TimerFdClock, TrioClock
from ._watcher import Watcher
from .base import EventSource, Send


class Engine(Protocol):
    """Something that sources share, kept going by one task."""

    async def drive(self) -> None:
        """Serve the sources until cancelled, then release what it holds."""
        ...


E = TypeVar("E", bound=Engine)
K = TypeVar("K", bound=Hashable)


class Engines:
    """Makes and keeps the engines; `open_engines` is the way to get one."""

    def __init__(self, nursery: trio.Nursery, wall: Clock | None) -> None:
        self._nursery = nursery
        self._wall = wall
        self._brought: dict[tuple[object, Hashable], Any] = {}

    @cached_property
    def kernel_clock(self) -> Clock:
        return self._driven(TimerFdClock(time.CLOCK_MONOTONIC))

    @cached_property
    def user_clock(self) -> Clock:
        return self._driven(TrioClock())

    @cached_property
    def wall_clock(self) -> Clock:
        return self._wall or self._driven(TimerFdClock(time.CLOCK_REALTIME))

    @cached_property
    def watcher(self) -> Watcher:
        return self._driven(Watcher())

    def shared(self, make: Callable[[K], E], key: K) -> E:
        """The engine `make(key)`, made for the first source that asks and the same one for those after it.

        It is driven until the master ends, so one that nobody uses should hold nothing.
        """
        if (make, key) not in self._brought:
            self._brought[make, key] = self._driven(make(key))
        engine: E = self._brought[make, key]
        return engine

    def _driven(self, engine: E) -> E:
        self._nursery.start_soon(engine.drive)
        return engine

    async def run(
        self, source: EventSource, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run any source, and count in `source.fired` what it raises.

        Args:
            source: a `SharingSource` gets these engines; any other one just runs.
            send: given to the source.
            task_status: started once the source is armed: what happens from then on raises its signal.

        Raises:
            OSError: the kernel refused a watch or a descriptor.
        """

        async def counted(signum: int) -> None:
            await send(signum)
            source.fired += 1

        if isinstance(source, SharingSource):
            await source.run_on(self, counted, task_status=task_status)
        else:
            task_status.started()
            await source.run(counted)


@asynccontextmanager
async def open_engines(*, wall_clock: Clock | None = None) -> AsyncIterator[Engines]:
    """Own the engines for as long as the block runs.

    Args:
        wall_clock: what cron sources take for the time of day (seconds since 1970, UTC) instead of the system's.
    """
    async with trio.open_nursery() as nursery:
        yield Engines(nursery, wall_clock)
        nursery.cancel_scope.cancel()


class SharingSource(EventSource):
    """A source that runs on shared engines."""

    @abc.abstractmethod
    async def run_on(
        self, engines: Engines, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Raise signals until the iterations are used up, or until cancelled."""

    async def run(self, send: Send) -> None:
        """Run alone, on engines of its own."""
        async with open_engines() as engines:
            await engines.run(self, send)


class BuiltinSource(SharingSource):
    """A source made from plain data, which can cross a process boundary."""

    def arm(self, engines: Engines) -> object:
        """Begin to notice events, before the task of the source runs."""

    def disarm(self) -> None:
        """Notice no more, in case the task never runs."""

    @abc.abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` makes an equal source of; plain enough for JSON."""
