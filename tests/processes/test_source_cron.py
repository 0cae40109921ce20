"""Cron sources on a wall clock that tests set: on the minute, once, late, set forward, set back."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from fake_wall import FakeWall, Times
from source_tools import run_on
from trio.testing import MockClock

from trisig._sources import SourceRun, open_engines
from trisig._sources.cron import CronSource

Cron = Callable[[CronSource, str], Awaitable[Times]]


@pytest.fixture
def cron(nursery: trio.Nursery) -> Cron:
    """Start a source at a time of day; returns what it raises. The test itself has to ask for `autojump_clock`."""

    async def start(source: CronSource, at: str) -> Times:
        times = Times(FakeWall(at))

        async def run() -> None:
            async with open_engines(wall_clock=times.wall) as engines:
                await run_on(engines, source, times.send)

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        return times

    return start


async def test_each_due_minute_once_on_the_minute(cron: Cron, autojump_clock: MockClock) -> None:
    """A start between two minutes does not shift them."""
    times = await cron(CronSource(1, -1, -1, -1, -1, -1, timezone="UTC"), "2026-05-01T10:00:59.9")
    await trio.sleep(180)
    assert times.seen == ["2026-05-01T10:01:00", "2026-05-01T10:02:00", "2026-05-01T10:03:00"]


async def test_iterations_end_the_run(autojump_clock: MockClock) -> None:
    """`run` returns after the last signal."""
    wall = FakeWall("2026-05-01T10:00")
    times = Times(wall)
    async with open_engines(wall_clock=wall) as engines:
        await run_on(engines, CronSource(1, "@hourly", iterations=2, timezone="UTC"), times.send)
    assert times.seen == ["2026-05-01T11:00:00", "2026-05-01T12:00:00"]


@pytest.mark.parametrize("second", ["00", "20", "59"])
async def test_a_start_within_a_matching_minute_waits_for_the_next(
    cron: Cron, autojump_clock: MockClock, second: str
) -> None:
    """A restart does not run again what has run at the beginning of this minute."""
    times = await cron(CronSource(1, "40 2 * * *", timezone="UTC"), f"2026-05-01T02:40:{second}")
    await trio.sleep(86400 - 60)
    assert times.seen == []
    await trio.sleep(61)
    assert times.seen == ["2026-05-02T02:40:00"]


async def test_a_stop_over_due_minutes_raises_once_and_says_so(
    cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Five minutes pass unseen: one signal, four counted, and a line in the log."""
    source = CronSource(1, "* * * * *", timezone="UTC")
    times = await cron(source, "2026-05-01T10:00:30")
    with caplog.at_level(logging.WARNING, "trisig"):
        autojump_clock.jump(5 * 60)
        await trio.sleep(31)
    assert times.seen == ["2026-05-01T10:05:30", "2026-05-01T10:06:00"]
    assert source.missed == 4
    assert "due at 2026-05-01T10:01:00+00:00, raised 270 s late; 5 due minutes in all" in caplog.text
    assert len(caplog.records) == 1


