"""The lead of timers: awake before a tick is due, never early, and at a small cost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio
import trio.testing

from trisig._sources import open_engines
from trisig._sources.early_clock import EarlyClock


def seconds_left(clock: EarlyClock) -> float:
    """Until the clock's lead begins, as the kernel tells; 0 if there will be none."""
    info = Path(f"/proc/self/fdinfo/{clock._early.fd}").read_text()
    seconds, nanoseconds = info.partition("it_value: (")[2].partition(")")[0].split(",")
    return int(seconds) + int(nanoseconds) / 1e9


async def waited(clock: EarlyClock, seconds: float) -> float:
    """How late a wait ended."""
    due = clock.now() + seconds
    await clock.wait_until(due)
    return clock.now() - due


async def test_a_tick_is_never_early_and_the_clock_wakes_before_it() -> None:
    """Every wait lasts until its deadline; the loop turns before most of them."""
    turned = list[float]()

    class Counting(EarlyClock):
        async def _turn_until(self, due: float) -> None:
            turned.append(due)
            await super()._turn_until(due)

    async with trio.open_nursery() as nursery:
        clock = Counting(0.0005)
        nursery.start_soon(clock.drive)
        late = [await waited(clock, 0.02) for _ in range(20)]
        nursery.cancel_scope.cancel()
    assert min(late) >= 0
    assert turned


async def test_dense_timers_get_no_more_than_the_share() -> None:
    """The loop turns for a hundredth of the time, whatever there is to wait for; what was saved before comes on top."""
    spent = 0.0

    class Measuring(EarlyClock):
        async def _turn_until(self, due: float) -> None:
            nonlocal spent
            begin = self.now()
            await super()._turn_until(due)
            spent += min(self.now(), due) - begin

    async with trio.open_nursery() as nursery:
        clock = Measuring(0.0005)
        clock._saved = 0.0
        nursery.start_soon(clock.drive)
        begin = clock.now()
        for _ in range(300):
            await waited(clock, 0.001)
        took = clock.now() - begin
        nursery.cancel_scope.cancel()
    assert spent <= took * 0.01 + clock._longest


@pytest.mark.parametrize("lead", [0.0, 0.0005])
async def test_without_a_lead_there_is_none(lead: float) -> None:
    """The kernel is asked for an earlier wake-up only if there may be one."""
    async with open_engines(timer_lead=lead) as engines, trio.open_nursery() as nursery:
        clock = engines.kernel_clock
        assert isinstance(clock, EarlyClock)
        nursery.start_soon(clock.wait_until, time.monotonic() + 1000)
        await trio.testing.wait_all_tasks_blocked()
        left = seconds_left(clock)
        nursery.cancel_scope.cancel()
    assert left == 0 if lead == 0 else 900 < left < 1000
