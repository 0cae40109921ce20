"""Workers that somebody stops and wakes again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import trio

from trisig._model.errors import NoMasterError
from trisig._model.process import process_name
from trisig._util.ki_protection import ki_protected

from .dispatcher import Dispatcher
from .keeper import Keeper
from .slots import Slot

log = logging.getLogger("trisig")


@ki_protected
class Workers:
    """Those of one master.

    Args:
        dispatcher: has their slots; knows which are active.
        keepers: of all processes, by name.
        check: raises `RuntimeError` in another thread than the master's; called with what is done, and an example.
        is_over: says whether the master has ended.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        keepers: Mapping[str, Keeper],
        check: Callable[[str, str], object],
        is_over: Callable[[], bool],
    ) -> None:
        self._dispatcher = dispatcher
        self._keepers = keepers
        self._check = check
        self._is_over = is_over

    def cheap_nowait(self, number: int) -> Keeper:
        """See `Master.cheap_nowait`; returns who keeps the worker."""
        slot, keeper = self._worker("cheap_nowait", number)
        if slot.active:
            log.info("master: stopping %s until it is woken", slot.name)
        slot.active = False
        self._dispatcher.refresh()
        keeper.leave()
        return keeper

    async def cheap(self, number: int) -> None:
        """See `Master.cheap`."""
        slot, _ = self._worker("cheap", number)
        was_active = slot.active
        keeper = self.cheap_nowait(number)
        await trio.lowlevel.checkpoint()
        await keeper.wait_left()
        if was_active:
            log.info("master: %s is stopped", keeper.name)

    def wake_nowait(self, number: int) -> Keeper:
        """See `Master.wake_nowait`; returns who keeps the worker."""
        slot, keeper = self._worker("wake_nowait", number)
        if not slot.active:
            log.info("master: waking %s", slot.name)
        slot.active = True
        self._dispatcher.refresh()
        keeper.wake()
        return keeper

    async def wake(self, number: int) -> None:
        """See `Master.wake`."""
        keeper = self.wake_nowait(number)
        await trio.lowlevel.checkpoint()
        await keeper.wait_filled()

    def _worker(self, verb: str, number: int) -> tuple[Slot, Keeper]:
        self._check("workers are stopped and started", f"master.{verb}, {number!r}")
        if type(number) is not int:
            raise TypeError(f"a worker is named by its number, not {number!r}")
        name, slots = process_name("worker", number), self._dispatcher.destinations.slots
        if name not in slots:
            count = sum(slot.kind == "worker" for slot in slots.values())
            raise ValueError(f"there is no {name}; there {'is 1 worker' if count == 1 else f'are {count} workers'}")
        if self._is_over():
            raise NoMasterError(f"this master has ended, and {name} with it")
        return slots[name], self._keepers[name]
