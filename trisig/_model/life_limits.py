"""After how much a process is replaced in order, by another one. Pure."""

from __future__ import annotations

from collections.abc import Callable
from random import random

import msgspec

SPREAD = 0.1  # of each limit, by which that of a process is prolonged at most


class LifeLimits(msgspec.Struct, frozen=True):
    """What ends the life of a process in order; None for what does not.

    Attributes:
        handled: how many signals and tasks it has begun to handle.
        age: for how many seconds it has been ready.
        rss: how many bytes of memory it has resident.
        rss_after: for how many seconds it is there before its memory counts, resident or not.
        address_space: how many bytes its address space has.
    """

    handled: float | None = None
    age: float | None = None
    rss: float | None = None
    rss_after: float = 0.0
    address_space: float | None = None

    def of_one(self, draw: Callable[[], float] = random) -> LifeLimits:
        """The limits of one process: each up to a tenth more, so that processes of one age do not end together."""

        def drawn(limit: float | None) -> float | None:
            return None if limit is None else limit * (1 + SPREAD * draw())

        handled, age, rss = drawn(self.handled), drawn(self.age), drawn(self.rss)
        return LifeLimits(handled, age, rss, self.rss_after, drawn(self.address_space))
