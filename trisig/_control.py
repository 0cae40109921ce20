"""What children ask of the master, and the answers. Each answer is given at once; nothing here waits.

A child is trusted as far as its own mistakes go: whatever it sends wrongly is answered with an error, and
changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from ._asking import Message, answer_of
from ._late import LateHandlers
from ._sources import EventSource
from ._table import Entry, Table
from ._targets import Topology, parse
from ._waits import WaitDesk

log = logging.getLogger("trisig")


class Asker(Protocol):
    """The child that asks, as the master knows it."""

    name: str

    def said_hello(self) -> None: ...
    def said_ready(self) -> None: ...
    def said_quiet(self) -> None: ...
    def said_leave(self) -> None: ...
    def said_failed(self, traceback: str, summary: str) -> None: ...
    def push(self, message: Message) -> None: ...


class Sources(Protocol):
    """The event sources of the master."""

    def add(self, source: EventSource) -> None: ...
    def add_spec(self, spec: dict[str, Any], owner: str) -> None: ...
    def remove(self, key: str) -> None: ...
    def end_with(self, signum: int) -> None: ...


class Control:
    """Answers the children's requests.

    Args:
        changed: called after the table has changed.
        forget: told when a child has unregistered what the application had declared.
    """

    def __init__(
        self,
        topology: Topology,
        table: Table,
        desk: WaitDesk,
        late: LateHandlers,
        sources: Sources,
        changed: Callable[[], None],
        forget: Callable[[int], object],
    ) -> None:
        self._topology = topology
        self._table = table
        self._desk = desk
        self._late = late
        self._sources = sources
        self._changed = changed
        self._forget = forget
        self.draining = False
        self._known: dict[str, Callable[..., object]] = {
            "hello": self._hello,
            "ready": self._ready,
            "quiet": self._quiet,
            "leave": self._leave,
            "failed": self._failed,
            "register": self._register,
            "unregister": self._unregister,
            "wait": self._wait,
            "end_wait": self._end_wait,
            "add_source": self._add_source,
            "remove_source": self._remove_source,
        }

    def answer(self, asker: Asker, message: Message) -> Message | None:
        """Do what a child asks; the answer to send, or None where none is expected."""
        posted = message.pop("post", False)
        try:
            answer: Message = {"answer": self._known[message.pop("do")](asker, **message)}
        except Exception as error:
            if posted:
                log.exception("%s: a message that the master cannot use", asker.name)
            answer = answer_of(error)
        return None if posted else answer

    def _hello(self, asker: Asker) -> Message:
        asker.said_hello()
        for message in self._late.all():
            asker.push(message)
        return {"draining": self.draining}

    def _ready(self, asker: Asker) -> None:
        asker.said_ready()

    def _quiet(self, asker: Asker) -> None:
        asker.said_quiet()

    def _leave(self, asker: Asker) -> None:
        asker.said_leave()

    def _failed(self, asker: Asker, traceback: str, summary: str) -> None:
        asker.said_failed(traceback, summary)

    def _register(self, asker: Asker, signum: int, target: str) -> int:
        parsed = parse(target)
        self._topology.members(parsed)
        change = self._table.register(signum, Entry(parsed, asker.name))
        self._late.drop(signum)
        self._changed()
        return change

    def _unregister(self, _asker: Asker, signum: int) -> None:
        self._table.unregister(signum)
        self._sources.end_with(signum)
        self._forget(signum)
        self._changed()

    def _wait(self, asker: Asker, key: int, signum: int | None) -> None:
        self._desk.ask(asker.name, key, signum)

    def _end_wait(self, asker: Asker, key: int, *, took: bool) -> None:
        self._desk.end(asker.name, key, took=took)

    def _add_source(self, asker: Asker, spec: dict[str, Any]) -> None:
        self._sources.add_spec(spec, asker.name)

    def _remove_source(self, _asker: Asker, key: str) -> None:
        self._sources.remove(key)
