"""The engines of sources on trio's clock, which a mock clock drives: timers of both kinds, and crons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

import trio

from trisig._sources.clocks import Clock, TrioClock
from trisig._sources.engines import Engines


class WallOnTrio(TrioClock):
    """The time of day, which goes on as trio's clock does.

    Args:
        now: what it is at the start, in seconds since 1970.
    """

    def __init__(self, now: float) -> None:
        super().__init__()
        self._offset = now - trio.current_time()

    def now(self) -> float:
        """Seconds since 1970."""
        return trio.current_time() + self._offset

    def _arm(self) -> None:
        self._scope.deadline = self._alarms.first - self._offset

    async def drive(self) -> None:
        """Wake tasks as their deadlines pass, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._alarms.first - self._offset) as self._scope:
                await trio.sleep_forever()
            self._alarms.wake(self.now())


class TrioEngines(Engines):
    """Engines that need no clock of the kernel; made by `open_trio_engines`."""

    @cached_property
    def kernel_clock(self) -> Clock:
        return self._driven(TrioClock())


@asynccontextmanager
async def open_trio_engines(now: float) -> AsyncIterator[TrioEngines]:
    """Own the engines for as long as the block runs.

    Args:
        now: the time of day at the start, in seconds since 1970.
    """
    async with trio.open_nursery() as nursery:
        wall = WallOnTrio(now)
        nursery.start_soon(wall.drive)
        yield TrioEngines(nursery, wall, 0.0)
        nursery.cancel_scope.cancel()
