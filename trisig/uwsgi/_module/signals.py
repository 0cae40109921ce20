"""Signals and what raises them."""

from __future__ import annotations

import logging
import operator
import os
from typing import Literal, SupportsIndex

import trio

from trisig import NoMasterError, Signals
from trisig._remote.deliver import deliver
from trisig.uwsgi._runtime.due_now import is_due_now
from trisig.uwsgi._runtime.handlers import BlockingHandler, Handlers, byte
from trisig.uwsgi._runtime.main_thread import MainThread
from trisig.uwsgi._runtime.probe import Notes

_AT_ONCE_S = 0.001

log = logging.getLogger("trisig")


class SignalFunctions:
    """The functions about signals.

    Args:
        signals: the application.
        handlers: of this process.
        main: of this process.
        notes: what the application has asked for, where each process imports it.

    Attributes:
        is_strict: a cron job that is due in this minute is run at once.
    """

    def __init__(self, signals: Signals, handlers: Handlers, main: MainThread, notes: Notes) -> None:
        self._notes = notes
        self._signals = signals
        self._handlers = handlers
        self._main = main
        self.raised_early: list[int] = []  # before the master is open
        self.is_strict = False

    def register_signal(self, signum: SupportsIndex, target: str, handler: BlockingHandler, /) -> None:
        """Set the handler of a signal.

        Raises:
            ValueError: in the master, the number is taken.
        """
        if not isinstance(target, str):
            raise TypeError(f"a target is text, not {target!r}")
        if len(target) > 63:
            raise ValueError("unable to register signal")
        self._handlers.register(byte(signum), target, handler)

    def signal(self, signum: SupportsIndex, node: str = "", /) -> None:
        """Raise a signal, here or in another instance.

        Raises:
            OSError: the other instance cannot be reached.
            ValueError: it has rejected the signal.
        """
        number = byte(signum)
        if node:
            deliver(number, node)
            return
        try:
            self._signals.send_nowait(number)
        except NoMasterError:
            self.raised_early.append(number)
        except trio.WouldBlock:
            self._main.call(self._signals.send, number)

    def signal_registered(self, signum: SupportsIndex, /) -> Literal[True] | None:
        """True or None."""
        return True if self._handlers.is_registered(byte(signum)) else None

    def signal_wait(self, signum: SupportsIndex | None = None, /) -> bytes:
        """Wait for a signal, and run handlers meanwhile."""
        if signum is None:
            self._main.call(self._handlers.wait_any)
        else:
            self._main.call(self._handlers.wait_for, byte(signum))
        return b""

    def signal_received(self) -> int:
        """The number of the last signal; 0 before the first."""
        return self._handlers.received

    def add_timer(self, signum: SupportsIndex, seconds: SupportsIndex, /) -> None:
        """Raise a signal every so many seconds."""
        number, period = byte(signum), operator.index(seconds)
        if self._notes.takes("add_timer", number, period):
            return
        if period > 0:
            self._signals.add_timer(number, period)
        else:
            log.warning("add_timer(%d, %d): such a timer never fires; write a number of seconds from 1", number, period)

    def add_ms_timer(self, signum: SupportsIndex, milliseconds: SupportsIndex, /) -> None:
        """Raise a signal every so many milliseconds (uWSGI 2.1)."""
        number, period = byte(signum), operator.index(milliseconds)
        if not self._notes.takes("add_ms_timer", number, period):
            self._signals.add_timer(number, period / 1000)

    def add_rb_timer(self, signum: SupportsIndex, seconds: SupportsIndex, iterations: SupportsIndex = 0, /) -> None:
        """Raise a signal every so many seconds, and so many times; 0 seconds is at once."""
        number, period, times = byte(signum), operator.index(seconds), operator.index(iterations)
        if not self._notes.takes("add_rb_timer", number, period, times):
            self._signals.add_rb_timer(number, max(period, _AT_ONCE_S), iterations=max(times, 0))

    def add_cron(
        self,
        signum: SupportsIndex,
        minute: SupportsIndex,
        hour: SupportsIndex,
        day: SupportsIndex,
        month: SupportsIndex,
        weekday: SupportsIndex,
        /,
    ) -> Literal[True]:
        """Raise a signal in each due minute."""
        when = [operator.index(field) for field in (minute, hour, day, month, weekday)]
        number = byte(signum)
        if self._notes.takes("add_cron", number, *when):
            return True
        try:
            source = self._signals.add_cron(number, *when)
        except ValueError as error:
            log.warning("add_cron(%d, ...) never fires: %s", number, error)
            return True
        if self.is_strict and is_due_now(source):
            self.signal(number)
        return True

    def add_file_monitor(self, signum: SupportsIndex, path: str, /) -> None:
        """Raise a signal whenever a file, or something in a directory, changes; it may appear later."""
        if not isinstance(path, str):
            raise TypeError(f"a path is text, not {path!r}")
        number, absolute = byte(signum), os.path.abspath(path)  # noqa: PTH100  links are not resolved
        if not self._notes.takes("add_file_monitor", number, absolute):
            self._signals.add_file_monitor(number, absolute, missing_ok=True)
