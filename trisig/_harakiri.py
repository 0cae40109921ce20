"""Handlers that run for too long: their process is killed, as uWSGI's harakiri does.

How long a process has made no progress while it holds signals is how long its plain handler has been running,
or how long it has been stopped. An async handler counts from when it was set aside. The watch runs only while
signals are in flight, in steps of a tenth of the timeout, and it counts steps, not seconds: the time by which a step
comes late, because the master was stopped too or had no CPU, is held against nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import trio

from ._interrupt import uninterrupted
from ._ledger import Lane

log = logging.getLogger("trisig")

_STEPS = 10  # of a timeout


class Watched(Protocol):
    """A process slot, as the dispatcher keeps it."""

    name: str
    lane: Lane | None
    heard_at: float


class Work(Protocol):
    """Tells when signals have been handed out, and reads how far the processes are."""

    busy: trio.Event

    def settle(self) -> None: ...


@uninterrupted
class Harakiri:
    """Kills processes whose handlers exceed the timeout.

    Args:
        timeout: seconds.
        slots: the processes.
        work: whose `busy` event is set whenever signals are handed out.
        kill: ends the named process.
    """

    def __init__(self, timeout: float, slots: Iterable[Watched], work: Work, kill: Callable[[str], None]) -> None:
        self._slots = list(slots)
        self._work = work
        self._kill = kill
        self._step = timeout / _STEPS
        self._now = 0  # in steps
        self._since: dict[str, dict[object, int]] = {slot.name: {} for slot in self._slots}
        self._ended: dict[str, Lane] = {}

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._work.busy.wait()
            await trio.sleep(self._step)
            self._now += 1
            self._work.settle()
            holding = [self._look(slot) for slot in self._slots]
            if not any(holding):
                self._work.busy = trio.Event()

    def _look(self, slot: Watched) -> bool:
        """Judge one process; whether it holds anything."""
        lane = slot.lane
        running: list[object] = [] if lane is None else [(lane, "aside", number) for number in lane.aside]
        if lane is not None and lane.busy:
            running.append((lane, "heard", slot.heard_at))  # the plain one, or what it was given and has not begun
        known = self._since[slot.name]
        self._since[slot.name] = since = {key: known.get(key, self._now) for key in running}
        longest = self._now - min(since.values(), default=self._now)
        if lane is not None and longest >= _STEPS and self._ended.get(slot.name) is not lane:
            self._ended[slot.name] = lane  # once: it may take a while to be reaped
            self._end(slot.name, lane, longest * self._step)
        return bool(running)

    def _end(self, name: str, lane: Lane, seconds: float) -> None:
        running = ", ".join(map(str, lane.running())) or "none, it is stopped"
        log.error(
            "%s: silent or busy for %.1f s, over the handler timeout, it is killed; signals running: %s",
            name,
            seconds,
            running,
        )
        self._kill(name)
