"""Schedules against brute force over the minutes of days on which clocks change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trisig._sources.schedule import ALIASES, ExpressionSchedule, LocalZone, NumericSchedule, Schedule

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# zone, a moment from which three days hold a change of the offset
CHANGES = [
    ("UTC", "2026-02-27T00:00"),
    ("Europe/Rome", "2026-03-28T00:00"),
    ("Europe/Rome", "2026-10-24T00:00"),
    ("America/New_York", "2026-03-07T05:00"),
    ("America/New_York", "2026-10-31T05:00"),
    ("Africa/Cairo", "2026-04-23T00:00"),  # midnight does not exist
    ("America/Santiago", "2026-04-04T00:00"),  # 23:00 to 24:00 twice
    ("America/St_Johns", "2006-10-28T00:00"),  # back at 00:01, into the day before
    ("Australia/Lord_Howe", "2026-04-04T00:00"),  # half an hour
    ("Australia/Lord_Howe", "2026-10-03T00:00"),
    ("Pacific/Apia", "2011-12-29T00:00"),  # a whole day is skipped
]

Matches = Callable[[datetime], bool]


def moment(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@cache
def calendar(zone: ZoneInfo, first: datetime) -> tuple[list[datetime], list[datetime]]:
    """A week of minutes, and what a clock on the wall shows in each."""
    minutes = [first - 2 * DAY + n * MINUTE for n in range(7 * 1440)]
    return minutes, [minute.astimezone(zone).replace(tzinfo=None) for minute in minutes]


def brute_force(zone: ZoneInfo, first: datetime, last: datetime, matches: Matches, *, fixed: bool) -> list[datetime]:
    """Look at every minute there is, and for fixed times at every minute a wall clock could show."""
    minutes, walls = calendar(zone, first)
    if not fixed:
        found = {minute for minute, wall in zip(minutes, walls, strict=True) if matches(wall)}
    else:
        found, position, shown = set(), 0, walls[0]
        while shown < walls[-1] and position < len(walls):
            if walls[position] < shown:
                position += 1
                continue
            if matches(shown):
                found.add(minutes[position])
            shown += MINUTE
    return sorted(minute for minute in found if first < minute <= last)


def all_due(schedule: Schedule, first: datetime, last: datetime) -> list[datetime]:
    """Ask the schedule again and again."""
    found = []
    after = first
    while (due := schedule.next_due(after)) is not None and due <= last:
        found.append(due)
        after = due
    return found


def numeric_matches(fields: tuple[int, ...]) -> Matches:
    """UWSGI's decision, field by field."""
    minute, hour, day, month, week = fields
    week = 0 if week == 7 else week

    def fits(wanted: int, now: int) -> bool:
        if wanted < 0 and now % abs(wanted) == 0:
            wanted = now
        return wanted == now

    def is_due(wall: datetime) -> bool:
        if not (fits(minute, wall.minute) and fits(hour, wall.hour) and fits(month, wall.month)):
            return False
        in_month, in_week = fits(day, wall.day), fits(week, (wall.weekday() + 1) % 7)
        return in_month or in_week if day >= 0 and week >= 0 else in_month and in_week

    return is_due


def field(lowest: int, highest: int) -> st.SearchStrategy[int]:
    """Any, a step, or a plain number."""
    return st.one_of(st.just(-1), st.integers(-4, -2), st.integers(lowest, highest))


NUMBERS = st.tuples(
    st.one_of(st.sampled_from([-1, -5, -30, 0, 30, 59]), field(0, 59)),
    st.one_of(st.sampled_from([-1, -2, 0, 1, 2, 23]), field(0, 23)),
    st.one_of(st.just(-1), field(1, 31)),
    st.one_of(st.just(-1), field(1, 12)),
    st.one_of(st.just(-1), field(0, 7)),
)


@pytest.mark.thorough
@given(change=st.sampled_from(CHANGES), fields=NUMBERS, offset=st.integers(0, 86399))
@settings(max_examples=80)
def test_numbers_are_due_when_uwsgi_would_run_them(
    change: tuple[str, str], fields: tuple[int, ...], offset: int
) -> None:
    """Every due minute around a change of the clocks, each once, and no other."""
    zone = ZoneInfo(change[0])
    first = moment(change[1]) + timedelta(seconds=offset)
    last = first + 3 * DAY
    expected = brute_force(
        zone, moment(change[1]), last, numeric_matches(fields), fixed=fields[0] >= 0 and fields[1] >= 0
    )
    assert all_due(NumericSchedule(fields, zone), first, last) == [due for due in expected if due > first]


