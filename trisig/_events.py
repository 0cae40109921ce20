"""The event sources of one master: each in a task of its own, watched.

A source that raises is logged and started again after a pause that doubles up to 30 seconds; it never takes
the master down. One that returns has ended by itself. Sources come and go while the master runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Any

import trio

from ._interrupt import uninterrupted
from ._sources import BuiltinSource, Engines, EventSource, Send, open_engines
from ._statistics import SourceStatistics

log = logging.getLogger("trisig")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds
_STEADY = 60.0  # seconds of running after which a failure counts as the first one


class _Running:
    """One source and how it fares."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self.scope = trio.CancelScope()
        self.restarts = 0
        self.error: str | None = None


@uninterrupted
class Sources:
    """Runs event sources.

    Args:
        send: raises a signal in the master.
        from_spec: makes a source again from what a child sent.
    """

    def __init__(self, send: Send, from_spec: Callable[[dict[str, Any]], EventSource]) -> None:
        self._send = send
        self._from_spec = from_spec
        self._running: dict[int, _Running] = {}
        self._keys = count(1)
        self._nursery: trio.Nursery | None = None
        self._engines: Engines

    def add(self, source: EventSource) -> int:
        """Start a source, or have it started with the others; returns the key to remove it by.

        Raises:
            OSError: it is a file monitor, and no inotify watch is left.
        """
        if self._nursery is not None and isinstance(source, BuiltinSource):
            source.arm(self._engines)
        key = next(self._keys)
        self._running[key] = _Running(source)
        if self._nursery is not None:
            self._nursery.start_soon(self._keep, key, name=f"source {source}")
        return key

    def add_spec(self, spec: dict[str, Any]) -> int:
        """Start a source that a child described."""
        return self.add(self._from_spec(spec))

    def remove(self, key: int) -> None:
        """Stop a source.

        Raises:
            ValueError: it was removed before, or has ended.
        """
        running = self._running.pop(key, None)
        if running is None:
            raise ValueError("this source is not running: it was removed before, or has ended by itself")
        if isinstance(running.source, BuiltinSource):
            running.source.disarm()
        running.scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all sources until cancelled; started once each of them is armed or has failed for the first time."""
        async with open_engines() as self._engines, trio.open_nursery() as self._nursery:
            for key in list(self._running):
                await self._nursery.start(self._keep, key)
            task_status.started()
            await trio.sleep_forever()

    def statistics(self) -> tuple[SourceStatistics, ...]:
        return tuple(_told(running) for running in self._running.values())

    async def _keep(self, key: int, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        running = self._running.get(key)
        if running is None:
            task_status.started()
            return
        with running.scope:
            pause = _FIRST_PAUSE
            while True:
                began = trio.current_time()
                if await self._try(running, task_status):
                    break
                task_status = trio.TASK_STATUS_IGNORED
                if trio.current_time() - began > _STEADY:
                    pause = _FIRST_PAUSE
                log.warning("%s starts again in %g s", running.source, pause)
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                running.restarts += 1
            self._running.pop(key, None)

    async def _try(self, running: _Running, task_status: trio.TaskStatus[None]) -> bool:
        try:
            await self._engines.run(running.source, self._send, task_status=task_status)
        except Exception as error:
            log.exception("%s failed", running.source)
            running.error = f"{type(error).__name__}: {error}"
            return False
        return True


def _told(running: _Running) -> SourceStatistics:
    missed = running.source.missed
    return SourceStatistics(str(running.source), running.source.fired, missed, running.restarts, running.error)
