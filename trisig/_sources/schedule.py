"""When a cron job is due. Pure: no clock, no waiting.

A schedule answers one question, `next_due(after)`: the first due moment later than `after`. Moments are aware
datetimes in UTC; the rules are about local time, which jumps twice a year. As in crontab there are two sorts of
jobs. One with a fixed minute and a fixed hour is about a point of the local day and happens once for it: a time
that the clock skips in spring is due right after the gap, a time that it repeats in autumn is due the first time.
One with a wildcard in either (every hour, every ten minutes) is about minutes as they pass: it goes on through
the repeated hour and skips what does not exist.

`NumericSchedule` has uWSGI's rules, `ExpressionSchedule` those of crontab through cronsim.
"""

from __future__ import annotations

import abc
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import partial
from itertools import product
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from .checks import check_int

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
# Long enough for any day and weekday to meet: 29 February falls on each weekday within 40 years, 2100 included.
HORIZON = 50 * 366

# name, lowest and highest value; the lowest step is minus the number of values: -60 is minute 0 only.
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_STEPS = {"minute": 60, "hour": 24, "day": 31, "month": 12, "weekday": 7}
ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CRONSIM_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")


class Schedule(Protocol):
    """The due moments of one job."""

    def next_due(self, after: datetime) -> datetime | None:
        """The first due moment later than `after`, in UTC; None if there is none for decades."""
        ...