def render(values: list[int]) -> str:
    """A list as crontab writes it."""
    return ",".join(map(str, sorted(values)))


def part(lowest: int, highest: int, *, steps: tuple[int, ...]) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """A crontab field, and the values it stands for."""
    everything = range(lowest, highest + 1)
    return st.one_of(
        st.just(("*", frozenset(everything))),
        st.sampled_from(steps).map(lambda step: (f"*/{step}", frozenset(everything[::step]))),
        st.lists(st.integers(lowest, highest), min_size=1, max_size=4, unique=True).map(
            lambda values: (render(values), frozenset(values))
        ),
        st.tuples(st.integers(lowest, highest), st.integers(0, 3)).map(
            lambda pair: (
                f"{pair[0]}-{min(sum(pair), highest)}",
                frozenset(range(pair[0], min(sum(pair), highest) + 1)),
            )
        ),
    )


PARTS = st.tuples(
    part(0, 59, steps=(5, 30)),
    part(0, 23, steps=(2, 3)),
    part(1, 28, steps=(2,)),
    st.just(("*", frozenset(range(1, 13)))),
    part(0, 6, steps=(2,)),
)


@pytest.mark.thorough
@given(
    change=st.sampled_from(CHANGES),
    parts=PARTS,
    offset=st.integers(0, 86399),
)
@example(  # from one day to the next over a gap at midnight
    change=("Africa/Cairo", "2026-04-23T00:00"),
    parts=(
        ("*", frozenset(range(60))),
        ("*/2", frozenset(range(0, 24, 2))),
        ("*", frozenset(range(1, 29))),
        ("*", frozenset(range(1, 13))),
        ("0,1,5", frozenset({0, 1, 5})),
    ),
    offset=0,
)
@settings(max_examples=80)
def test_expressions_are_due_when_crontab_would_run_them(
    change: tuple[str, str], parts: tuple[tuple[str, frozenset[int]], ...], offset: int
) -> None:
    """The same for crontab's rules: each due minute once, skipped ones right after the gap, repeated ones once."""
    zone = ZoneInfo(change[0])
    first = moment(change[1]) + timedelta(seconds=offset)
    last = first + 3 * DAY
    texts = [text for text, _ in parts]
    minutes, hours, days, months, weekdays = (values for _, values in parts)
    if texts[2] == "*":
        days = frozenset(range(1, 32))
    elif texts[2] == "*/2":
        days = frozenset(range(1, 32, 2))
    both = texts[2].startswith("*") or texts[4].startswith("*")

    def matches(wall: datetime) -> bool:
        in_month, in_week = wall.day in days, wall.isoweekday() % 7 in weekdays
        day = in_month and in_week if both else in_month or in_week
        return day and wall.minute in minutes and wall.hour in hours and wall.month in months

    fixed = not texts[0].startswith("*") and not texts[1].startswith("*")
    expected = [due for due in brute_force(zone, moment(change[1]), last, matches, fixed=fixed) if due > first]
    assert all_due(ExpressionSchedule(" ".join(texts), zone), first, last) == expected


ROME = ZoneInfo("Europe/Rome")


@pytest.mark.parametrize(
    "schedule", [NumericSchedule((30, 2, -1, -1, -1), ROME), ExpressionSchedule("30 2 * * *", ROME)]
)
def test_half_past_two_in_rome(schedule: Schedule) -> None:
    """Once at the end of the gap in spring, once in autumn, the first time of the two."""
    assert schedule.next_due(moment("2026-03-28T12:00")) == moment("2026-03-29T01:00")
    assert schedule.next_due(moment("2026-03-29T01:00")) == moment("2026-03-30T00:30")
    assert schedule.next_due(moment("2026-10-24T12:00")) == moment("2026-10-25T00:30")
    assert schedule.next_due(moment("2026-10-25T00:30")) == moment("2026-10-26T01:30")


