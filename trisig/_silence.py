"""Nobody waits behind the silent.

What a process was given of a shared queue is an estimate, and that can be wrong: a handler may suddenly take long, a
process may be stopped. So whatever a silent process holds unread, while another process is free, is taken back out of
its pipe after `_PATIENCE` and given to the free one. The kernel hands each byte of a pipe to one reader only, and
what is read back is always the end of what was written, so both sides know exactly who has what.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import trio

from ._interrupt import uninterrupted
from ._ledger import WINDOW, Lane
from ._shared import SENT
from ._slots import Pool, Slot

_PATIENCE = 0.002  # seconds of silence before unread signals are given to a free process


class Dispatch(Protocol):
    """What the dispatcher does."""

    def look(self, slot: Slot) -> None: ...
    def find_idle(self, pool: Pool) -> Slot | None: ...
    def want(self, slots: Iterable[Slot]) -> None: ...
    def fill(self, slot: Slot) -> None: ...
    def serve(self, pool: Pool) -> None: ...


@uninterrupted
class Silence:
    """Watches the pools of one master.

    Args:
        nudge: makes the named process ring, if it can.
    """

    def __init__(self, pools: Collection[Pool], dispatch: Dispatch, nudge: Callable[[str], None]) -> None:
        self._pools = pools
        self._dispatch = dispatch
        self._nudge = nudge
        self._alarm = trio.CancelScope()

    def watch_soon(self) -> None:
        """A process has been given signals of a shared queue."""
        if self._alarm.deadline == math.inf:
            self._alarm.deadline = trio.current_time() + _PATIENCE

    async def watch(self) -> None:
        """Take back what the silent hold, until cancelled."""
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            soon = [self._relieve(pool) for pool in self._pools]
            if any(soon):
                self.watch_soon()

    def _relieve(self, pool: Pool) -> bool:
        """Rob the silent members of a pool, if others are free; whether there may be more to rob soon."""
        holding = [slot for slot in pool.members if self._holds_unread(slot)]
        pool.held = bool(holding)
        if not holding:
            return False
        if not (pool.idle or self._dispatch.find_idle(pool)):
            self._dispatch.want(pool.members)  # whoever becomes free rings, and that sets the alarm again
            return False
        now = trio.current_time()
        silent = [slot for slot in holding if now - slot.heard_at >= _PATIENCE]
        for slot in silent:
            if not slot.robbed and slot.lane is not None:
                self._rob(slot, slot.lane)
        return len(silent) < len(holding)

    def _holds_unread(self, slot: Slot) -> bool:
        """Whether a process has not started some of what it was given of a shared queue."""
        if slot.lane is None or not slot.lane.shared:
            return False
        self._dispatch.look(slot)
        return slot.lane.waiting() > 0

    def _rob(self, slot: Slot, lane: Lane) -> None:
        try:
            unread = os.read(slot.back, WINDOW)
        except BlockingIOError:
            return
        again = lane.unsend(len(unread))
        if again:
            os.write(slot.pipe, again)
        slot.memory.words[SENT] = lane.sent
        slot.robbed = True
        for pool in slot.pools:
            pool.doubt()
        self._dispatch.want((slot,))
        self._dispatch.fill(slot)
        if not lane.busy:
            slot.heard_at = 0.0
            self._nudge(slot.name)  # it has nothing left that would make it ring
        for pool in slot.pools:
            self._dispatch.serve(pool)
