"""Nobody waits behind a stalled process.

What a process was given of a shared queue is an estimate, and that can be wrong: a handler may suddenly take long, a
process may be stopped. So whatever a process holds unread without making progress, while another process is free, is
taken back out of its pipe after `STALL_S` and given to the free one. Work stealing, by the master.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

import trio

from trisig._linux.timerfd import TimerFd
from trisig._model.lane import Lane
from trisig._util.ki_protection import ki_protected

from .delivery import Delivery
from .pool import Pool
from .slots import Slot, request_bells

STALL_S = 0.002  # of no progress, after which unread signals are given to a free process


@ki_protected
class Rebalancer:
    """Watches the pools of one master.

    Args:
        pools: all of them.
        delivery: what destinations share; it says when there is something to look at.
        nudge: makes the process of a slot ring, if it can.
    """

    def __init__(self, pools: Collection[Pool], delivery: Delivery, nudge: Callable[[Slot], None]) -> None:
        self._pools = pools
        self._delivery = delivery
        self._nudge = nudge

    async def watch(self) -> None:
        """Take back what stalled processes hold, until cancelled."""
        # Not a deadline of trio's: with one, each wait of the loop sets a timer of the processor, which takes a virtual
        # machine longer than a handler.
        timer = TimerFd(time.CLOCK_MONOTONIC, relative=True)
        try:
            while True:
                await self._delivery.given.wait()
                timer.arm(STALL_S)
                await trio.lowlevel.wait_readable(timer.fd)
                timer.acknowledge()
                self._delivery.given = trio.Event()
                # Every pool, before `any` decides.
                look_again = [self._rebalance(pool) for pool in self._pools]
                if any(look_again):
                    self._delivery.given.set()
        finally:
            trio.lowlevel.notify_closing(timer.fd)
            timer.close()

    def take_all_back(self, slots: Iterable[Slot], leave: Callable[[], object]) -> None:
        """Take back what no process has begun and others could run, here or on other nodes, and hand it out again.

        Args:
            slots: of all processes.
            leave: called in between: what leaves its queue then is not handed out.
        """
        holding = {slot: slot.lane for slot in slots if self._holds_claims(slot) or self._holds_unread(slot)}
        taken = [(slot, lane) for slot, lane in holding.items() if lane is not None and slot.reclaim_unread(lane)]
        leave()
        for slot, lane in taken:
            self._hand_out_again(slot, lane)

    def _rebalance(self, pool: Pool) -> bool:
        """Reclaim from the stalled members of a pool, if others are free; whether there may be more to take soon."""
        holding = [slot for slot in pool.members if self._holds_unread(slot)]
        pool.has_unread = bool(holding)
        if not holding:
            return False
        if not (pool.idle or pool.find_idle()):
            self._delivery.short.set()
            request_bells(pool.members, self._delivery)  # whoever becomes free rings, and that sets the alarm again
            return False
        now = trio.current_time()
        stalled = [slot for slot in holding if now - (slot.last_progress or 0.0) >= STALL_S]
        for slot in stalled:
            if not slot.reclaimed and slot.lane is not None:
                self._reclaim(slot, slot.lane)
        return len(stalled) < len(holding)

    def _holds_unread(self, slot: Slot) -> bool:
        """Whether a process has not started some of what it was given of a shared queue."""
        if slot.lane is None or not slot.lane.shared:
            return False
        slot.read_marks()
        return slot.lane.waiting() > 0

    def _holds_claims(self, slot: Slot) -> bool:
        """Whether a process has what came from the cluster for it alone."""
        slot.read_marks()
        return slot.lane is not None and slot.lane.claimed > 0

    def _reclaim(self, slot: Slot, lane: Lane) -> None:
        if slot.reclaim_unread(lane):
            self._hand_out_again(slot, lane)

    def _hand_out_again(self, slot: Slot, lane: Lane) -> None:
        for pool in slot.pools:
            pool.reset_pace()
        request_bells((slot,), self._delivery)
        slot.deliver()
        if not lane.busy:
            slot.last_progress = None
            self._nudge(slot)  # it has nothing left that would make it ring
        for pool in slot.pools:
            pool.deliver()
