"""Locks between all processes."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from trisig import NoMasterError, Signals


class LockFunctions:
    """The functions about locks.

    Args:
        signals: the application.
        most: the highest number of a lock.
    """

    def __init__(self, signals: Signals, most: int) -> None:
        self._signals = signals
        self._most = most

    def lock(self, number: SupportsIndex = 0, /) -> None:
        """Wait until this thread holds a lock.

        Raises:
            ValueError: there is no such lock.
            trisig.DeadlockError: it would wait for ever.
        """
        lock = self._signals.lock(self._checked(number))
        try:
            lock.__enter__()
        except NoMasterError:
            pass  # in the master, before any other process exists

    def unlock(self, number: SupportsIndex = 0, /) -> None:
        """Give a lock back. One that this thread does not hold stays as it is."""
        lock = self._signals.lock(self._checked(number))
        try:
            lock.release()
        except RuntimeError:
            pass

    def is_locked(self, number: SupportsIndex = 0, /) -> bool:
        """Whether anybody holds a lock."""
        lock = self._signals.lock(self._checked(number))
        try:
            return lock.locked()
        except NoMasterError:
            return False

    def _checked(self, number: SupportsIndex) -> int:
        value = operator.index(number)
        if not 0 <= value <= self._most:
            raise ValueError("Invalid lock number")
        return value
