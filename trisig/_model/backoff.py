"""When to try again what has failed, and when to give it up. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import random


def doubled(first: float, longest: float, failures: int) -> float:
    """A pause that doubles with each failure in a row, up to a limit; none after no failure."""
    if failures < 1:
        return 0.0
    doublings = min(failures - 1, 64)  # a float overflows near 1024 of them
    return min(first * 2.0**doublings, longest)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often to try what raises, and how long to wait in between.

    Args:
        first: seconds to wait after the first failure; each further failure doubles them.
        longest: seconds that no pause exceeds, apart from the jitter.
        attempts: how often to try in all; what has failed so often is dead-lettered.
        jitter: seconds by which each pause is prolonged at random, so that not everything tries again in the same
            moment.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range.
    """

    first: float
    longest: float
    attempts: int = 3
    jitter: float = 0.0

    def __post_init__(self) -> None:
        for name in ("first", "longest", "jitter"):
            _check_seconds(name, getattr(self, name))
        if self.longest < self.first:
            raise ValueError(f"longest must be at least first, {self.first:g} s, not {self.longest:g} s")
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise TypeError(f"attempts must be an int, not {self.attempts!r}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, not {self.attempts}")

    def pause(self, failures: int, draw: Callable[[], float] = random) -> float | None:
        """Seconds to wait after so many failures; None if that was the last attempt.

        Args:
            failures: how often it has failed, from 1.
            draw: a number from 0 to 1, for tests.
        """
        if failures >= self.attempts:
            return None
        return doubled(self.first, self.longest, failures) + self.jitter * draw()


def _check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be an int or float, a number of seconds, not {value!r}")
    if value < 0 or not math.isfinite(value):
        raise ValueError(f"{name} must be 0 or more seconds, not {value!r}")
