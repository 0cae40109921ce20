"""What fell due while there was no master: `catch_up=`, `late=`, and timers that keep their grid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from fake_wall import moment
from journal_tools import life, line_of
from witness import Journal

import trisig
from trisig._journal.layout import SCHEDULE_BYTES, SCHEDULES
from trisig._journal.schedules import ScheduleLog, read_schedules
from trisig._model.past import Past
from trisig._sources import open_engines, runner
from trisig._sources.occurrences import OnNotice


class StillWall:
    """A wall clock that stands still until a test sets it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._changed = trio.Event()

    def now(self) -> float:
        return self._now

    async def wait_until(self, deadline: float, passed: OnNotice | None = None) -> None:
        del passed  # a signal in the step that notices, which nothing here measures
        while self._now < deadline:
            await self._changed.wait()
        await trio.lowlevel.checkpoint()

    def set(self, text: str) -> None:
        self._now = moment(text)
        self._changed.set()
        self._changed = trio.Event()


class Lives:
    """One application under one master after another, with one journal and a clock that stands still.

    Args:
        directory: for its files.
        wall: the clock.
    """

    def __init__(self, directory: Path, wall: StillWall) -> None:
        self._options: dict[str, Any] = {"workers": 0, "mules": 1, "journal": directory / "spool"}
        self._notes = Journal(directory)
        self._wall = wall
        self._read = 0

    def without_journal(self) -> None:
        del self._options["journal"]

    async def live(self, declare: Callable[[trisig.Signals], Any], start: str, *moments: str) -> list[tuple[str, int]]:
        """Let a master open at a moment, and see others; returns (due, missed) of what it has raised."""
        signals = trisig.Signals()

        def note(_signum: int) -> None:
            event = signals.event()
            assert event is not None
            assert event.due is not None
            self._notes.note(datetime.fromtimestamp(round(event.due), UTC).isoformat()[:16], event.missed)

        declare(signals)(note)
        self._wall.set(start)
        async with trisig.open_master(signals, **self._options) as master:
            for then in ("", *moments):
                if then:
                    self._wall.set(then)
                # What is raised is raised by now: sources run before the children are asked for anything.
                for _ in range(3):
                    await signals.send(200)
                    await signals.wait(200)
                self.next_due = master.statistics().sources[0].next_due
        notes = self._notes.read()[self._read :]
        self._read += len(notes)
        return [(due, missed) for _, due, missed in notes]

    @property
    def next(self) -> str:
        """When the next signal was due, as the last master has said."""
        assert self.next_due is not None
        return datetime.fromtimestamp(round(self.next_due), UTC).isoformat()[:16]


@pytest.fixture
def lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lives:
    """Masters of which the sources go by a clock that the test sets."""
    wall = StillWall()
    monkeypatch.setattr(runner, "open_engines", partial(open_engines, wall_clock=wall))
    return Lives(tmp_path, wall)


def hourly(signals: trisig.Signals, **options: Any) -> Any:
    """A job at each full hour."""
    return signals.cron("0 * * * *", target="mule", timezone="UTC", overlap="queue", **options)


def each_hour(signals: trisig.Signals, **options: Any) -> Any:
    """A timer."""
    return signals.rb_timer(3600, "mule", overlap="queue", **options)


def at_half_past_two(signals: trisig.Signals) -> Any:
    """A time of day that daylight saving skips once a year, and repeats once a year."""
    return signals.cron("30 2 * * *", target="mule", timezone="Europe/Rome")


async def test_due_minutes_of_a_cron_job(lives: Lives) -> None:
    """Those without a master are one signal, at once, as for a stopped process; then the job goes on; never twice."""
    assert await lives.live(hourly, "2026-05-01T10:30", "2026-05-01T11:00") == [("2026-05-01T11:00", 0)]
    assert await lives.live(hourly, "2026-05-01T11:00") == []
    seen = await lives.live(hourly, "2026-05-01T14:20", "2026-05-01T15:00")
    assert seen == [("2026-05-01T12:00", 2), ("2026-05-01T15:00", 0)]
    assert await lives.live(hourly, "2026-05-01T15:59") == []


async def test_without_a_journal_nothing_is_caught_up(lives: Lives) -> None:
    """The negative control."""
    lives.without_journal()
    for declare in (hourly, each_hour):
        assert await lives.live(declare, "2026-05-01T10:30") == []
        assert await lives.live(declare, "2026-05-01T14:20") == []


async def test_none_and_late(lives: Lives) -> None:
    """`catch_up="none"` leaves out what was missed; `late` counts only what is not older, of a timer and a cron job."""
    for declare in (hourly, each_hour):
        await lives.live(declare, "2026-05-01T10:00")
        assert await lives.live(partial(declare, catch_up="none"), "2026-05-01T13:40") == []
        assert await lives.live(declare, "2026-05-01T13:45") == []  # they are dealt with
        assert await lives.live(partial(declare, late=600), "2026-05-01T16:40") == []
        assert await lives.live(partial(declare, late=6060), "2026-05-01T19:40") == [("2026-05-01T18:00", 1)]


async def test_a_timer_keeps_its_grid(lives: Lives) -> None:
    """Ticks lie where the first master has put them; those without a master are one signal."""
    assert await lives.live(each_hour, "2026-05-01T10:10") == []
    assert lives.next == "2026-05-01T11:10"
    assert await lives.live(each_hour, "2026-05-01T10:40") == []
    assert lives.next == "2026-05-01T11:10"
    assert await lives.live(each_hour, "2026-05-01T13:30") == [("2026-05-01T11:10", 2)]
    assert lives.next == "2026-05-01T14:10"
    assert await lives.live(each_hour, "2026-05-01T13:31") == []
    assert lives.next == "2026-05-01T14:10"


