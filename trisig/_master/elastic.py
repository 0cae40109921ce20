"""Workers that come when signals wait for one, and go when they have had nothing to do for a while.

The slots of those that are away are inactive, as `Master.cheap` makes them. What an operator has stopped stays stopped:
only what was sent away here comes back by itself.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import trio

from trisig._model.elasticity import Elasticity
from trisig._util.ki_protection import ki_protected

from .delivery import Delivery
from .dispatcher import Dispatcher
from .keeper import Keeper
from .slots import Slot

log = logging.getLogger("trisig")

NOTICE_S = 0.1  # for which signals have to wait: a worker takes about as long to start


@ki_protected
class Elastic:
    """Sends workers away and lets them come back.

    Args:
        limits: how many, and when.
        dispatcher: has their slots; knows which are active.
        delivery: says when signals wait.
        keepers: of all processes, by name.
    """

    def __init__(
        self, limits: Elasticity, dispatcher: Dispatcher, delivery: Delivery, keepers: Mapping[str, Keeper]
    ) -> None:
        self._limits = limits
        self._dispatcher = dispatcher
        self._delivery = delivery
        self._keepers = keepers
        slots = dispatcher.destinations.slots.values()
        self._workers = [slot for slot in slots if slot.kind == "worker"]
        self._away: dict[Slot, None] = {}  # sent away here
        for slot in self._workers[limits.initial :]:  # no process has started yet
            self._send_away(slot)

    async def run(self) -> None:
        """Follow the work until cancelled."""
        while True:
            self._delivery.short = trio.Event()
            with trio.move_on_at(self._next_look()):
                if not self._wanted():
                    await self._delivery.short.wait()
            await self._wake_wanted()
            self._send_idle_away()

    # Coming

    def _wanted(self) -> Sequence[Slot]:
        """Those to wake now: whatever waits for one alone, or a step of any if the first available one is awaited."""
        own = [slot for slot in self._away_now() if len(slot.queue)]
        if own or not self._is_short():
            return own
        return self._away_now()[: self._limits.step]

    def _away_now(self) -> list[Slot]:
        for slot in [slot for slot in self._away if slot.active]:  # an operator has woken it
            del self._away[slot]
        return sorted(self._away, key=lambda slot: slot.number)

    def _is_short(self) -> bool:
        """Whether signals wait, and no worker is about to come that could take them."""
        pools = self._workers[0].pools
        if not any(len(pool.queue) or pool.has_unread for pool in pools) or any(pool.idle for pool in pools):
            return False
        return all(slot.lane is not None for slot in self._workers if slot.active)

    async def _wake_wanted(self) -> None:
        if not self._wanted():
            return
        if not any(len(slot.queue) for slot in self._away):
            await trio.sleep(NOTICE_S)
        for slot in self._wanted():
            log.info("master: %s comes, because signals wait", slot.name)
            del self._away[slot]
            slot.active = True
            self._keepers[slot.name].wake()
        self._dispatcher.refresh()

    # Going

    def _next_look(self) -> float:
        """When the next worker may have been idle for long enough."""
        if not self._may_go():
            return math.inf
        return min(slot.progressed_at for slot in self._workers if slot.active) + self._limits.idle

    def _may_go(self) -> bool:
        return sum(slot.active for slot in self._workers) > self._limits.least

    def _send_idle_away(self) -> None:
        going = [slot for slot in sorted(self._workers, key=lambda slot: -slot.number) if self._goes(slot)]
        for slot in going:
            self._keepers[slot.name].leave(patient=True)
        if going:
            self._dispatcher.refresh()

    def _goes(self, slot: Slot) -> bool:
        """Send a worker away if it has been idle for long enough; whether it was."""
        if not (slot.active and self._may_go() and self._is_idle(slot)):
            return False
        if slot.progressed_at + self._limits.idle > trio.current_time():
            return False
        log.info("master: %s goes, idle for %g s", slot.name, self._limits.idle)
        self._send_away(slot)
        return True

    def _is_idle(self, slot: Slot) -> bool:
        if slot.lane is not None:
            slot.read_marks()
            # Not `lane.busy`: an async handler that runs alone does not count there.
            if not (slot.in_flight or len(slot.queue) or slot.queue.resting):
                return True
        slot.progressed_at = trio.current_time()  # look again after another while
        return False

    def _send_away(self, slot: Slot) -> None:
        slot.active = False
        self._away[slot] = None
