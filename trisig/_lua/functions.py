"""The table `uwsgi` of a script that `trisig run` serves: uWSGI's names over `Signals`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import trio

from trisig._api.signals import Signals
from trisig._model.address import Address
from trisig._model.process import MASTER, current_process
from trisig._remote.deliver import deliver_async

from .awaited import Awaited
from .runtime import LuaFunction

Fn = TypeVar("Fn", bound=Callable[..., object])

log = logging.getLogger("trisig")


class LuaFunctions:
    """The functions.

    Args:
        signals: the application.
        script: what handlers are named after.
    """

    def __init__(self, signals: Signals, script: str) -> None:
        self._signals = signals
        self._script = script
        self._received = 0

    def table(self) -> dict[str, Callable[..., object]]:
        """All of them, by name."""
        own = {"table"}
        return {name: getattr(self, name) for name in vars(type(self)) if not name.startswith("_") and name not in own}

    # Signals

    def register_signal(self, signum: int, target: str, handler: LuaFunction) -> None:
        """Set the handler of a signal, as `Signals.register` does."""
        self._signals.register(signum, target, self._handler(_function(handler, "a handler")))

    def signal(self, signum: int, address: str | None = None) -> Awaited | None:
        """Raise a signal, here or in another program; waits while there is no room for it."""
        if address:
            Address.parse(address)
            return Awaited(deliver_async, signum, address)
        try:
            self._signals.send_nowait(signum)
        except trio.WouldBlock:
            return Awaited(self._signals.send, signum)
        return None

    def signal_wait(self, signum: int | None = None) -> Awaited:
        """Wait for a signal, as `Signals.wait` does; returns its number."""
        return Awaited(self._wait, signum)

    async def _wait(self, signum: int | None) -> int:
        self._received = await self._signals.wait(signum)
        return self._received

    def signal_received(self) -> int:
        """The number of the last signal that was waited for, or handled; 0 before the first."""
        return self._received

    def signal_registered(self, signum: int) -> bool:
        """Whether a number has a handler."""
        return self._signals.is_registered(signum)

    def service(self, target: str, function: LuaFunction) -> None:
        """Run a function for the life of each process of a target, as `Signals.service` does."""
        serving = _function(function, "a service")

        async def serve() -> None:
            await serving.runtime.drive(serving.function)

        self._signals.service(target)(self._named(serve, serving))

    # What raises them

    def add_timer(self, signum: int, seconds: float, iterations: int = 0) -> None:
        """Raise a signal every so many seconds."""
        self._signals.add_timer(signum, seconds, iterations=iterations)

    def add_ms_timer(self, signum: int, milliseconds: float) -> None:
        """Raise a signal every so many milliseconds."""
        self._signals.add_timer(signum, milliseconds / 1000)

    def add_rb_timer(self, signum: int, seconds: float, iterations: int = 0) -> None:
        """Raise a signal every so many seconds, and so many times."""
        self._signals.add_rb_timer(signum, seconds, iterations=iterations)

    def add_cron(self, signum: int, *when: Any) -> None:
        """Raise a signal in each due minute: five numbers, or an expression."""
        self._signals.add_cron(signum, *when)

    def add_file_monitor(self, signum: int, path: str) -> None:
        """Raise a signal whenever a file, or something in a directory, changes."""
        self._signals.add_file_monitor(signum, path)

    # Who this is

    def log(self, message: object) -> None:
        """Write a line to the log."""
        log.info("%s: %s", current_process().name, message)

    def worker_id(self) -> int:
        """From 1; 0 in other processes."""
        return _number("worker")

    def mule_id(self) -> int:
        """From 1; 0 in other processes."""
        return _number("mule")

    def spooler_id(self) -> int:
        """From 1; 0 in other processes."""
        return _number("spooler")

    def in_farm(self, name: str) -> bool:
        """Whether this mule is in a farm."""
        return name in current_process().farms

    def masterpid(self) -> int:
        """The pid of the master, everywhere."""
        return os.getpid() if current_process().kind == MASTER else os.getppid()

    def _handler(self, function: LuaFunction) -> Callable[[int], object]:
        async def handle(signum: int) -> None:
            self._received = signum
            await function.runtime.drive(function.function, signum)

        return self._named(handle, function)

    def _named(self, fn: Fn, function: LuaFunction) -> Fn:
        fn.__module__, fn.__qualname__ = self._script, function.runtime.name_of(function.function)
        return fn


def _function(value: object, what: str) -> LuaFunction:
    if not isinstance(value, LuaFunction):
        raise TypeError(f"{what} is a function of Lua, not {value!r}")
    return value


def _number(kind: str) -> int:
    process = current_process()
    return process.number if process.kind == kind else 0
