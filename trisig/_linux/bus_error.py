"""Surviving the loss of a mapped file's pages.

When somebody cuts a mapped file short, the next access to what is missing raises SIGBUS. Python cannot handle that: its
own signal handlers only note the signal and return to the access, which faults again, for ever. A handler of the C
library may repair the file and return; then the access succeeds.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable

from .libc import libc

_MOST_IN_VAIN = 10

libc.signal.restype = ctypes.c_void_p
libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)


class BusErrorRepair:
    """Calls a function at each SIGBUS of this process, and of those that are forked from it.

    The function runs in the middle of whatever accessed the memory. It must not raise, take a lock or touch the memory.

    Args:
        repair: repairs what it can; whether there was anything to repair. If there was nothing several times in a row,
            the fault is about other memory, and is handled as it was before. Once may happen when another process has
            repaired the same file.
    """

    def __init__(self, repair: Callable[[], bool]) -> None:
        self._repair = repair
        self._handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(self._handle)
        self._before: int | None = None
        self._in_vain = 0

    def install(self) -> None:
        """Begin to repair."""
        self._before = libc.signal(signal.SIGBUS, ctypes.cast(self._handler, ctypes.c_void_p))

    def uninstall(self) -> None:
        """Handle the signal as before."""
        libc.signal(signal.SIGBUS, self._before)

    def _handle(self, _number: int) -> None:
        self._in_vain = 0 if self._repair() else self._in_vain + 1
        if self._in_vain > _MOST_IN_VAIN:
            self.uninstall()  # the access faults again, and the handler of before gets the signal
