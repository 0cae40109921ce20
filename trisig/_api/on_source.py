"""Decorates the handler of an event source: registers the one and adds the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, Unpack

from trisig._model.errors import SignalTableError
from trisig._model.handlers import Handler
from trisig._model.handling import Handling, HandlingOptions
from trisig._sources import EngineSource, EventSource

H = TypeVar("H", bound=Handler)


class Events(Protocol):
    """The `Signals` of an application."""

    def register(self, signum: int, target: str, handler: Handler, **handling: Unpack[HandlingOptions]) -> None: ...
    def unregister(self, signum: int) -> None: ...
    def _next_signum(self, handler: Handler) -> int: ...
    def add_source(self, source: EventSource) -> EventSource: ...


def on_source(
    events: Events,
    make: Callable[[int], EngineSource],
    target: str,
    signum: int | None,
    handling: Handling = Handling(),  # noqa: B008  frozen
) -> Callable[[H], H]:
    """Decorate a handler that runs whenever a source raises its signal: register and add in one.

    Both happen or neither. `unregister` takes both back.

    Args:
        events: the application's `Signals`.
        make: makes the source for a signal number.
        target: who runs the handler.
        signum: the signal; None for the next free number.
        handling: how the handler is run.

    Raises:
        TypeError, ValueError: as `make` does. It is called at once with a number that may be another one later, so that
            a wrong argument fails in the line that wrote it.
    """
    make(0 if signum is None else signum)

    def decorate(handler: H) -> H:
        number = _register(events, signum, target, handler, handling)
        try:
            source = make(number)
            source.owned_by_entry = True
            events.add_source(source)
        except BaseException:
            events.unregister(number)
            raise
        return handler

    return decorate


def _register(events: Events, signum: int | None, target: str, handler: Handler, handling: Handling) -> int:
    """Register a given number, or the next free one, which another process may take meanwhile."""
    while True:
        number = events._next_signum(handler) if signum is None else signum  # noqa: SLF001  the other half of it
        try:
            events.register(number, target, handler, overlap=handling.overlap, retry=handling.retry)
        except SignalTableError:
            if signum is not None:
                raise
        else:
            return number