async def test_days_on_which_the_clocks_change(lives: Lives) -> None:
    """A time of day that is skipped, or comes twice, while there was no master, is raised once."""
    await lives.live(at_half_past_two, "2026-03-29T00:30")
    assert await lives.live(at_half_past_two, "2026-03-29T01:30") == [("2026-03-29T01:00", 0)]
    assert await lives.live(at_half_past_two, "2026-03-29T01:40") == []
    await lives.live(at_half_past_two, "2026-10-24T12:00")
    seen = await lives.live(at_half_past_two, "2026-10-25T00:20", "2026-10-25T00:30")
    assert seen == [("2026-10-25T00:30", 0)]
    assert await lives.live(at_half_past_two, "2026-10-25T01:20", "2026-10-25T01:30") == []


async def test_a_clock_that_was_set_back_meanwhile(lives: Lives) -> None:
    """By up to three hours, what was raised is not raised again; a timer waits for its next grid moment."""
    await lives.live(hourly, "2026-05-01T10:30", "2026-05-01T11:00")
    seen = await lives.live(hourly, "2026-05-01T10:40", "2026-05-01T11:00", "2026-05-01T12:00")
    assert seen == [("2026-05-01T12:00", 0)]
    await lives.live(each_hour, "2026-05-02T10:10")
    assert await lives.live(each_hour, "2026-05-02T08:00") == []
    assert lives.next == "2026-05-02T08:10"


async def test_iterations_count_anew(lives: Lives) -> None:
    """A signal that is caught up is one of the `iterations`, which each master counts from 0."""
    once = partial(hourly, iterations=2)
    await lives.live(once, "2026-05-01T10:30")
    signals_seen = await lives.live(partial(hourly, iterations=3), "2026-05-01T12:30", "2026-05-01T13:00")
    assert signals_seen == [("2026-05-01T11:00", 1), ("2026-05-01T13:00", 0)]


LIFE = """
import sys, time, trio, trisig
signals = trisig.Signals()

@signals.timer(0.5, "mule", 7)
def tick(signum):
    print(signals.event().due, flush=True)

async def main():
    async with trisig.open_master(signals, mules=1, journal=sys.argv[1]):
        await trio.sleep_forever()

trio.run(main)
"""


async def test_the_grid_outlives_a_kill(tmp_path: Path) -> None:
    """With real clocks: the master is killed after a tick, and the ticks of the next one lie on the same grid."""
    signals, notes = trisig.Signals(), Journal(tmp_path)
    with life(LIFE, tmp_path / "spool") as program:
        first = float(await line_of(program))

    @signals.timer(0.5, "mule", 7)
    def tick(_signum: int) -> None:
        event = signals.event()
        assert event is not None
        notes.note(event.due, event.missed)

    async with trisig.open_master(signals, mules=1, journal=tmp_path / "spool"):
        await notes.until(2)
    for _, due, _ in notes.read():
        ticks = (due - first) / 0.5
        assert abs(ticks - round(ticks)) < 0.02
        assert round(ticks) >= 1


def test_a_kill_within_a_note_loses_nothing() -> None:
    """Whichever word of an entry was stored last, the table has the new past or the one before it."""
    memory = memoryview(bytearray(SCHEDULES * SCHEDULE_BYTES))
    record = ScheduleLog(memory).open("timer")
    assert record is not None
    for moment_, before in ((1.0, None), (2.0, 1.0), (3.0, 2.0)):
        old = bytes(memory[:SCHEDULE_BYTES])
        record.note(Past(moment_, 0.5))
        new = bytes(memory[:SCHEDULE_BYTES])
        for cut in range(0, SCHEDULE_BYTES + 1, 4):
            memory[:SCHEDULE_BYTES] = new[:cut] + old[cut:]
            found = [past.seen for past in read_schedules(memory).values()]
            assert found in ([], [1.0]) if before is None else found in ([before], [moment_])
        memory[:SCHEDULE_BYTES] = new


def test_a_full_table_forgets_the_oldest_that_nobody_asks_for() -> None:
    """A source more than there is room takes the place of one that is not there any more, or is not remembered."""
    left = ScheduleLog(memoryview(bytearray(SCHEDULES * SCHEDULE_BYTES)))
    memory = memoryview(bytearray(SCHEDULES * SCHEDULE_BYTES))
    for number in range(SCHEDULES):
        record = left.open(str(number))
        assert record is not None
        record.note(Past(number, 0.0))
    log = ScheduleLog(memory)
    log.take_over(read_schedules(left._memory))
    kept = log.open("0")
    assert kept is not None
    assert kept.past == Past(0.0, 0.0)
    new = log.open("new")
    assert new is not None
    assert new.past is None
    new.note(Past(5000.0, 0.0))
    assert {past.seen for past in read_schedules(memory).values()} == {0.0, *map(float, range(2, SCHEDULES)), 5000.0}
    full = ScheduleLog(memoryview(bytearray(SCHEDULES * SCHEDULE_BYTES)))
    assert all(full.open(str(number)) for number in range(SCHEDULES))
    assert full.open("one more") is None


@pytest.mark.parametrize("options", [{"catch_up": "all"}, {"catch_up": None}, {"late": -1}, {"late": "1"}])
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    """In the line of the decorator, and of the verb."""
    signals = trisig.Signals()
    for declare in (
        lambda: signals.timer(1, **options),
        lambda: signals.add_rb_timer(1, 1, **options),
        lambda: signals.cron("@hourly", **options),
    ):
        with pytest.raises((ValueError, TypeError), match=r"catch_up must be|late must be"):
            declare()
