"""When a process has lived for long enough, and asks the master to replace it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import trio

from trisig._linux.resident import resident_bytes, virtual_bytes
from trisig._model.life_limits import LifeLimits

_LOOKS_APART_S = 0.5  # at the memory: a system call and a few microseconds


class Wear:
    """Watches the limits of one process.

    Args:
        limits: of this process.
        ask: called once, with the reason, when one is reached.
    """

    def __init__(self, limits: LifeLimits, ask: Callable[[str], object]) -> None:
        self._limits = limits
        self._ask = ask
        self._asked = limits == LifeLimits()
        self._has_memory_limits = limits.rss is not None or limits.address_space is not None
        self._next_look = monotonic() + limits.rss_after

    async def watch_age(self) -> None:
        """Ask when the process is old."""
        if self._limits.age is not None:
            await trio.sleep(self._limits.age)
            self._reached(f"is {self._limits.age:.3g} s old")

    def look(self, handled: int) -> None:
        """Look at the other limits; called after some handlers.

        Args:
            handled: how many signals and tasks the process has begun to handle.
        """
        if self._asked:
            return
        if self._limits.handled is not None and handled >= self._limits.handled:
            self._reached(f"has handled {handled} signals")
        elif self._has_memory_limits and (now := monotonic()) >= self._next_look:
            self._next_look = now + _LOOKS_APART_S
            self._look_at_memory(self._limits.rss, self._limits.address_space)

    def _look_at_memory(self, resident: float | None, address_space: float | None) -> None:
        if resident is not None and (rss := resident_bytes()) >= resident:
            self._reached(f"has {rss / 2**20:.0f} MiB of memory resident")
        elif address_space is not None and (size := virtual_bytes()) >= address_space:
            self._reached(f"has an address space of {size / 2**20:.0f} MiB")

    def _reached(self, why: str) -> None:
        if not self._asked:
            self._asked = True
            self._ask(why)
