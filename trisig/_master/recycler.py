"""Replaces processes that have reached a limit of their lives: one at a time, and none is cut off."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import trio

from trisig._util.ki_protection import ki_protected

from .keeper import Keeper

log = logging.getLogger("trisig")


@ki_protected
class Recycler:
    """Lets worn processes leave.

    Args:
        keepers: of all processes, by name.
    """

    def __init__(self, keepers: Mapping[str, Keeper]) -> None:
        self._keepers = keepers
        self._worn: dict[str, tuple[int, str]] = {}
        self._news = trio.Event()

    def ask(self, name: str, why: str) -> None:
        """A process wants to be replaced."""
        self._worn[name] = (self._keepers[name].pid, why)
        self._news.set()

    async def run(self) -> None:
        """Replace those that ask, in the order of asking."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            while self._worn:
                name = next(iter(self._worn))
                await self._replace(self._keepers[name], *self._worn.pop(name))

    async def _replace(self, keeper: Keeper, pid: int, why: str) -> None:
        if keeper.pid != pid or keeper.state != "ready":
            return  # something else has ended it meanwhile
        log.info("%s: %s; replacing it when its handlers have ended", keeper.name, why)
        keeper.leave(patient=True)
        await keeper.wait_replaced(pid)
