"""Timers of both sorts: the grid, lateness, the end, and thousands of them."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from kernel_view import descriptors
from source_tools import Recorder, Start, run_on
from trio.testing import MockClock

from trisig._linux import timerfd
from trisig._linux.timerfd import TimerFd
from trisig._sources import Engines, EventSource, Send, open_engines
from trisig._sources.clocks import CLOCK_REALTIME_COARSE, Alarms, TimerFdClock
from trisig._sources.timers import RbTimerSource, TimerSource


async def test_rb_timer_keeps_its_grid(autojump_clock: MockClock, start: Start, recorder: Recorder) -> None:
    """Tick n comes at start + n * seconds, also after a thousand ticks of a tenth."""
    begin = trio.current_time()
    await start(RbTimerSource(7, 0.1))
    await recorder.wait(1000)
    assert recorder.raised == [7] * 1000
    assert recorder.times == pytest.approx([begin + 0.1 * n for n in range(1, 1001)], abs=1e-6)


async def test_rb_timer_folds_late_ticks_into_one_signal(
    autojump_clock: MockClock, start: Start, recorder: Recorder
) -> None:
    """While the queue is full ticks pass; they raise one signal, the others are counted, and the grid stays."""
    source = RbTimerSource(7, 1)
    begin = trio.current_time()
    recorder.delays = [10.5]
    await start(source)
    await recorder.wait(4)
    assert [at - begin for at in recorder.times] == pytest.approx([1, 11.5, 12, 13])
    assert source.missed == 9


async def test_rb_timer_stops_after_its_iterations(autojump_clock: MockClock, recorder: Recorder) -> None:
    """`run` returns after the last signal, and the source counts what it raised."""
    source = RbTimerSource(7, 40, iterations=1)
    begin = trio.current_time()
    async with open_engines() as engines:
        await run_on(engines, source, recorder.send)
    assert (recorder.raised, trio.current_time() - begin, source.fired) == ([7], 40, 1)


async def test_an_earlier_timer_does_not_wait_for_a_later_one(
    autojump_clock: MockClock, start: Start, recorder: Recorder
) -> None:
    """A timer added while a longer one waits moves the one deadline forward."""
    await start(RbTimerSource(1, 100))
    await trio.sleep(10)
    await start(RbTimerSource(2, 5))
    await recorder.wait(2)
    assert recorder.raised == [2, 2]


async def test_a_cancelled_timer_leaves_the_others_alone(
    autojump_clock: MockClock, engines: Engines, recorder: Recorder
) -> None:
    """Taking back the timer that is due first does not stop the next."""
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as first:
            nursery.start_soon(run_on, engines, RbTimerSource(2, 8, iterations=1), recorder.send)
            with trio.move_on_after(1):
                await run_on(engines, RbTimerSource(1, 5), recorder.send)
        assert not first.cancelled_caught
    assert recorder.raised == [2]


@pytest.mark.parametrize("cls", [TimerSource, RbTimerSource])
async def test_ticks_in_real_time(cls: type[TimerSource | RbTimerSource], start: Start, recorder: Recorder) -> None:
    """Signals and missed ticks add up to the ticks that have passed, and none comes early."""
    source = cls(7, 0.005)
    begin = trio.current_time()
    await start(source)
    with trio.fail_after(10):
        await recorder.wait(100)
    ticks = len(recorder.raised) + source.missed
    passed = trio.current_time() - begin
    assert recorder.times[99] - begin >= 0.5
    assert ticks <= passed / 0.005


@pytest.mark.parametrize("cls", [TimerSource, RbTimerSource])
async def test_a_stopped_process_raises_once_when_it_goes_on(
    cls: type[TimerSource | RbTimerSource], start: Start, recorder: Recorder
) -> None:
    """Ticks that passed while nothing ran are one signal and a count."""
    source = cls(7, 0.05)
    await start(source)
    with trio.fail_after(10):
        await recorder.wait(1)
        time.sleep(0.52)  # noqa: ASYNC251  stands for a stopped process
        before = source.missed
        await recorder.wait(2)
    assert recorder.raised == [7, 7]
    assert source.missed - before >= 8


async def test_the_shortest_kernel_timer(start: Start, recorder: Recorder) -> None:
    """One millisecond works."""
    source = TimerSource(7, 0.001, iterations=50)
    begin = time.monotonic()
    await start(source)
    with trio.fail_after(10):
        await recorder.wait(50)
    assert time.monotonic() - begin >= 0.05


async def test_run_works_alone(recorder: Recorder) -> None:
    """A source runs without anybody's engines too, as any EventSource does."""
    with trio.fail_after(10):
        source = TimerSource(3, 0.002, iterations=2)
        await source.run(recorder.send)
    assert (recorder.raised, source.fired) == ([3, 3], 2)


async def test_thousands_of_kernel_timers_are_one_descriptor(
    start: Start, engines: Engines, recorder: Recorder
) -> None:
    """There is no limit of 64, nor one of open files."""
    await start(TimerSource(0, 600))
    before = len(descriptors())
    sources = [TimerSource(n % 256, 1 + n / 100_000, iterations=1) for n in range(3000)]
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(run_on, engines, source, recorder.send)
            await trio.testing.wait_all_tasks_blocked()
            assert len(descriptors()) == before
    assert all(source.fired == 1 for source in sources)


