"""Clocks that any number of tasks wait on through one kernel object.

Ten thousand timers cannot be ten thousand file descriptors, nor need they be ten thousand deadlines of trio.
Each clock keeps its waiting tasks in one heap ordered by deadline, and only the first deadline is given to what
really waits: a timerfd (`TimerFdClock`, `WallClock`) or a cancel scope of trio (`TrioClock`). The clock's `drive`
task wakes those that are due and arms the next.

A wait may end early: a clock that somebody set wakes every task, since their deadlines then mean another moment.
So callers look at the clock again, always.
"""

from __future__ import annotations

import abc
import heapq
import itertools
import math
import time
from typing import Protocol

import trio

from trisig._linux.timerfd import TimerFd
from trisig._util.ki_protection import ki_protected

from .occurrences import OnNotice

# Which the `time` module lacks.
CLOCK_REALTIME_COARSE = 5


class Clock(Protocol):
    """What a source needs of a clock."""

    def now(self) -> float:
        """Seconds since the clock's own origin."""
        ...

    async def wait_until(self, deadline: float, passed: OnNotice | None = None) -> None:
        """Wait until `now()` reaches `deadline`; may return early.

        Args:
            deadline: in seconds of the clock.
            passed: called when the deadline has passed, not when this returns early. It is given what lets the waiting
                task go on, and returns whether it will call that.
        """
        ...


class Alarms:
    """Deadlines in order, each with the event that one task waits for.

    `len()` counts the tasks that still wait.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, trio.Event, OnNotice | None]] = []
        self._serial = itertools.count()
        self._dropped = 0
        self._held: set[trio.Event] = set()  # not in the heap any more, and to be set by another

    def __len__(self) -> int:
        return len(self._heap) - self._dropped

    @property
    def first(self) -> float:
        """The earliest deadline; infinity if there is none. A dropped one may still be the first."""
        return self._heap[0][0] if self._heap else math.inf

    def add(self, deadline: float, passed: OnNotice | None = None) -> trio.Event:
        """An event that is set once `deadline` has passed: by `wake`, unless `passed` says that it will do it."""
        event = trio.Event()
        heapq.heappush(self._heap, (deadline, next(self._serial), event, passed))
        return event

    def wake(self, now: float) -> trio.Event | None:
        """Set the events of all deadlines up to `now`; returns the last one that will be set later."""
        held = None
        while self._heap and self._heap[0][0] <= now:
            _, _, event, passed = heapq.heappop(self._heap)
            if event.is_set():
                self._dropped -= 1
            # At infinity the clock was set, and means another moment.
            elif passed is not None and now < math.inf and passed(event.set):
                self._held.add(event)
                held = event
            else:
                event.set()
        return held

    def drop(self, event: trio.Event) -> None:
        """Forget an event that nobody waits for any more.

        Taking it out of the middle of a heap costs a search, so it is only marked; once the marked ones are the
        majority they leave together. Otherwise adding and removing far deadlines would grow the heap for ever.
        """
        held = event in self._held
        self._held.discard(event)
        if event.is_set():
            return
        event.set()
        if held:
            return
        self._dropped += 1
        if self._dropped > len(self._heap) // 2:
            self._heap = [alarm for alarm in self._heap if not alarm[2].is_set()]
            heapq.heapify(self._heap)
            self._dropped = 0


class SharedClock(abc.ABC):
    """A clock, its waiting tasks, and the one task (`drive`) that waits for all of them."""

    def __init__(self) -> None:
        self._alarms = Alarms()

    @abc.abstractmethod
    def now(self) -> float: ...

    @abc.abstractmethod
    def _arm(self) -> None:
        """Let the first alarm end the wait of `drive`."""

    @abc.abstractmethod
    async def drive(self) -> None:
        """Wake tasks as their deadlines pass, until cancelled."""

    def wake_all(self) -> None:
        """End every wait now: what the tasks made of the clock may have changed."""
        self._alarms.wake(math.inf)

    async def wait_until(self, deadline: float, passed: OnNotice | None = None) -> None:
        """Wait until `now()` reaches `deadline`; may return early."""
        if deadline <= self.now():
            await trio.lowlevel.checkpoint()
            return
        earlier = deadline < self._alarms.first
        event = self._alarms.add(deadline, passed)
        try:
            if earlier:
                self._arm()
            await event.wait()
        finally:
            self._alarms.drop(event)


@ki_protected
class TrioClock(SharedClock):
    """Trio's own clock, one deadline for all waiting tasks: a mock clock drives it too."""

    def __init__(self) -> None:
        super().__init__()
        self._scope = trio.CancelScope()

    def now(self) -> float:
        return trio.current_time()

    def _arm(self) -> None:
        self._scope.deadline = self._alarms.first

    async def drive(self) -> None:
        """Wake tasks as their deadlines pass, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._alarms.first) as self._scope:
                await trio.sleep_forever()
            self._alarms.wake(self.now())


@ki_protected
class TimerFdClock(SharedClock):
    """A clock of the kernel behind one timerfd.

    Args:
        clock_id: `time.CLOCK_MONOTONIC`, or `time.CLOCK_REALTIME`, which wakes every task when it is set.
    """

    def __init__(self, clock_id: int) -> None:
        super().__init__()
        self._clock_id = clock_id
        self._timer = TimerFd(clock_id, cancel_on_set=clock_id == time.CLOCK_REALTIME)

    def now(self) -> float:
        return time.clock_gettime(self._clock_id)

    def _arm(self) -> None:
        if not self._timer.arm(self._expiry()):
            self.wake_all()

    def _expiry(self) -> float:
        return self._alarms.first

    async def drive(self) -> None:
        """Wake tasks as their deadlines pass, until cancelled; then close the timerfd."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._timer.fd)
                running = self._timer.acknowledge()
                held = self._alarms.wake(self.now() if running else math.inf)
                if held is not None:
                    # The signal of a tick first: arming would make it late by the time that it takes.
                    await held.wait()
                self._arm()
        finally:
            self._timer.close()


class WallClock(TimerFdClock):
    """The time of day, as `time.localtime()` tells it.

    The kernel keeps two: an exact one, which drives timers, and one that moves with its tick only and so lags behind by
    some milliseconds. `time()` and what C libraries build on it read the second one. A minute that has begun by the
    first alone would run handlers for which it is still the minute before.
    """

    def __init__(self) -> None:
        super().__init__(time.CLOCK_REALTIME)
        self._tick = time.clock_getres(CLOCK_REALTIME_COARSE)

    def now(self) -> float:
        return time.clock_gettime(CLOCK_REALTIME_COARSE)

    def _expiry(self) -> float:
        # A tick after the deadline; after now, if the deadline has passed by the exact clock alone.
        return max(self._alarms.first, time.clock_gettime(self._clock_id)) + self._tick