async def test_a_minute_that_comes_due_between_arming_and_going_is_raised(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """While the children start nothing is raised, and nothing is lost: it is raised late, and alone, it says so."""
    wall = FakeWall("2026-05-01T10:00:58")
    times = Times(wall)
    async with open_engines(wall_clock=wall) as engines:
        with SourceRun(CronSource(9, "* * * * *", iterations=2, timezone="UTC"), engines) as course:
            await trio.sleep(6)
            await course.resume(times.send)
    assert [seen[11:] for seen in times.seen] == ["10:01:04", "10:02:00"]
    said = "cron of signal 9 at * * * * * UTC: due at 2026-05-01T10:01:00+00:00, raised 4 s late"
    assert [record.getMessage() for record in caplog.records] == [said]


async def test_a_full_queue_folds_due_minutes(
    cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Minutes that come due while `send` waits are one late signal."""
    source = CronSource(1, "* * * * *", timezone="UTC")
    times = await cron(source, "2026-05-01T10:00:30")
    times.delays = [200]
    await trio.sleep(300)
    assert [seen[11:] for seen in times.seen] == ["10:01:00", "10:04:20", "10:05:00"]
    assert source.missed == 2


async def test_on_time_is_not_logged(cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """The negative control of the line on lateness."""
    await cron(CronSource(1, "* * * * *", timezone="UTC"), "2026-05-01T10:00:30")
    await trio.sleep(300)
    assert not caplog.records


async def test_clock_set_forward_over_a_due_minute(
    cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What was skipped runs once, late, at once; then the schedule goes on."""
    times = await cron(CronSource(1, "10,20 * * * *", timezone="UTC"), "2026-05-01T10:00")
    await trio.sleep(60)
    times.wall.set("2026-05-01T10:15")
    await trio.sleep(600)
    assert [seen[11:] for seen in times.seen] == ["10:15:00", "10:20:00"]
    assert "late" in caplog.text


async def test_clock_set_forward_between_due_minutes(
    cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The next due minute comes sooner, on the minute, and nothing is late."""
    times = await cron(CronSource(1, "10 * * * *", timezone="UTC"), "2026-05-01T10:00")
    await trio.sleep(60)
    times.wall.set("2026-05-01T10:09")
    await trio.sleep(61)
    assert [seen[11:] for seen in times.seen] == ["10:10:00"]
    assert not caplog.records


async def test_clock_set_back_repeats_nothing(cron: Cron, autojump_clock: MockClock) -> None:
    """Minutes that have raised their signal stay silent the second time."""
    times = await cron(CronSource(1, "*/10 * * * *", timezone="UTC"), "2026-05-01T10:05")
    await trio.sleep(26 * 60)
    assert [seen[11:16] for seen in times.seen] == ["10:10", "10:20", "10:30"]
    times.wall.set("2026-05-01T10:01")
    await trio.sleep(40 * 60)
    assert [seen[11:16] for seen in times.seen[3:]] == ["10:40"]


async def test_clock_set_back_before_anything_was_raised(cron: Cron, autojump_clock: MockClock) -> None:
    """Minutes before the start come due like any other: they have not raised anything."""
    times = await cron(CronSource(1, "*/10 * * * *", timezone="UTC"), "2026-05-01T10:05")
    times.wall.set("2026-05-01T09:35")
    await trio.sleep(6 * 60)
    assert [seen[11:16] for seen in times.seen] == ["09:40"]


async def test_clock_set_back_by_more_than_three_hours_starts_over(
    cron: Cron, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock that was a day ahead does not silence the job for a day."""
    times = await cron(CronSource(1, "0 * * * *", timezone="UTC"), "2026-05-02T09:59")
    await trio.sleep(120)
    times.wall.set("2026-05-01T09:30")
    await trio.sleep(3600)
    assert times.seen == ["2026-05-02T10:00:00", "2026-05-01T10:00:00"]
    assert "set back" in caplog.text


async def test_clock_set_back_while_the_queue_is_full(cron: Cron, autojump_clock: MockClock) -> None:
    """A change that nobody was told of is seen before the next wait."""
    times = await cron(CronSource(1, "0 * * * *", timezone="UTC"), "2026-05-02T09:59")
    times.delays = [300]
    await trio.sleep(120)
    times.wall.set_silently("2026-05-01T09:30")
    await trio.sleep(3600)
    assert times.seen == ["2026-05-02T10:00:00", "2026-05-01T10:00:00"]


async def test_a_clock_that_was_decades_behind(cron: Cron, autojump_clock: MockClock) -> None:
    """The jump from 1970 raises one signal, without counting every minute since."""
    source = CronSource(1, "* * * * *", timezone="UTC")
    times = await cron(source, "1970-01-01T00:00:30")
    begin = time.process_time()
    times.wall.set("2026-05-01T10:00:30")
    await trio.sleep(31)
    assert times.seen == ["2026-05-01T10:00:30", "2026-05-01T10:01:00"]
    assert source.missed == 1000
    assert time.process_time() - begin < 2


async def test_daylight_saving(cron: Cron, autojump_clock: MockClock) -> None:
    """Through both changes of a year: skipped times right after the gap, repeated ones once."""
    times = await cron(CronSource(1, "30 2 * * *", timezone="Europe/Rome"), "2026-03-28T12:00")
    await trio.sleep(3 * 86400)
    assert times.seen == ["2026-03-29T01:00:00", "2026-03-30T00:30:00", "2026-03-31T00:30:00"]
    times = await cron(CronSource(1, 30, 2, -1, -1, -1, timezone="Europe/Rome"), "2026-10-24T12:00")
    await trio.sleep(2 * 86400)
    assert times.seen == ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]


async def test_a_thousand_cron_sources(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """UWSGI's limit of 64 is gone."""
    wall = FakeWall("2026-05-01T10:00:30")
    times = Times(wall)
    async with open_engines(wall_clock=wall) as engines, trio.open_nursery() as sources:
        for n in range(1000):
            sources.start_soon(
                run_on, engines, CronSource(n % 256, "* * * * *", iterations=1, timezone="UTC"), times.send
            )
    assert times.seen == ["2026-05-01T10:01:00"] * 1000


async def test_the_real_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a clock of ours the source waits for the system's, on its timerfd."""
    source = CronSource(1, "* * * * *", iterations=1)
    raised: list[float] = []

    async def send(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        raised.append(time.time())

    # Waiting for a real minute would take up to a minute; a due moment half a second off takes the same way.
    due = time.time() + 0.5
    monkeypatch.setattr(source, "due_after", lambda moment: due if moment < due else due + 60)
    with trio.fail_after(10):
        await source.run(send)
    assert len(raised) == 1
    assert raised[0] >= due
