"""`trisig.testing.run_here`: an application in the process of its test."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
import trio.testing

import trisig
from trisig.testing import run_here


def application(notes: list[object]) -> trisig.Signals:
    """One with something of everything."""
    signals = trisig.Signals()

    @signals.timer(2, target="mule")
    def tick(signum: int) -> None:
        event = signals.event()
        assert event is not None
        notes.append(("tick", event.missed))

    @signals.cron("30 4 * * *", timezone="UTC")
    async def nightly(signum: int) -> None:
        event = signals.event()
        assert event is not None
        assert event.due is not None
        notes.append(datetime.fromtimestamp(event.due, UTC).isoformat())
        await double.send(4)

    @signals.task("worker")
    async def double(number: int) -> int:
        await trio.sleep(1)
        notes.append(number)
        return 2 * number

    @signals.handler(70, "workers")
    async def asking(signum: int) -> None:
        notes.append(await failing.call(1))

    @signals.task("mule")
    def failing(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    return signals


async def test_timers_and_crons_follow_the_clock_of_the_test(autojump_clock: trio.testing.MockClock) -> None:
    """Minutes pass in no time; handlers and tasks run here, and what was raised is known."""
    notes = list[object]()
    signals = application(notes)
    async with run_here(signals, now=datetime(2026, 11, 29, 4, 29, 55, tzinfo=UTC)) as here:
        await trio.sleep(5.5)
        assert notes == [("tick", 0), ("tick", 0), "2026-11-29T04:30:00+00:00"]
        await here.wait_idle()
        assert 4 in notes
        assert here.raised == [0, 0, 1, 0]
        assert len(here.sent) == 1
        assert here.sent[0].endswith("double")
        await trio.sleep(600)
        assert notes.count(("tick", 0)) == pytest.approx(303, abs=1)


async def test_an_error_of_a_handler_is_raised_in_the_test() -> None:
    """And one of a task by its caller, whose handler it is here."""
    signals = application([])
    with pytest.raises(ValueError, match="one"):
        async with run_here(signals):
            await signals.send(70)
            await trio.sleep_forever()
    async with run_here(signals):  # it can run again
        pass


async def test_overlap_retry_waits_and_locks(autojump_clock: trio.testing.MockClock) -> None:
    """As with a master."""
    signals, notes = trisig.Signals(), list[object]()

    @signals.handler(1, overlap="skip")
    async def slow(signum: int) -> None:
        async with signals.lock("one"):
            await trio.sleep(10)
            notes.append("slow")

    @signals.handler(2, retry=trisig.Backoff(1, 60, attempts=3))
    def restless(signum: int) -> None:
        notes.append(trio.current_time())
        if len(notes) < 4:
            raise OSError

    async with run_here(signals) as here:
        for _ in range(3):
            signals.send_nowait(1)
        await signals.send(90)
        assert await signals.wait() == 90
        await here.wait_idle()
        assert notes == ["slow"]
        begin = trio.current_time()
        await signals.send(2)
        await signals.wait(2)
        assert notes[1:] == [begin, begin + 1, begin + 3]
        assert signals.free_signum() == 0
        signals.register(5, "worker", lambda signum: notes.append("late"))
        await signals.send(5)
    assert notes[-1] == "late"


async def test_a_file_that_changes(tmp_path: Path) -> None:
    """Is noticed as it is by a master."""
    signals, changed = trisig.Signals(), trio.Event()

    @signals.file_monitor(tmp_path)
    def change(signum: int) -> None:
        changed.set()

    with trio.fail_after(30):
        async with run_here(signals):
            (tmp_path / "new").touch()
            await changed.wait()


async def test_a_second_one_is_refused() -> None:
    """These signals run already."""
    signals = trisig.Signals()
    async with run_here(signals):
        with pytest.raises(trio.BusyResourceError):
            async with run_here(signals):
                raise AssertionError
