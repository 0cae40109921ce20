"""A random delay between the moment at which a schedule is due and its signal."""

from __future__ import annotations

from collections.abc import Callable
from random import random


class Jitter:
    """Delays of one run, one for each due moment.

    Args:
        seconds: the longest delay; 0 for none.
        draw: a number from 0 to 1, for tests.
    """

    def __init__(self, seconds: float, draw: Callable[[], float] = random) -> None:
        self._seconds = seconds
        self._draw = draw
        self._due: float | None = None
        self._delay = 0.0

    def after(self, due: float) -> float:
        """When to raise the signal that is due at `due`; the same each time that it is asked for one moment."""
        if not self._seconds:
            return due
        if due != self._due:
            self._due, self._delay = due, self._seconds * self._draw()
        return due + self._delay
