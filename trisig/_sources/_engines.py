"""What the sources of one master share: three clocks, one inotify descriptor, and what optional sources bring.

    async with open_engines() as engines:
        with Course(source, engines) as course:
            await course.go_on(send)

Each engine is made when the first source asks for it, so a master without file monitors takes none of the few
inotify instances a user may have. Sources have to end inside the `async with`: it is the engines that wake them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Protocol, TypeVar

import trio

from ._clocks import Clock, TimerFdClock, TrioClock, WallClock
from ._watcher import Watcher


class Engine(Protocol):
    """Something that sources share, kept going by one task."""

    async def drive(self) -> None:
        """Serve the sources until cancelled, then release what it holds."""
        ...


class SettlingEngine(Engine, Protocol):
    """An engine that does not serve a source at once."""

    async def settled(self) -> None:
        """Return once it serves the sources that it has, or it is clear that it will not for now."""
        ...


E = TypeVar("E", bound=Engine)
S = TypeVar("S", bound=SettlingEngine)
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
        return self._wall or self._driven(WallClock())

    @cached_property
    def watcher(self) -> Watcher:
        return self._driven(Watcher())

    def shared(self, make: Callable[[K], S], key: K) -> S:
        """The engine `make(key)`, made for the first source that asks and the same one for those after it.

        It is driven until the master ends, so one that nobody uses should hold nothing.
        """
        if (make, key) not in self._brought:
            self._brought[make, key] = self._driven(make(key))
        engine: S = self._brought[make, key]
        return engine

    async def settled(self) -> None:
        """Return once each engine serves its sources, or it is clear that it will not for now."""
        for engine in list(self._brought.values()):
            await engine.settled()

    def _driven(self, engine: E) -> E:
        self._nursery.start_soon(engine.drive)
        return engine


@asynccontextmanager
async def open_engines(*, wall_clock: Clock | None = None) -> AsyncIterator[Engines]:
    """Own the engines for as long as the block runs.

    Args:
        wall_clock: what cron sources take for the time of day (seconds since 1970, UTC) instead of the system's.
    """
    async with trio.open_nursery() as nursery:
        yield Engines(nursery, wall_clock)
        nursery.cancel_scope.cancel()
