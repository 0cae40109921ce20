"""Ends a process whose handler takes too long, and shows the tracebacks of its threads; the GIL does not matter."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager

_STANDARD_ERROR = 2


class Harakiri:
    """The one alarm of a process; the interpreter has one such clock."""

    def __init__(self) -> None:
        self._around = 0.0

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer; 0 sets no limit."""
        self._around = seconds
        self.set(seconds)
        try:
            yield
        finally:
            self._around = 0.0
            self.set(0)

    def set(self, seconds: float) -> None:
        """Begin to count again; 0 goes back to what the handler has."""
        if seconds > 0:
            faulthandler.dump_traceback_later(seconds, exit=True, file=_STANDARD_ERROR)
        elif self._around:
            self.set(self._around)
        else:
            faulthandler.cancel_dump_traceback_later()
