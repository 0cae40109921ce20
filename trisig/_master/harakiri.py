"""Handlers that run for too long: their process is killed, as uWSGI's harakiri does.

How long a process has made no progress while it holds signals is how long its plain handler has been running,
or how long it has been stopped. An async handler counts from when it was set aside, as far as a look has seen it.

The watch runs only while signals are in flight, and looks at least ten times a timeout, or when the next handler is
due. Time is measured, not steps counted; but a look that comes late, because the master was stopped too or had no CPU,
holds that time against nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Literal, Protocol

import msgspec
import trio

from trisig._model.lane import Lane
from trisig._util.ki_protection import ki_protected

from .slots import Slot

log = logging.getLogger("trisig")

_LOOKS = 10  # in a timeout, at least
_LATE = 0.5  # of the time between two looks: what comes later than that is not counted

# What a process holds: the signals that it has not passed yet, since its last progress, or one async handler.
Held = tuple[Literal["unpassed"], float | None] | tuple[Literal["async"], int]


class Work(Protocol):
    """Tells when signals have been handed out, and reads how far the processes are."""

    busy: trio.Event


class Holding(msgspec.Struct):
    """What the process in a slot holds, and since when.

    Attributes:
        lane: of the process; another lane is another process.
        since: the counted time at which each thing was first held.
        killed: its time was over; it may take a while to be reaped.
    """

    lane: Lane
    since: dict[Held, float]
    killed: bool = False

    def look(self, last_progress: float | None, now: float, behind: float) -> None:
        """See what is held now.

        Args:
            last_progress: the trio time at which the process was last known to go on; None if it is idle.
            now: the counted time.
            behind: by how much the counted time was behind trio's when the process went on.
        """
        held: dict[Held, float] = {("async", number): now for number in self.lane.aside}
        if self.lane.busy:
            began = now if last_progress is None else last_progress - behind
            held["unpassed", last_progress] = min(began, now)
        self.since = {thing: self.since.get(thing, first) for thing, first in held.items()}

    def longest(self, now: float) -> float:
        """Seconds for which the oldest has been held."""
        return now - min(self.since.values(), default=now)


@ki_protected
class Harakiri:
    """Kills processes whose handlers exceed the timeout.

    Args:
        timeout: seconds.
        slots: the processes.
        work: whose `busy` event is set whenever signals are handed out.
        read_marks: reads how far the processes are.
        kill: ends the named process.
    """

    def __init__(
        self,
        timeout: float,
        slots: Iterable[Slot],
        work: Work,
        read_marks: Callable[[], None],
        kill: Callable[[str], None],
    ) -> None:
        self._timeout = timeout
        self._slots = list(slots)
        self._work = work
        self._read_marks = read_marks
        self._kill = kill
        self._behind = 0.0  # seconds that were held against nobody
        self._behind_before = 0.0  # as it was before the last sleep, within which progress is new
        self._holding: dict[str, Holding] = {}

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            await self._work.busy.wait()
            await self._sleep()
            self._read_marks()
            now = trio.current_time() - self._behind
            holding = [self._look(slot, now) for slot in self._slots]
            if not any(holding):
                self._work.busy = trio.Event()

    async def _sleep(self) -> None:
        """Sleep until the next look, and count the time that a look should take at most."""
        step = self._timeout / _LOOKS
        self._behind_before = self._behind
        now = trio.current_time()
        alive = [holding for holding in self._holding.values() if not holding.killed]
        due = min((self._timeout - holding.longest(now - self._behind) for holding in alive), default=step)
        # Never less than a hundredth: what is due and cannot be killed yet must not be looked at without a pause.
        pause = min(step, max(due, step / 10))
        await trio.sleep(pause)
        self._behind += max(0.0, trio.current_time() - now - pause - step * _LATE)

    def _look(self, slot: Slot, now: float) -> bool:
        """Judge one process; whether it holds anything."""
        if slot.lane is None:
            self._holding.pop(slot.name, None)
            return False
        holding = self._holding.get(slot.name)
        if holding is None or holding.lane is not slot.lane:
            holding = self._holding[slot.name] = Holding(slot.lane, {})
        holding.look(slot.last_progress, now, self._behind_before)
        longest = holding.longest(now)
        if longest >= self._timeout and not holding.killed:
            holding.killed = True
            slot.timeouts += 1
            self._end(slot.name, slot.lane, longest)
        return bool(holding.since)

    def _end(self, name: str, lane: Lane, seconds: float) -> None:
        running = ", ".join(map(str, lane.running())) or "none, the process is stopped"
        what = "%s: no progress for %.1f s, over the handler timeout; killing it; running: %s"
        log.error(what, name, seconds, running)
        self._kill(name)
