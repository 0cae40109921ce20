"""Handlers that run for too long: their process is killed, as uWSGI's harakiri does.

How long a process has made no progress while it holds signals is how long its plain handler has been running,
or how long it has been stopped. An async handler counts from when it was set aside. The watch runs only while
signals are in flight, in steps of a tenth of the timeout: a step that itself comes late means that the master was
stopped too, and everybody gets the full time again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import trio

from ._interrupt import uninterrupted
from ._ledger import Lane

log = logging.getLogger("trisig")


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
        self._timeout = timeout
        self._slots = list(slots)
        self._work = work
        self._kill = kill
        self._seen: dict[tuple[str, int], float] = {}
        self._ended: dict[str, Lane] = {}
        self._lenient_until = 0.0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._work.busy.wait()
            await self._step()
            self._work.settle()
            holding = [self._look(slot) for slot in self._slots]
            if not any(holding):
                self._work.busy = trio.Event()

    async def _step(self) -> None:
        step = self._timeout / 10
        due = trio.current_time() + step
        await trio.sleep_until(due)
        if trio.current_time() - due > max(step / 2, 0.05):
            self._lenient_until = trio.current_time()
            self._seen.clear()

    def _look(self, slot: Watched) -> bool:
        """Judge one process; whether it holds anything."""
        lane = slot.lane
        if lane is None:
            self._forget(slot.name, set())
            return False
        now = trio.current_time()
        aside = {number: self._seen.setdefault((slot.name, number), now) for number in lane.aside}
        self._forget(slot.name, set(aside))
        since = [*aside.values()]
        if lane.busy and slot.heard_at:
            since.append(max(slot.heard_at, self._lenient_until))
        if since and now - min(since) >= self._timeout and self._ended.get(slot.name) is not lane:
            self._ended[slot.name] = lane  # once: it may take a while to be reaped
            self._end(slot.name, lane, now - min(since))
        return bool(since) or lane.busy

    def _forget(self, name: str, but: set[int]) -> None:
        for key in [key for key in self._seen if key[0] == name and key[1] not in but]:
            del self._seen[key]

    def _end(self, name: str, lane: Lane, seconds: float) -> None:
        running = ", ".join(map(str, lane.running())) or "none, it is stopped"
        log.error(
            "%s: silent or busy for %.1f s, over the handler timeout, it is killed; signals running: %s",
            name,
            seconds,
            running,
        )
        self._kill(name)
