"""Timers: a signal every so many seconds, on a grid fixed when the timer starts.

Tick n is due at start + n * seconds, whatever happened to the ticks before it: nothing adds up to a drift. A tick
that comes late (a stopped process, a full queue) raises its signal when it can; ticks that passed meanwhile are
folded into it and counted in `missed`. A burst of stale ticks would help nobody.
"""

from __future__ import annotations

import abc
from typing import Any

import trio

from trisig._signum import check_signum

from ._checks import check_iterations, check_seconds, rounds
from ._clocks import Clock
from ._engines import BuiltinSource, Engines
from .base import Send


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
        return f"{self.kind} {self.seconds:g}s"

    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` makes an equal source of."""
        return {"kind": self.kind, "signum": self.signum, "seconds": self.seconds, "iterations": self.iterations}

    async def run_on(
        self, engines: Engines, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Raise the signal at each tick until the iterations are used up, or until cancelled."""
        clock = self._clock(engines)
        start = clock.now()
        task_status.started()
        tick = 0
        for _ in rounds(self.iterations):
            due = tick + 1
            tick = await self._reach(clock, start, due)
            self.missed += tick - due
            await send(self.signum)

    async def _reach(self, clock: Clock, start: float, due: int) -> int:
        """Wait for tick `due` and return the latest one that has passed by then."""
        await clock.wait_until(start + due * self.seconds)
        while (now := clock.now()) < start + due * self.seconds:
            await clock.wait_until(start + due * self.seconds)
        # The division may round down to just below `due`.
        return max(due, int((now - start) / self.seconds))


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
