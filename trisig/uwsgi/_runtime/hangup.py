"""SIGHUP from the start on: one that comes before the master is ready, or while one begins anew, is a reload too."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import trio


class Hangups:
    """The SIGHUPs of one master. On a terminal they are left alone: one that closes ends the programs on it."""

    def __init__(self) -> None:
        self._noted = False
        self._is_caught = False

    def catch(self) -> None:
        """Note them from now on, until `serve` obeys them."""
        self._is_caught = not sys.stdin.isatty()
        if self._is_caught:
            signal.signal(signal.SIGHUP, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # which a reload blocks, see `hold_hangups`

    def _note(self, _number: int, _frame: object) -> None:
        self._noted = True

    async def serve(self, begin_anew: Callable[[str], object]) -> None:
        """Begin anew at each of them, and at once if one was noted."""
        if not self._is_caught:
            return
        with trio.open_signal_receiver(signal.SIGHUP) as arrivals:
            if self._noted:
                begin_anew("SIGHUP")
            async for _ in arrivals:
                begin_anew("SIGHUP")


def hold_hangups() -> None:
    """Have the kernel keep those that come while this process becomes another program. Others are not blocked."""
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGHUP})
