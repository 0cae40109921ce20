"""Jitter: signals come at random after their due moment, which stays where it is."""

from __future__ import annotations

import logging

import pytest
import trio
import trio.testing
from fake_wall import FakeWall, Times
from source_tools import Recorder, run_on
from trio.testing import MockClock

import trisig
from trisig._sources import from_spec, open_engines
from trisig._sources.cron import CronSource
from trisig._sources.jitter import Jitter
from trisig._sources.timers import RbTimerSource, TimerSource


def test_one_delay_for_each_moment() -> None:
    """Asked again for one moment, the delay is the same; without jitter there is none, and nothing is drawn."""
    draws = iter([0.5, 0.25])
    jitter = Jitter(60.0, lambda: next(draws))
    assert [jitter.after(100.0), jitter.after(100.0), jitter.after(200.0), jitter.after(200.0)] == [130, 130, 215, 215]
    assert Jitter(0.0, lambda: next(iter([]))).after(100.0) == 100.0


async def test_ticks_stay_on_the_grid(autojump_clock: MockClock, recorder: Recorder) -> None:
    """Each signal comes within the jitter after its tick; delays do not add up, and differ."""
    del autojump_clock
    source = RbTimerSource(1, 100.0, iterations=50, jitter=40.0)
    async with open_engines() as engines:
        begin = trio.current_time()
        await run_on(engines, source, recorder.send)
    delays = [at - begin - 100.0 * (n + 1) for n, at in enumerate(recorder.times)]
    assert all(0 <= delay <= 40.01 for delay in delays)
    assert max(delays) - min(delays) > 10
    assert source.missed == 0


async def test_without_jitter_every_tick_is_on_time(autojump_clock: MockClock, recorder: Recorder) -> None:
    """The negative control."""
    del autojump_clock
    async with open_engines() as engines:
        begin = trio.current_time()
        await run_on(engines, RbTimerSource(1, 100.0, iterations=5), recorder.send)
    assert [round(at - begin) for at in recorder.times] == [100, 200, 300, 400, 500]


async def test_the_grid_in_the_statistics(autojump_clock: MockClock) -> None:
    """`next_due` of a cron job is the due minute itself, and its lateness counts from the moment that was drawn."""
    del autojump_clock
    wall = FakeWall("2026-05-01T10:00:30")
    source = CronSource(1, "0 * * * *", timezone="UTC", jitter=600.0)
    times = Times(wall)
    async with open_engines(wall_clock=wall) as engines, trio.open_nursery() as nursery:
        nursery.start_soon(run_on, engines, source, times.send)
        await trio.sleep(5 * 3600)
        nursery.cancel_scope.cancel()
    assert [seen[:14] for seen in times.seen] == [f"2026-05-01T{hour}:" for hour in range(11, 16)][: len(times.seen)]
    assert len(times.seen) >= 4
    assert all(int(seen[14:16]) <= 10 for seen in times.seen)
    assert len({seen[14:] for seen in times.seen}) > 1


async def test_minutes_within_the_delay_are_folded(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """A job for each minute with jitter of an hour raises less often; the minutes are counted, and nothing is late."""
    del autojump_clock
    wall = FakeWall("2026-05-01T10:00:30")
    source = CronSource(1, "* * * * *", timezone="UTC", jitter=3600.0)
    times = Times(wall)
    with caplog.at_level(logging.WARNING):
        async with open_engines(wall_clock=wall) as engines, trio.open_nursery() as nursery:
            nursery.start_soon(run_on, engines, source, times.send)
            await trio.sleep(86400)
            nursery.cancel_scope.cancel()
    assert 24 <= len(times.seen) < 200
    assert 1380 <= len(times.seen) + source.missed <= 1440
    assert not caplog.records


async def test_a_clock_set_back_during_the_delay(autojump_clock: MockClock) -> None:
    """The minute has not raised yet, so it comes due again, once."""
    del autojump_clock
    wall = FakeWall("2026-05-01T09:59")
    times = Times(wall)
    async with open_engines(wall_clock=wall) as engines, trio.open_nursery() as nursery:
        nursery.start_soon(run_on, engines, CronSource(1, "0 10 * * *", timezone="UTC", jitter=30.0), times.send)
        await trio.sleep(60.001)
        seen = len(times.seen)
        wall.set("2026-05-01T09:50")
        await trio.sleep(700)
        nursery.cancel_scope.cancel()
    assert (seen, len(times.seen)) == (0, 1)
    assert times.seen[0] >= "2026-05-01T10:00:00"


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: TimerSource(1, 5, jitter=5), ValueError, "jitter must be shorter than the interval of 5 s, not 5 s"),
        (lambda: RbTimerSource(1, 5, jitter=-1), ValueError, "jitter must be from 0"),
        (lambda: CronSource(1, "@daily", jitter="5"), TypeError, "jitter must be an int or float"),  # type: ignore[arg-type]  # the mistake
        (lambda: CronSource(1, "@daily", jitter=float("nan")), ValueError, "jitter must be from 0"),
    ],
)
def test_wrong_jitter(make: object, error: type[Exception], said: str) -> None:
    """The error says what to write."""
    assert callable(make)
    with pytest.raises(error, match=said):
        make()


def test_jitter_crosses_processes() -> None:
    """It is part of the spec of a source."""
    for source in (TimerSource(1, 5, jitter=1), RbTimerSource(1, 5, jitter=2), CronSource(1, "@daily", jitter=3)):
        assert from_spec(source.to_spec()).to_spec() == source.to_spec()
        assert source.to_spec()["jitter"] > 0


async def test_in_methods_and_decorators() -> None:
    """All six take it."""
    signals = trisig.Signals()
    signals.add_timer(200, 500, jitter=1)
    signals.add_rb_timer(201, 500, jitter=1)
    signals.add_cron(202, "@daily", jitter=1)
    signals.timer(500, jitter=1)(print)
    signals.rb_timer(500, jitter=1)(print)
    signals.cron(0, 0, 1, 1, -1, jitter=1)(print)
    async with trisig.open_master(signals) as master:
        assert len(master.statistics().sources) == 6
