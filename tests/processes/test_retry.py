"""`retry=`: a handler that raises runs again, and its signal is a dead letter in the end."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
from journal_tools import journal_at, life, line_of
from witness import Journal, Trail, eventually, logging_to, pid_of, until_equal

import trisig
from trisig._ipc.shared_memory import slot_parts
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import recover
from trisig._model.lane import ASIDE, FAILED, Lane, finished_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue

SOON = trisig.Backoff(0, 0, attempts=3)
NEVER = trisig.Backoff(3600, 3600, attempts=3)


@pytest.mark.parametrize("is_async", [False, True])
async def test_it_is_tried_until_it_works(is_async: bool) -> None:  # noqa: FBT001  a parameter of the test
    """Two failures and a success: the handler ran three times, and the signal is done and has not failed."""
    signals, trail = trisig.Signals(), Trail(10)

    def handle(signum: int) -> None:
        trail.mark(signum)
        if len(trail.of("mule1")) < 3:
            raise ValueError("not yet")

    async def handle_async(signum: int) -> None:
        handle(signum)

    signals.register(7, "mule", handle_async if is_async else handle, retry=trisig.Backoff(0.001, 0.002, attempts=5))
    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(7)
        await until_equal(lambda: master.statistics().done, 1)  # nothing else happens that could bring it on
    end = master.statistics()
    assert trail.of("mule1") == bytes((7, 7, 7))
    assert (end.failed, end.retried, end.signals[7].retried, end.dead_lettered) == (0, 2, 2, 0)
    assert (end.processes["mule1"].done, end.processes["mule1"].failed) == (3, 2)


async def test_after_the_last_attempt_it_is_a_dead_letter(tmp_path: Path) -> None:
    """The application hears of it, with the count of failures; the log says so once; its neighbours are not touched."""
    signals, journal, letters = trisig.Signals(), Journal(tmp_path), list[trisig.DeadLetter]()

    @signals.handler(7, "mule", retry=SOON)
    def fail(_signum: int) -> None:
        raise ValueError("never")

    @signals.handler(8, "mule")
    def work(signum: int) -> None:
        journal.note(signum)

    with logging_to(journal):
        async with trisig.open_master(signals, mules=1, on_dead_letter=letters.append) as master:
            for signum in (8, 7, 8):
                await signals.send(signum)
            await eventually(lambda: letters)
    assert letters == [trisig.DeadLetter(7, "mule1", 0, failures=3)]
    end = master.statistics()
    assert (end.accepted, end.done, end.failed, end.retried, end.dead_lettered) == (3, 2, 0, 2, 1)
    lines = [note[2] for note in journal.read() if note[1] == "ERROR"]
    assert lines.count("mule1: the handler of signal 7 failed") == 3
    assert lines.count("master: signal 7 failed 3 times; dead-lettered") == 1
    assert [note for note in journal.read() if note[1] == 8] == [("mule1", 8)] * 2


async def test_a_handler_without_retry_fails_once() -> None:
    """The negative control."""
    signals = trisig.Signals()

    @signals.handler(7, "mule")
    def fail(_signum: int) -> None:
        raise ValueError("never")

    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(7)
    end = master.statistics()
    assert (end.done, end.failed, end.retried, end.dead_lettered) == (1, 1, 0, 0)


async def test_others_go_on_while_it_rests() -> None:
    """A failed signal holds up nobody, and a shutdown does not wait for its next attempt; it is in the account."""
    signals, trail = trisig.Signals(), Trail(10)

    @signals.handler(7, retry=NEVER)
    def fail(_signum: int) -> None:
        raise ValueError("not now")

    @signals.handler(8)
    def work(signum: int) -> None:
        trail.mark(signum)

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(7)
        await until_equal(lambda: master.statistics().retried, 1)
        for _ in range(3):
            await signals.send(8)
        await eventually(lambda: trail.total() == 3)
    end = master.statistics()
    assert (end.accepted, end.done, end.queued, end.in_flight) == (4, 3, 1, 0)


async def test_one_that_rests_is_one_that_waits() -> None:
    """With `overlap="one"`, what is raised during the pause is folded into the attempt that is to come."""
    signals = trisig.Signals()

    @signals.handler(7, "mule", overlap="one", retry=NEVER)
    def fail(_signum: int) -> None:
        raise ValueError("not now")

    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(7)
        await until_equal(lambda: master.statistics().retried, 1)
        for _ in range(3):
            await signals.send(7)
    end = master.statistics()
    assert (end.accepted, end.queued, end.skipped) == (1, 1, 3)


async def test_a_death_is_no_failure() -> None:
    """An attempt that a kill ends counts for `max_attempts`, and the attempts that are left stay."""
    signals, trail = trisig.Signals(), Trail(10)

    @signals.handler(7, "mule", retry=SOON)
    async def handle(signum: int) -> None:
        trail.mark(signum)
        if trail.total() == 2:
            await trio.sleep_forever()
        raise ValueError("always")

    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(7)
        await eventually(lambda: trail.total() == 2)
        os.kill(pid_of(master.processes, "mule1"), signal.SIGKILL)
        await until_equal(lambda: master.statistics().dead_lettered, 1)
    assert trail.total() == 4  # three failures and a death
    assert master.statistics().redelivered == 1


async def test_the_entry_may_go_before_the_next_attempt() -> None:
    """Unregistered meanwhile, a signal that was promised more attempts gets one more, and fails as any other does."""
    signals, trail = trisig.Signals(), Trail(10)

    @signals.handler(7, "mule", retry=trisig.Backoff(1.2, 1.2, attempts=5))
    def fail(signum: int) -> None:
        trail.mark(signum)
        raise ValueError("always")

    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(7)
        await until_equal(lambda: master.statistics().retried, 1)
        signals.unregister(7)  # long before the next attempt
        await until_equal(lambda: master.statistics().done, 1)
    end = master.statistics()
    assert (trail.total(), end.failed, end.retried) == (2, 1, 1)


LIFE = """
import sys, trio, trisig
signals = trisig.Signals()