async def test_thousands_of_rb_timers_in_order(autojump_clock: MockClock, engines: Engines, recorder: Recorder) -> None:
    """Each raises once, in the order of the deadlines, however they were added."""
    async with trio.open_nursery() as nursery:
        for n in range(3000):
            nursery.start_soon(
                run_on, engines, RbTimerSource(n % 256, 1 + (n * 7919) % 1000, iterations=1), recorder.send
            )
    assert recorder.times == sorted(recorder.times)
    assert [recorder.times.count(at) for at in sorted(set(recorder.times))] == [3] * 1000


def test_dropped_alarms_do_not_pile_up() -> None:
    """Adding and taking back far deadlines for ever needs no more memory."""
    alarms = Alarms()
    kept = alarms.add(5)
    for _ in range(10_000):
        alarms.drop(alarms.add(1000))
    assert len(alarms) == 1
    assert len(alarms._heap) < 10
    alarms.wake(5)
    assert kept.is_set()
    assert alarms.first == math.inf or len(alarms) == 0


async def test_a_tick_that_is_on_its_way_holds_up_no_other() -> None:
    """The clock goes on when a tick that it was to announce later is given up, and forgets it."""
    clock = TimerFdClock(time.CLOCK_MONOTONIC)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.drive)
        async with trio.open_nursery() as first:
            taken = trio.Event()

            def take(_wake: Callable[[], object]) -> bool:
                taken.set()
                return True

            first.start_soon(clock.wait_until, clock.now() + 0.01, take)
            await taken.wait()
            first.cancel_scope.cancel()
        with trio.fail_after(5):
            await clock.wait_until(clock.now() + 0.01)
        assert len(clock._alarms) == 0
        nursery.cancel_scope.cancel()


async def test_the_wall_clock_asks_to_be_told_when_it_is_set() -> None:
    """The kernel's view of the timerfd: CLOCK_REALTIME, absolute, cancelled on set."""
    async with trio.open_nursery() as nursery:
        clock = TimerFdClock(time.CLOCK_REALTIME)
        nursery.start_soon(clock.drive)
        nursery.start_soon(clock.wait_until, clock.now() + 1000)
        await trio.testing.wait_all_tasks_blocked()
        info = Path(f"/proc/self/fdinfo/{clock._timer.fd}").read_text()  # noqa: ASYNC240  procfs does not block
        nursery.cancel_scope.cancel()
    fields = dict(line.split(":", 1) for line in info.splitlines())
    assert int(fields["clockid"]) == time.CLOCK_REALTIME
    assert int(fields["settime flags"], 8) == 0o3


@pytest.mark.parametrize("answer", ["acknowledge", "arm"])
async def test_a_set_clock_wakes_every_waiter(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which the kernel says that the clock was set end all waits early; they can be taken up again."""
    clock = TimerFdClock(time.CLOCK_REALTIME)
    real = getattr(TimerFd, answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.drive)
        async with trio.open_nursery() as waiters:
            waiters.start_soon(clock.wait_until, clock.now() + 1000)
            waiters.start_soon(clock.wait_until, clock.now() + 2000)
            await trio.testing.wait_all_tasks_blocked()
            monkeypatch.setattr(TimerFd, answer, lambda *args: bool(real(*args)) and False)
            with trio.fail_after(5):
                await clock.wait_until(clock.now() + 0.02)
        monkeypatch.undo()
        with trio.fail_after(5):
            end = clock.now() + 0.02
            while clock.now() < end:
                await clock.wait_until(end)
        nursery.cancel_scope.cancel()


async def test_the_wall_clock_is_the_one_that_localtime_reads(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A moment has passed when the kernel's coarse clock says so too, and nobody spins until it does."""
    armed, real = 0, TimerFd.arm

    def arm(timer: TimerFd, deadline: float) -> bool:
        nonlocal armed
        armed += 1
        return real(timer, deadline)

    monkeypatch.setattr(TimerFd, "arm", arm)
    clock = engines.wall_clock
    for _ in range(60):
        due = time.time() + 0.0123
        while clock.now() < due:
            await clock.wait_until(due)
        assert time.clock_gettime(CLOCK_REALTIME_COARSE) >= due
    # By the one who waits, by the task that wakes, and at most once more where the coarse clock was behind.
    assert armed <= 60 * 3


def test_timerfd_reports_a_set_clock_and_no_other_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """ECANCELED is news, EAGAIN is nothing, anything else is an error."""
    timer = TimerFd(time.CLOCK_REALTIME, cancel_on_set=True)
    assert timer.acknowledge()

    def refuse(code: int) -> None:
        def read(fd: int, size: int) -> bytes:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(timerfd, "os", SimpleNamespace(read=read, close=os.close, strerror=os.strerror))

    refuse(errno.ECANCELED)
    assert not timer.acknowledge()
    refuse(errno.EBADF)
    with pytest.raises(OSError, match="Bad file descriptor"):
        timer.acknowledge()
    timer.close()
    assert timer.arm(1.0)  # the last ones who wait may still ask


async def test_a_source_of_ones_own_runs_beside_them(recorder: Recorder, start: Start) -> None:
    """Any EventSource runs, is counted, and has a name."""

    class Twice(EventSource):
        async def run(self, send: Send) -> None:
            await send(5)
            await send(6)

    source = Twice()
    await start(source)
    await recorder.wait(2)
    await trio.testing.wait_all_tasks_blocked()
    assert (recorder.raised, source.fired, str(source)) == ([5, 6], 2, "Twice")
