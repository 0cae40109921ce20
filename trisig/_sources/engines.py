"""What the sources of one master share: three clocks, one inotify descriptor, and what optional sources bring.

    async with open_engines() as engines:
        with SourceRun(source, engines) as run:
            await run.resume(send)

Each engine is made when the first source asks for it, so a master without file monitors takes none of the few
inotify instances a user may have. Sources have to end inside the `async with`: it is the engines that wake them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import trio

from .clocks import Clock, TrioClock, WallClock
from .early_clock import LONGEST_LEAD_S, EarlyClock

if TYPE_CHECKING:
    from .watcher import Watcher


class Engine(Protocol):
    """Something that sources share, kept going by one task."""

    async def drive(self) -> None:
        """Serve the sources until cancelled, then release what it holds."""
        ...


class SettlingEngine(Engine, Protocol):
    """An engine that does not serve a source at once."""

    async def wait_settled(self) -> None:
        """Return once it serves the sources that it has, or it is clear that it will not for now."""
        ...


E = TypeVar("E", bound=Engine)
S = TypeVar("S", bound=SettlingEngine)
K = TypeVar("K", bound=Hashable)


class Engines:
    """Makes each engine when a source first asks for it, and drives it until the master ends.

    Made by `open_engines`.
    """

    def __init__(self, nursery: trio.Nursery, wall: Clock | None, timer_lead: float) -> None:
        self._nursery = nursery
        self._wall = wall
        self._timer_lead = timer_lead
        self._shared: dict[tuple[object, Hashable], Any] = {}

    def time(self) -> float:
        """The seconds since 1970."""
        return time.time() if self._wall is None else self._wall.now()

    @cached_property
    def kernel_clock(self) -> Clock:
        return self._driven(EarlyClock(self._timer_lead))

    @cached_property
    def user_clock(self) -> Clock:
        return self._driven(TrioClock())

    @cached_property
    def wall_clock(self) -> Clock:
        return self._wall or self._driven(WallClock())

    @cached_property
    def local_clock(self) -> Clock:
        """The wall clock, which also wakes its tasks when the system gets another time zone."""
        if self._wall:
            return self._wall
        from .local_time import LocalTime  # noqa: PLC0415  as the engine, when it is needed

        clock = WallClock()
        self._driven(LocalTime(lambda: self.watcher, clock.wake_all))
        return self._driven(clock)

    @cached_property
    def watcher(self) -> Watcher:
        from .watcher import Watcher  # noqa: PLC0415

        return self._driven(Watcher())

    def shared(self, make: Callable[[K], S], key: K) -> S:
        """The engine `make(key)`, made for the first source that asks and the same one for those after it.

        It is driven until the master ends, so one that nobody uses should hold nothing.

        Args:
            make: makes the engine; usually its class.
            key: what tells the engines of one `make` apart, such as an address.
        """
        if (make, key) not in self._shared:
            self._shared[make, key] = self._driven(make(key))
        engine: S = self._shared[make, key]
        return engine

    async def wait_settled(self) -> None:
        """Return once each engine serves its sources, or it is clear that it will not for now."""
        for engine in list(self._shared.values()):
            await engine.wait_settled()

    def _driven(self, engine: E) -> E:
        self._nursery.start_soon(engine.drive)
        return engine


@asynccontextmanager
async def open_engines(
    *, wall_clock: Clock | None = None, timer_lead: float = LONGEST_LEAD_S
) -> AsyncIterator[Engines]:
    """Own the engines for as long as the block runs.

    Args:
        timer_lead: most seconds before a timer is due at which the process wakes up; 0 for not before.
        wall_clock: what cron sources take for the time of day (seconds since 1970, UTC) instead of the system's.
    """
    async with trio.open_nursery() as nursery:
        yield Engines(nursery, wall_clock, timer_lead)
        nursery.cancel_scope.cancel()