@signals.handler(7, "mule", retry=trisig.Backoff(3600, 3600, attempts=3))
async def plain_or_async(signum):
    print("failed", flush=True)
    raise ValueError("always")

@signals.handler(8, "mule")
def fatal(signum):
    raise ValueError("once")

async def main():
    async with trisig.open_master(signals, mules=1, journal=sys.argv[1]):
        await signals.send(8)
        await signals.send(7)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_a_signal_that_rests_is_in_the_journal(tmp_path: Path) -> None:
    """The master is killed right after the failure: the next one tries again, and leaves alone what may not be."""
    with life(LIFE, tmp_path / "journal") as program:
        assert await line_of(program) == "failed"
    signals, trail = trisig.Signals(), Trail(10)
    for signum in (7, 8):
        signals.register(signum, "mule", trail.mark, retry=SOON if signum == 7 else None)
    async with trisig.open_master(signals, mules=1, journal=tmp_path / "journal"):
        pass
    assert trail.of("mule1") == b"\7"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failure_that_no_master_has_read_is_no_end(tmp_path: Path, is_async: bool) -> None:  # noqa: FBT001
    """The mark of a failed handler leaves its signal pending if it is tried again, and done if it is not."""
    journal = journal_at(tmp_path / "journal", ["mule1"])
    ledger, queue, memory = (
        Ledger(3, JournalRecorder(journal, ["mule1"])),
        Queue("mule1"),
        slot_parts(journal.shared, 0),
    )
    lane = Lane(ledger, "mule1", memory.marks, memory.finished)
    ledger.accept(queue, b"\7\10")
    lane.send(queue, 2)
    if is_async:
        memory.marks[:2] = bytes((ASIDE, ASIDE))
        lane.read_marks()
        memory.finished[0], memory.finished[1] = finished_entry(0, FAILED), finished_entry(1, FAILED)
    else:
        memory.marks[:2] = bytes((FAILED, FAILED))
    journal.publish()
    data = memoryview((tmp_path / "journal").read_bytes())
    journal.close()
    assert recover(data, {7}).queues == {"mule1": b"\7"}
    assert recover(data).queues == {}
