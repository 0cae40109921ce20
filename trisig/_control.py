"""What children ask of the master, and the answers. Each answer is given at once; nothing here waits.

A child is trusted as far as its own mistakes go: whatever it sends wrongly is answered with an error, and
changes nothing.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any, Protocol

from ._asking import Message, answer_of
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
    def said_failed(self, traceback: str) -> None: ...


class Sources(Protocol):
    """The event sources of the master."""

    def add(self, source: EventSource) -> int: ...
    def add_spec(self, spec: dict[str, Any]) -> int: ...
    def remove(self, key: int) -> None: ...


class LateHandlers:
    """Handlers that were registered in the master while it ran, packed, by signal number.

    Args:
        word: shared with the children, counts the registrations, so that a child knows what it lacks.
        push: sends a message to every child.
    """

    def __init__(self, word: memoryview, push: Callable[[Message], None]) -> None:
        self._word = word
        self._push = push
        self._packed: dict[int, str] = {}

    def add(self, signum: int, packed: bytes) -> None:
        text = base64.b64encode(packed).decode()
        self._packed[signum] = text
        self._word[0] += 1
        self._push({"do": "late", "signum": signum, "handler": text, "count": self._word[0]})

    def all(self) -> Message:
        return {"handlers": self._packed, "count": self._word[0]}


class Control:
    """Answers the children's requests.

    Args:
        changed: called after the table has changed.
    """

    def __init__(
        self,
        topology: Topology,
        table: Table,
        desk: WaitDesk,
        late: LateHandlers,
        sources: Sources,
        changed: Callable[[], None],
    ) -> None:
        self._topology = topology
        self._table = table
        self._desk = desk
        self._late = late
        self._sources = sources
        self._changed = changed
        self._known: dict[str, Callable[..., object]] = {
            "hello": self._hello,
            "ready": self._ready,
            "quiet": self._quiet,
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
        return self._late.all()

    def _ready(self, asker: Asker) -> None:
        asker.said_ready()

    def _quiet(self, asker: Asker) -> None:
        asker.said_quiet()

    def _failed(self, asker: Asker, traceback: str) -> None:
        asker.said_failed(traceback)

    def _register(self, asker: Asker, signum: int, target: str) -> None:
        parsed = parse(target)
        self._topology.members(parsed)
        self._table.register(signum, Entry(parsed, asker.name))
        self._changed()

    def _unregister(self, _asker: Asker, signum: int) -> None:
        self._table.unregister(signum)
        self._changed()

    def _wait(self, asker: Asker, key: int, signum: int | None) -> None:
        self._desk.ask(asker.name, key, signum)

    def _end_wait(self, asker: Asker, key: int, *, took: bool) -> None:
        self._desk.end(asker.name, key, took=took)

    def _add_source(self, _asker: Asker, spec: dict[str, Any]) -> int:
        return self._sources.add_spec(spec)

    def _remove_source(self, _asker: Asker, key: int) -> None:
        self._sources.remove(key)
