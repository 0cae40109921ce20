"""How long handlers take, and how long signals wait for them."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import trio
from witness import eventually, stopped, until_equal, words

import trisig


async def test_slow_handlers_are_timed_one_by_one() -> None:
    """Plain and async ones, tasks too; a quick handler among them stays quick, and the queue's wait is seen."""
    signals, block = trisig.Signals(), 0.05

    @signals.handler(1, target="worker1")
    def quick(signum: int) -> None: ...

    @signals.handler(2, target="worker1")
    def slow(signum: int) -> None:
        time.sleep(block)

    @signals.handler(3, target="worker1")
    async def sleeps(signum: int) -> None:
        await trio.sleep(block)

    @signals.task("worker1")
    def fails() -> None:
        time.sleep(block)
        raise ValueError

    async with trisig.open_master(signals, workers=1) as master:
        for signum in (1, 2, 3, 1, 2, 3, 1):
            await signals.send(signum)
        await fails.send()
        # A handler counts as done when it ends; its time is added when the turn of its process ends, just after.
        await eventually(lambda: _timed(master) == 8 and master.statistics().signals[1].queueing_time.count)
        now = master.statistics()
    for times in (now.signals[2].handler_time, now.signals[3].handler_time):
        assert times.count == 2
        assert times.total >= 2 * block
        assert times.p50 is not None
        assert times.p99 is not None
        assert block * 0.8 <= times.p50 <= times.p99
    assert now.signals[1].handler_time.p50 is not None
    assert now.signals[1].handler_time.p50 < block


async def test_queueing_is_from_the_acceptance_to_the_handler() -> None:
    """What waits behind a slow handler waits as long as that one takes, in the master's queue and in the process."""
    signals, held, block = trisig.Signals(), words(), 0.1

    @signals.handler(1, target="worker1")
    def slow(signum: int) -> None:
        held[0] = 1
        time.sleep(block)

    @signals.handler(2, target="worker1")
    def waits(signum: int) -> None: ...

    async def measured(count: int) -> float:
        await until_equal(lambda: master.statistics().signals[2].queueing_time.count, count)
        return master.statistics().signals[2].queueing_time.total

    async def another() -> float:
        await trio.sleep(0.02)  # of rare signals each is measured
        await signals.send(2)
        return await measured(master.statistics().signals[2].accepted)

    async with trisig.open_master(signals, workers=1) as master:
        await signals.send(1)
        await eventually(lambda: held[0])
        await eventually(lambda: master.statistics().done == 1)
        waited = [await another() for _ in range(3)]
        with stopped(master.processes[1].pid):
            await trio.sleep(0.02)
            await signals.send(2)
            await trio.sleep(block)
        waited.append(await measured(4))
    *quick, slow_one = [after - before for before, after in pairwise([0.0, *waited])]
    assert min(quick) < block <= slow_one


async def test_a_burst_of_quick_handlers_is_a_sample_that_stands_for_all() -> None:
    """Few are timed, but the count is that of all, to within what is not in yet."""
    signals, many = trisig.Signals(), 20_000

    @signals.handler(1, target="worker")
    def quick(signum: int) -> None: ...

    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(many):
            signals.send_nowait(1)
        await eventually(lambda: master.statistics().done == many)
        await eventually(lambda: master.statistics().signals[1].handler_time.count > many * 0.5)
        await eventually(lambda: master.statistics().signals[1].queueing_time.count)
        now = master.statistics().signals[1]
    assert now.handler_time.count <= many
    assert now.queueing_time.count < many / 2
    assert now.queueing_time.p99 is not None
    assert now.handler_time.p50 is not None
    assert now.handler_time.p50 < now.queueing_time.p99


async def test_times_add_up_over_the_processes_of_a_slot(tmp_path: Path) -> None:
    """The process that replaces a dead one goes on where that one ended."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def slow(signum: int) -> None:
        time.sleep(0.01)

    async with trisig.open_master(signals, workers=1) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().signals[1].handler_time.count == 1)
        first = master.processes[1].pid
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: len(master.processes) == 2 and master.processes[1].pid != first)
        await signals.send(1)
        await eventually(lambda: master.statistics().signals[1].handler_time.count == 2)
        await eventually(lambda: master.statistics().signals[1].queueing_time.count == 2)


def _timed(master: trisig.Master) -> int:
    now = master.statistics()
    signals = sum(each.handler_time.count for each in now.signals.values())
    return signals + sum(each.handler_time.count for each in now.tasks.values())
