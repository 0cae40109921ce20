"""Timers: a signal every so many seconds, on a grid fixed when the timer starts.

Tick n is due at start + n * seconds, whatever happened to the ticks before it: nothing adds up to a drift. A tick
that comes late (a stopped process, a full queue) raises its signal when it can; ticks that passed meanwhile are
folded into it and counted in `missed`. A burst of stale ticks would help nobody.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from trisig._model.once import Once
from trisig._model.past import Past, Record
from trisig._model.signum import check_signum

from .catch_up import CatchUp, check_catch_up, check_late, oldest
from .checks import check_delay, check_iterations, check_seconds
from .clocks import Clock
from .cron import Progress
from .engines import Engines
from .jitter import Jitter
from .occurrences import Occurrence, Occurrences
from .source_run import BuiltinSource
from .unique import check_unique, missed_since

_OFF = 0.01  # of an interval
_LOOKS, _QUICK_S = 3, 20e-6


class Timer(BuiltinSource):
    kind: str

    def __init__(
        self,
        signum: int,
        seconds: float,
        *,
        iterations: int = 0,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
    ) -> None:
        self.signum = check_signum(signum)
        self.seconds = check_seconds(seconds)
        self.iterations = check_iterations(iterations)
        self.jitter = check_delay(jitter, "jitter")
        self.catch_up: CatchUp = check_catch_up(catch_up)
        self.late = check_late(late)
        self.unique = check_unique(unique, self.late)
        if self.unique and self.seconds % 1:
            raise ValueError(f"the interval of a unique timer is in whole seconds, not {self.seconds:g}")
        if self.jitter >= self.seconds:
            raise ValueError(f"jitter must be shorter than the interval of {self.seconds:g} s, not {self.jitter:g} s")

    @abc.abstractmethod
    def _clock(self, engines: Engines) -> Clock: ...

    @property
    def name(self) -> str:
        """What logs and statistics call the timer."""
        return f"{self.kind} of signal {self.signum} every {self.seconds:.12g} s"

    def parts(self) -> dict[str, Any]:
        """The arguments that make an equal one."""
        return {
            "kind": self.kind,
            "signum": self.signum,
            "seconds": self.seconds,
            "iterations": self.iterations,
            "jitter": self.jitter,
            "catch_up": self.catch_up,
            "late": self.late,
            **({"unique": True} if self.unique else {}),
        }

    timezone = "UTC"  # of the grid of a unique timer

    def due_after(self, moment: float) -> float:
        """The first tick later than `moment`, of a unique timer: all nodes have one grid, from 1970 on."""
        return (moment // self.seconds + 1) * self.seconds

    def missed_since(self, last: float, now: float) -> Once | None:
        """What was due last since a moment, if that still counts; for one that is unique."""
        return missed_since(self, last, now)

    def arm(self, engines: Engines) -> AbstractContextManager[Occurrences]:
        """Make the ticks of one run."""
        if self.unique:
            return nullcontext(Progress(self, engines.wall_clock))
        return nullcontext(Ticks(self, self._clock(engines), engines.time))


class Ticks(Occurrences):
    """The ticks of one run, counted from when the first one is waited for.

    With a record they lie on the grid of the first master that had one. Its seconds since 1970 are looked at once, when
    the ticks begin; from then on the clock counts.

    Args:
        timer: the source.
        clock: on which the grid lies.
        wall: the seconds since 1970.
    """

    def __init__(self, timer: Timer, clock: Clock, wall: Callable[[], float]) -> None:
        self._timer = timer
        self._clock = clock
        self._wall = wall
        self._jitter = Jitter(timer.jitter)
        self._seconds = timer.seconds
        self._start: float | None = None
        self._tick = 0
        self._record: Record | None = None
        self._grid = 0.0
        self._reported: Occurrence | None = None  # what was reported before the task in `next` runs

    @property
    def next_due(self) -> float | None:
        """When the next tick is due, in seconds since 1970; None until the timer begins."""
        if self._start is None:
            return None
        return self._epoch() + self._start + (self._tick + 1) * self._seconds

    async def next(self) -> Occurrence:
        """Wait for the next tick; those after it that have passed by then are folded into it."""
        if self._start is None:
            epoch = self._epoch()
            now = self._clock.now()
            self._start = now - self._begin(epoch + now)
        tick = self._tick + 1
        await self._reach(self._start, tick)
        noticed, self._reported = self.noticed, None
        self._tick = tick + noticed.missed
        return noticed

    def continue_from(self, record: Record) -> None:
        """Begin on the grid of an earlier master, and with the ticks that passed since."""
        self._record = record

    def _begin(self, now: float) -> float:
        """How long before now the last tick was that is dealt with; the next one is an interval later.

        Args:
            now: in seconds since 1970, of the moment at which the ticks begin by the clock.
        """
        if self._record is None:
            return 0.0
        seconds, past = self._seconds, self._record.past
        if past is None:
            past = Past(now, now)
        self._grid = past.grid
        ago = (now - past.grid) % seconds
        since = max(past.seen, oldest(now, self._timer.catch_up, self._timer.late))
        # Rounded: what was noted of a tick is some microseconds off the grid.
        ticks = max(0, math.ceil((now - ago - since) / seconds - _OFF))
        begin = ago + ticks * seconds
        self._record.note(Past(now - begin, past.grid))
        return begin

    def was_accepted(self, occurrence: Occurrence) -> None:
        """Keep how far the timer has come."""
        if self._record is not None and occurrence.due is not None:
            self._record.note(Past(occurrence.due + occurrence.missed * self._seconds, self._grid))

    @property
    def noticed(self) -> Occurrence:
        """The next tick, with those folded into it that have passed by now, or had when it was reported."""
        if self._reported is not None:
            return self._reported
        assert self._start is not None
        now, tick = self._clock.now(), self._tick + 1
        due = self._epoch() + self._start + tick * self._seconds
        # The division may round down to just below `tick`.
        return Occurrence(missed=max(tick, int((now - self._start) / self._seconds)) - tick, due=due)

    def _epoch(self) -> float:
        """The seconds since 1970 at the origin of the clock."""
        shortest, epoch = math.inf, 0.0
        for _ in range(_LOOKS):  # the process may be interrupted between two clocks
            before, wall = self._clock.now(), self._wall()
            took = self._clock.now() - before
            if took < shortest:
                shortest, epoch = took, wall - before
            if took < _QUICK_S:
                break
        return epoch

    async def _reach(self, start: float, tick: int) -> None:
        """Wait for a tick."""
        moment = self._jitter.after(start + tick * self._seconds)
        await self._clock.wait_until(moment, self._report)
        while self._clock.now() < moment:
            await self._clock.wait_until(moment, self._report)

    def _report(self, wake: Callable[[], object]) -> bool:
        # What is due from here on is for another signal: this one may be handled already.
        self._reported = self.noticed
        reported = self._notice(wake)
        if not reported:
            self._reported = None
        return reported


class TimerSource(Timer):
    """A kernel timer: CLOCK_MONOTONIC behind the timerfd that all of them share.

    Follows uWSGI's `add_timer`, with fractions of a second and iterations.

    Args:
        signum: the signal to raise.
        seconds: the interval, at least 0.001.
        iterations: how many signals to raise; 0 is no limit.
        jitter: seconds, less than the interval, by which each signal is delayed at random; the ticks stay on the grid.
        catch_up: with a journal, whether ticks that passed while there was no master raise one signal (`one`) or none.
        late: seconds after which such a tick does not count any more; None for no limit.
        unique: whether a cluster lets each tick through once; then the ticks of all nodes lie on one grid.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range.
    """

    kind = "timer"

    def _clock(self, engines: Engines) -> Clock:
        return engines.kernel_clock


class RbTimerSource(Timer):
    """A user-space timer: one ordered structure and one trio deadline for all of them.

    Follows uWSGI's `add_rb_timer`, without its one-second clock.

    Args:
        signum: the signal to raise.
        seconds: the interval, at least 0.001.
        iterations: how many signals to raise; 0 is no limit.
        jitter: seconds, less than the interval, by which each signal is delayed at random; the ticks stay on the grid.
        catch_up: with a journal, whether ticks that passed while there was no master raise one signal (`one`) or none.
        late: seconds after which such a tick does not count any more; None for no limit.
        unique: whether a cluster lets each tick through once; then the ticks of all nodes lie on one grid.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range.
    """

    kind = "rb_timer"

    def _clock(self, engines: Engines) -> Clock:
        return engines.user_clock
