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
import math
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Protocol

from trisig._model.once import Once
from trisig._model.past import Past, Record
from trisig._model.signum import check_signum

from .catch_up import CatchUp, check_catch_up, check_late, oldest
from .checks import check_delay, check_iterations
from .clocks import Clock
from .engines import Engines
from .jitter import Jitter
from .occurrences import Occurrence, Occurrences
from .source_run import BuiltinSource
from .unique import check_unique, missed_since

LATE_S = 1.0  # from when on the log says so
SET_BACK_S = 3 * 3600.0
# A machine that boots in 1970 and then learns the time must not count 30 million minutes.
MOST_COUNTED = 1000

log = logging.getLogger("trisig.cron")


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
        jitter: seconds by which each signal is delayed at random. Minutes that come due during the delay are folded
            into the signal.
        catch_up: with a journal, whether minutes that came due while there was no master raise one signal (`one`), or
            none.
        late: seconds after which such a minute does not count any more; None for no limit.
        unique: whether a cluster lets each minute through once; `catch_up` needs no journal then.

    Raises:
        TypeError: a value of another type, or another number of values.
        ValueError: a field out of range, an expression that is not one or is never due, an unknown time zone.
    """

    def __init__(
        self,
        signum: int,
        *when: int | str,
        timezone: str | None = None,
        iterations: int = 0,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
    ) -> None:
        from .schedule import make_schedule, open_zone  # noqa: PLC0415  timers need the rest of this module

        self.signum = check_signum(signum)
        self.iterations = check_iterations(iterations)
        self.when = when
        self.timezone = timezone
        self.jitter = check_delay(jitter, "jitter")
        self.catch_up: CatchUp = check_catch_up(catch_up)
        self.late = check_late(late)
        self.unique = check_unique(unique, self.late)
        self._schedule = make_schedule(when, open_zone(timezone))

    @property
    def name(self) -> str:
        """What logs and statistics call the job."""
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
            "jitter": self.jitter,
            "catch_up": self.catch_up,
            "late": self.late,
            **({"unique": True} if self.unique else {}),
        }

    def arm(self, engines: Engines) -> AbstractContextManager[Progress]:
        """Look out for due minutes from now on."""
        return nullcontext(Progress(self, engines.wall_clock if self.timezone else engines.local_clock))

    def missed_since(self, last: float, now: float) -> Once | None:
        """What was due last since a moment, if that still counts; for one that is unique."""
        return missed_since(self, last, now)

    def due_after(self, moment: float) -> float | None:
        """The first due moment later than `moment`, both in seconds since 1970."""
        due = self._schedule.next_due(datetime.fromtimestamp(moment, UTC))
        return None if due is None else due.timestamp()


class WallScheduled(Protocol):
    """A source that is due at moments of the wall clock."""

    @property
    def timezone(self) -> str | None: ...
    @property
    def jitter(self) -> float: ...
    @property
    def catch_up(self) -> CatchUp: ...
    @property
    def late(self) -> float | None: ...
    def due_after(self, moment: float) -> float | None: ...


class Progress(Occurrences):
    """How far one run of a source has come along the wall clock.

    `_seen` is the moment up to which every due minute has been dealt with, `_raised` the last one that raised the
    signal, `_due` the next.

    Args:
        source: the job.
        clock: what it takes for the time of day.
    """

    def __init__(self, source: WallScheduled, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._jitter = Jitter(source.jitter)
        self._raised: float | None = None
        self._record: Record | None = None
        self._look_from(clock.now())

    def continue_from(self, record: Record) -> None:
        """Look out for what fell due since the last master has looked."""
        self._record = record
        if record.past is not None:
            source, now, seen = self._source, self._clock.now(), record.past.seen
            # One in the future: the clock was set back, which `next` deals with.
            self._raised = seen
            self._look_from(seen if seen > now else max(seen, oldest(now, source.catch_up, source.late)))
        self._note()

    def was_accepted(self, occurrence: Occurrence) -> None:
        """Keep how far the job has come."""
        del occurrence  # all up to `_seen` is dealt with, once `next` has returned
        self._note()

    def _note(self) -> None:
        if self._record is not None:
            self._record.note(Past(self._seen, 0.0))

    @property
    def next_due(self) -> float | None:
        """The next due minute, in seconds since 1970; None if there is none for decades."""
        return None if math.isinf(self._due) else self._due

    async def next(self) -> Occurrence:
        """Wait for the next due minute; those after it that have passed by then are folded into it."""
        passed = False
        while not passed:
            # Before each wait: a clock that was set while `send` waited has woken nobody here.
            if (now := self._clock.now()) < self._seen:
                self._set_back(now)
            self._follow_zone()
            await self._clock.wait_until(self._jitter.after(self._due))
            # And after it: in another zone what was due then is not due any more, or has been due before.
            self._follow_zone()
            passed = self._clock.now() >= self._jitter.after(self._due)
        return self._take(self._clock.now())

    def _follow_zone(self) -> None:
        """Compute the next due minute anew if local time may have become another one."""
        if self._source.timezone is None:
            self._look_from(self._seen)

    def _look_from(self, moment: float) -> None:
        self._seen = moment
        due = self._source.due_after(moment)
        self._due = math.inf if due is None else due

    def _set_back(self, now: float) -> None:
        if self._raised is not None and now < self._raised <= now + SET_BACK_S:
            self._look_from(self._raised)
        else:
            log.warning("%s: the clock was set back, the schedule starts over from there", self._source)
            self._raised = None
            self._look_from(now)

    def _take(self, now: float) -> Occurrence:
        first, meant, folded = self._due, self._jitter.after(self._due), 0
        self._raised = first
        self._look_from(first)
        while self._due <= now and folded < MOST_COUNTED:
            folded += 1
            self._raised = self._due
            self._look_from(self._due)
        if self._due <= now:
            self._look_from(now)
        late = now - meant
        if late >= LATE_S:
            self._log_late(first, late, folded + 1)
        return Occurrence(missed=folded, due=first)

    def _log_late(self, first: float, late: float, due: int) -> None:
        due_at = datetime.fromtimestamp(first, UTC).isoformat()
        several = f"; {due} due minutes in all are this one signal" if due > 1 else ""
        log.warning("%s: due at %s, raised %.0f s late%s", self._source, due_at, late, several)
