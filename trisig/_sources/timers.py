"""Timers: a signal every so many seconds, on a grid fixed when the timer starts.

Tick n is due at start + n * seconds, whatever happened to the ticks before it: nothing adds up to a drift. A tick
that comes late (a stopped process, a full queue) raises its signal when it can; ticks that passed meanwhile are
folded into it and counted in `missed`. A burst of stale ticks would help nobody.
"""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from trisig._signum import check_signum

from ._checks import check_iterations, check_seconds
from ._clocks import Clock
from ._course import BuiltinSource
from ._engines import Engines


class _Timer(BuiltinSource):
    kind: str

    def __init__(self, signum: int, seconds: float, *, iterations: int = 0) -> None:
        self.signum = check_signum(signum)
        self.seconds = check_seconds(seconds)
        self.iterations = check_iterations(iterations)

    @abc.abstractmethod
    def _clock(self, engines: Engines) -> Clock: ...

    @property
    def name(self) -> str:
        """What logs and statistics call it."""
        return f"{self.kind} of signal {self.signum} every {self.seconds:.12g} s"

    def parts(self) -> dict[str, Any]:
        """The arguments that make an equal one."""
        return {"kind": self.kind, "signum": self.signum, "seconds": self.seconds, "iterations": self.iterations}

    def arm(self, engines: Engines) -> AbstractContextManager[Ticks]:
        """Make the ticks of one run."""
        return nullcontext(Ticks(self._clock(engines), self.seconds))


class Ticks:
    """The ticks of one run, counted from when the first one is waited for."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._start: float | None = None
        self._tick = 0

    async def next(self) -> int:
        """Wait for the next tick; returns how many after it have passed by then too."""
        if self._start is None:
            self._start = self._clock.now()
        due = self._tick + 1
        self._tick = await self._reach(self._start, due)
        return self._tick - due

    async def _reach(self, start: float, due: int) -> int:
        """Wait for tick `due` and return the latest one that has passed by then."""
        moment = start + due * self._seconds
        await self._clock.wait_until(moment)
        while (now := self._clock.now()) < moment:
            await self._clock.wait_until(moment)
        # The division may round down to just below `due`.
        return max(due, int((now - start) / self._seconds))


class TimerSource(_Timer):
    """A kernel timer: CLOCK_MONOTONIC behind the timerfd that all of them share.

    Follows uWSGI's `add_timer`, with fractions of a second and iterations.

    Args:
        signum: the signal to raise.
        seconds: the interval, at least 0.001.
        iterations: how many signals to raise; 0 is no limit.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range.
    """

    kind = "timer"

    def _clock(self, engines: Engines) -> Clock:
        return engines.kernel_clock


class RbTimerSource(_Timer):
    """A user-space timer: one ordered structure and one trio deadline for all of them.

    Follows uWSGI's `add_rb_timer`, without its one-second clock.

    Args:
        signum: the signal to raise.
        seconds: the interval, at least 0.001.
        iterations: how many signals to raise; 0 is no limit.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range.
    """

    kind = "rb_timer"

    def _clock(self, engines: Engines) -> Clock:
        return engines.user_clock