class LocalZone(tzinfo):
    """The system's local time (TZ, else /etc/localtime), with daylight saving and `fold`."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        """The offset of the wall time `dt`."""
        if dt is None:
            return None
        # Not by `astimezone()`: from Python 3.13 on it moves a time in a gap before it tells the offset.
        wall = dt.replace(tzinfo=None)
        return wall.replace(tzinfo=UTC) - datetime.fromtimestamp(wall.timestamp(), UTC)

    def dst(self, dt: datetime | None) -> timedelta | None:  # noqa: ARG002 (tzinfo's signature)
        """Not known apart from the offset."""
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        """The abbreviation at the wall time `dt`."""
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        """Wall time of a moment; `fold` is set in the second pass of a repeated hour."""
        moment = dt.replace(tzinfo=UTC).astimezone()
        wall = moment.replace(tzinfo=self)
        return wall if wall.utcoffset() == moment.utcoffset() else wall.replace(fold=1)


def open_zone(timezone: object) -> tzinfo:
    """The zone of an IANA name; the system's local time for None.

    Raises:
        TypeError: not a string or None.
        ValueError: no such zone.
    """
    if timezone is None:
        return LocalZone()
    if not isinstance(timezone, str):
        raise TypeError(f"timezone must be a name such as 'Europe/Rome', or None for local time, not {timezone!r}")
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"unknown time zone {timezone!r}: write an IANA name such as 'Europe/Rome'"
            " (a system without a zone database needs the tzdata package)"
        ) from None


class LocalSchedule(abc.ABC):
    """Walks local time; what the fields of a job mean is known to its subclasses.

    Args:
        minutes, hours: which of them fit.
        fixed: the job is about points of the local day, not about minutes as they pass.
    """

    def __init__(self, zone: tzinfo, minutes: Iterable[int], hours: Iterable[int], *, fixed: bool) -> None:
        self._zone = zone
        self._minutes = frozenset(minutes)
        self._hours = frozenset(hours)
        self._fixed = fixed
        points = product(sorted(self._hours), sorted(self._minutes)) if fixed else ()
        self._times = [time(*point) for point in points]

    @abc.abstractmethod
    def _fits_day(self, day: date) -> bool: ...

    def next_due(self, after: datetime) -> datetime | None:
        """The first due moment later than `after`, in UTC."""
        return self._next_fixed(after) if self._fixed else self._next_wildcard(after)

    def _next_fixed(self, after: datetime) -> datetime | None:
        # A day early: a zone that skips a whole day moves yesterday's job to today.
        for day in self._days(after.astimezone(self._zone).date() - DAY):
            # Several skipped times of a day are one moment, the end of the gap; otherwise they are as far apart.
            passed = bisect_right(self._times, after, key=partial(self._moment, day))
            if passed < len(self._times):
                return self._moment(day, self._times[passed])
        return None

    def _moment(self, day: date, at: time) -> datetime:
        return _exists(datetime.combine(day, at, self._zone))

    def _next_wildcard(self, after: datetime) -> datetime | None:
        moment = after.replace(second=0, microsecond=0) + MINUTE
        while True:
            wall = moment.astimezone(self._zone)
            if not self._fits_day(wall.date()):
                day = next(self._days(wall.date() - DAY), None)
                if day is None:
                    return None
                moment = self._skip_to(day, moment, wall)
            elif wall.hour not in self._hours:
                moment = self._skip(moment, wall, minutes=60 - wall.minute)
            elif wall.minute not in self._minutes:
                moment += MINUTE
            else:
                return moment

    def _skip_to(self, day: date, moment: datetime, wall: datetime) -> datetime:
        """Go forward towards `day`: to two days before it, where no zone can have it yet, then day by day."""
        near = datetime.combine(day - 2 * DAY, time(), UTC)
        return near if near > moment else self._skip(moment, wall, minutes=1440 - 60 * wall.hour - wall.minute)

    def _skip(self, moment: datetime, wall: datetime, minutes: int) -> datetime:
        """Go forward by `minutes`, or by one if the offset from UTC changes on the way."""
        target = moment + minutes * MINUTE
        same = target.astimezone(self._zone).utcoffset() == wall.utcoffset()
        return target if same else moment + MINUTE

    def _days(self, first: date) -> Iterator[date]:
        """The days that fit, from `first` on."""
        return filter(self._fits_day, (first + timedelta(days=n) for n in range(HORIZON)))


class NumericSchedule(LocalSchedule):
    """Five numbers with the rules of uWSGI's `add_cron`.

    -1 is any value; -n every value that n divides (day -2: the even days); weekday 0 and 7 are Sunday. The day is
    right if day *or* weekday fit when both are plain numbers, and if both fit otherwise.

    Raises:
        TypeError: a field is not an int.
        ValueError: a field is out of range.
    """

    def __init__(self, fields: tuple[object, ...], zone: tzinfo) -> None:
        minute, hour, self._day, self._month, weekday = map(_check_field, FIELDS, fields)
        self._weekday = 0 if weekday == 7 else weekday
        self._either_day = self._day >= 0 and weekday >= 0
        minutes, hours = (_fitting(field, range(end)) for field, end in ((minute, 60), (hour, 24)))
        super().__init__(zone, minutes, hours, fixed=minute >= 0 and hour >= 0)

    def _fits_day(self, day: date) -> bool:
        in_month = _fits(self._day, day.day)
        in_week = _fits(self._weekday, day.isoweekday() % 7)
        fits = in_month or in_week if self._either_day else in_month and in_week
        return fits and _fits(self._month, day.month)


class ExpressionSchedule(LocalSchedule):
    """A crontab expression of five fields, or an alias such as `@daily`.

    Names of months and days, lists, ranges, steps, and cronsim's `L`, `LW` and `#` are understood. cronsim reads
    them. Its own walk is not used: it goes from hour to hour, and is not exact where an offset changes by half an
    hour, or at midnight.

    Raises:
        TypeError: not a string.
        ValueError: not an expression.
    """

    def __init__(self, expression: object, zone: tzinfo) -> None:
        self._read = read = _read_expression(expression)
        minute, hour = read.parts[1:3]
        fixed = not minute.startswith("*") and not hour.startswith("*")
        super().__init__(zone, read.minutes, read.hours, fixed=fixed)

    def _fits_day(self, day: date) -> bool:
        return day.month in self._read.months and self._read.match_day(day)


def make_schedule(when: tuple[object, ...], zone: tzinfo) -> Schedule:
    """The schedule of one expression or of five numbers.

    Raises:
        TypeError: neither.
        ValueError: a field is wrong, or the job would never be due.
    """
    schedule: Schedule
    if len(when) == 1:
        schedule = ExpressionSchedule(when[0], zone)
    elif len(when) == len(FIELDS):
        schedule = NumericSchedule(when, zone)
    else:
        raise TypeError(
            "cron takes one expression such as '40 2 * * *', or the five numbers minute, hour, day, month, weekday;"
            f" not {len(when)} values"
        )
    if schedule.next_due(datetime(2000, 1, 1, tzinfo=UTC)) is None:
        raise _never_due(" ".join(map(str, when)))
    return schedule


def _fits(field: int, value: int) -> bool:
    return value % -field == 0 if field < 0 else value == field


def _fitting(field: int, values: Iterable[int]) -> list[int]:
    return [value for value in values if _fits(field, value)]


def _exists(wall: datetime) -> datetime:
    """The moment of a wall time, in UTC; of the end of the gap if the clock skips it."""
    moment = wall.astimezone(UTC)
    if moment.astimezone(wall.tzinfo).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return moment
    # In a gap fold 1 stands for the offset after it, so that its moment lies before the gap.
    before = wall.replace(fold=1).astimezone(UTC)
    while before.astimezone(wall.tzinfo).replace(tzinfo=None) < wall.replace(tzinfo=None):
        before += MINUTE
    return before


def _check_field(field: tuple[str, int, int], value: object) -> int:
    name, lowest, highest = field
    number = check_int(value, f"cron {name}")
    if not (lowest <= number <= highest or -_STEPS[name] <= number <= -1):
        raise ValueError(
            f"cron {name} must be {lowest} to {highest}, -1 for any,"
            f" or -n for every n (down to -{_STEPS[name]}); not {number}"
        )
    return number


def _read_expression(expression: object) -> CronSim:
    if not isinstance(expression, str):
        raise TypeError(f"a cron expression is a string such as '40 2 * * *', not {expression!r}")
    text = expression.strip()
    if text.startswith("@"):
        text = _expand(text)
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise ValueError(
            f"cron expression {expression!r} has {len(fields)} fields, not the five"
            " 'minute hour day month weekday', such as '40 2 * * *'"
        )
    try:
        return _read(*fields)
    except CronSimError as exc:
        if _never_meet(*fields):
            raise _never_due(expression) from None
        raise ValueError(_explain(expression, fields, str(exc))) from None


def _read(*fields: str) -> CronSim:
    return CronSim(" ".join(fields), datetime(2000, 1, 1, tzinfo=UTC))


def _never_meet(minute: str, hour: str, day: str, month: str, weekday: str) -> bool:
    """Whether an expression that cronsim refuses is wrong only in that no such month has such a day."""
    try:
        _read(minute, hour, day, "*", weekday)
        _read(minute, hour, "*", month, weekday)
    except CronSimError:
        return False
    return True


def _never_due(when: str) -> ValueError:
    return ValueError(f"cron {when} is never due: no such day and month exist")


def _expand(alias: str) -> str:
    try:
        return ALIASES[alias.lower()]
    except KeyError:
        raise ValueError(f"unknown cron alias {alias!r}; there are {', '.join(ALIASES)}") from None


def _explain(expression: str, fields: list[str], problem: str) -> str:
    index = _CRONSIM_NAMES.index(problem.removeprefix("Bad "))
    name, lowest, highest = FIELDS[index]
    return (
        f"cron expression {expression!r} has a bad {name} field {fields[index]!r}:"
        f" write * or numbers {lowest} to {highest}, with - for ranges, / for steps and commas"
    )