@pytest.mark.parametrize(
    "schedule", [NumericSchedule((-30, -1, -1, -1, -1), ROME), ExpressionSchedule("*/30 * * * *", ROME)]
)
def test_wildcards_go_on_through_the_repeated_hour(schedule: Schedule) -> None:
    """Every half hour means every half hour, also when the clock shows it twice or not at all."""
    for first in (moment("2026-10-24T23:00"), moment("2026-03-28T23:00")):
        assert all_due(schedule, first, first + timedelta(hours=4)) == [first + n * 30 * MINUTE for n in range(1, 9)]


def test_several_skipped_times_are_one() -> None:
    """What falls together at the end of the gap is due once."""
    schedule = ExpressionSchedule("0,15,30 2,3 * * *", ROME)
    first = moment("2026-03-29T00:00")
    assert all_due(schedule, first, first + timedelta(hours=2)) == [first + (60 + n) * MINUTE for n in (0, 15, 30)]


@pytest.mark.parametrize(
    ("alias", "due"),
    [
        ("@hourly", "2026-05-15T13:00"),
        ("@daily", "2026-05-16T00:00"),
        ("@midnight", "2026-05-16T00:00"),
        ("@weekly", "2026-05-17T00:00"),
        ("@monthly", "2026-06-01T00:00"),
        ("@yearly", "2027-01-01T00:00"),
        ("@Annually", "2027-01-01T00:00"),
    ],
)
def test_aliases(alias: str, due: str) -> None:
    """Each alias of crontab that names a time."""
    schedule = ExpressionSchedule(alias, ZoneInfo("UTC"))
    assert schedule.next_due(moment("2026-05-15T12:34")) == moment(due)
    assert alias.lower() in ALIASES


def test_names() -> None:
    """Months and days by name, as crontab has them."""
    schedule = ExpressionSchedule("0 9 * jun mon-fri", ZoneInfo("UTC"))
    assert schedule.next_due(moment("2026-05-15T12:34")) == moment("2026-06-01T09:00")
    assert schedule.next_due(moment("2026-06-05T10:00")) == moment("2026-06-08T09:00")


@given(st.text(alphabet="0123456789*/,-#@LWmonjan² ß", max_size=20))
@settings(max_examples=500)
def test_any_text_is_an_expression_or_a_value_error(text: str) -> None:
    """No text ends in another exception."""
    with suppress(ValueError):
        ExpressionSchedule(text, ZoneInfo("UTC"))


@pytest.fixture
def _restore_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.thorough
@pytest.mark.usefixtures("_restore_zone")
@pytest.mark.parametrize(("name", "start"), CHANGES)
def test_local_time_has_the_rules_of_its_zone(name: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TZ set to a zone, local time is that zone: offsets, gaps, repeated hours."""
    monkeypatch.setenv("TZ", name)
    time.tzset()
    zone, local = ZoneInfo(name), LocalZone()
    for n in range(0, 3 * 1440, 10):
        minute = moment(start) + n * MINUTE
        there, here = minute.astimezone(zone), minute.astimezone(local)
        assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
        assert here.astimezone(UTC) == minute
        assert here.utcoffset() == there.utcoffset()
    first = moment(start)
    for fields in ((30, 2, -1, -1, -1), (0, 0, -1, -1, -1), (-30, -1, -1, -1, -1)):
        expected = all_due(NumericSchedule(fields, zone), first, first + 3 * DAY)
        assert all_due(NumericSchedule(fields, local), first, first + 3 * DAY) == expected
    expected = all_due(ExpressionSchedule("30 2 * * *", zone), first, first + 3 * DAY)
    assert all_due(ExpressionSchedule("30 2 * * *", local), first, first + 3 * DAY) == expected


def test_only_jobs_about_points_of_the_day_list_them() -> None:
    """A thousand jobs of every minute do not keep the 1440 minutes of a day each."""
    zone = ZoneInfo("UTC")
    assert ExpressionSchedule("* * * * *", zone)._times == []
    assert NumericSchedule((-1, -1, -1, -1, -1), zone)._times == []
    assert len(ExpressionSchedule("0,30 8-11 * * *", zone)._times) == 8
