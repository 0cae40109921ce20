"""Cron: a signal at each due minute of the wall clock, once.

The source computes when it is next due and waits for that moment. It does not look at the clock every minute: so
nothing slides, and a minute that has begun when the source starts is not due any more.

The wall clock can be set, and the process can be stopped. What then counts is the moment up to which all due
minutes have been dealt with:

- due minutes that have passed unseen (a stop, a full queue, a clock set forward) raise one signal, late; the
  others are counted in `missed`, and the log says so;
- a clock set back by up to three hours repeats no minute that has raised its signal already; set back further it
  was wrong before, and the schedule starts over from the new time. Three hours is crontab's own limit.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from trisig._signum import check_signum

from ._checks import check_iterations
from ._clocks import Clock
from ._course import BuiltinSource
from ._engines import Engines
from ._schedule import make_schedule, open_zone

LATE = 1.0
SET_BACK = 3 * 3600.0
# A machine that boots in 1970 and then learns the time must not count 30 million minutes.
COUNTED = 1000

_log = logging.getLogger("trisig.cron")


class CronSource(BuiltinSource):
    """A signal at each due minute.

    Args:
        signum: the signal to raise.
        when: five numbers (minute, hour, day, month, weekday) with the rules of uWSGI's `add_cron`: -1 is any
            value, -n every value that n divides, weekday 0 and 7 are Sunday, day and weekday are alternatives
            when both are plain numbers. Or one crontab expression (`"40 2 * * mon-fri"`), or `@hourly`, `@daily`,
            `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`.
        timezone: IANA name of the zone whose time is meant; None is the system's local time.
        iterations: how many signals to raise; 0 is no limit.

    Raises:
        TypeError: a value of another type, or another number of values.
        ValueError: a field out of range, an expression that is not one or is never due, an unknown time zone.
    """

    def __init__(self, signum: int, *when: int | str, timezone: str | None = None, iterations: int = 0) -> None:
        self.signum = check_signum(signum)
        self.iterations = check_iterations(iterations)
        self.when = when
        self.timezone = timezone
        self._schedule = make_schedule(when, open_zone(timezone))

    @property
    def name(self) -> str:
        """What logs and statistics call it."""
        fields = " ".join(map(str, self.when)).split()  # an expression may have line ends between its fields
        zone = [self.timezone] if self.timezone else []
        return f"cron of signal {self.signum} at {' '.join([*fields, *zone])}"

    def parts(self) -> dict[str, Any]:
        """The arguments that make an equal one."""
        return {
            "kind": "cron",
            "signum": self.signum,
            "when": list(self.when),
            "timezone": self.timezone,
            "iterations": self.iterations,
        }

    def arm(self, engines: Engines) -> AbstractContextManager[Progress]:
        """Look out for due minutes from now on."""
        return nullcontext(Progress(self, engines.wall_clock))

    def due_after(self, moment: float) -> float | None:
        """The first due moment later than `moment`, both in seconds since 1970."""
        due = self._schedule.next_due(datetime.fromtimestamp(moment, UTC))
        return None if due is None else due.timestamp()


class Progress:
    """How far one run of a source has come along the wall clock.

    `_seen` is the moment up to which every due minute has been dealt with, `_raised` the last one that raised the
    signal, `_due` the next.
    """

    def __init__(self, source: CronSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._raised: float | None = None
        self._look_from(clock.now())

    async def next(self) -> int:
        """Wait for the next due minute; returns how many after it have passed by then too."""
        passed = False
        while not passed:
            # Before each wait: a clock that was set while `send` waited has woken nobody here.
            if (now := self._clock.now()) < self._seen:
                self._set_back(now)
            await self._clock.wait_until(self._due)
            passed = self._clock.now() >= self._due
        return self._take(self._clock.now())

    def _look_from(self, moment: float) -> None:
        self._seen = moment
        due = self._source.due_after(moment)
        self._due = float("inf") if due is None else due

    def _set_back(self, now: float) -> None:
        if self._raised is not None and now < self._raised <= now + SET_BACK:
            self._look_from(self._raised)
        else:
            _log.warning("%s: the clock was set back, the schedule starts over from there", self._source)
            self._raised = None
            self._look_from(now)

    def _take(self, now: float) -> int:
        first, folded = self._due, 0
        self._raised = first
        self._look_from(first)
        while self._due <= now and folded < COUNTED:
            folded += 1
            self._raised = self._due
            self._look_from(self._due)
        if self._due <= now:
            self._look_from(now)
        if now - first >= LATE:
            self._tell_late(first, now - first, folded + 1)
        return folded

    def _tell_late(self, first: float, late: float, due: int) -> None:
        due_at = datetime.fromtimestamp(first, UTC).isoformat()
        several = f"; {due} due minutes in all are this one signal" if due > 1 else ""
        _log.warning("%s: due at %s, raised %.0f s late%s", self._source, due_at, late, several)
