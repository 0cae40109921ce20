"""What a client is shown, in two forms: JSON for the page and lines for a terminal.

One `Event` is one row of the table of that name, the same for everybody. Both forms are made once a process, however
many clients are shown it. The others are for one client alone.
"""

from __future__ import annotations

import abc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

from words import MAX_TEXT

Kind = Literal["text", "join", "leave", "time", "motd"]

OVERHEAD = 200  # characters around a text, about
IDLE = "idle"
RENAMED = "="


class Shown(abc.ABC):
    """Something to show."""

    @property
    @abc.abstractmethod
    def json(self) -> str:
        """As the page reads it."""

    @property
    def lines(self) -> str:
        """As a terminal shows it; empty where it shows nothing."""
        return ""

    @property
    def size(self) -> int:
        """About how many characters it has."""
        return OVERHEAD


def dump(kind: str, **values: Any) -> str:
    """One JSON object on one line."""
    return json.dumps({"kind": kind, **values}, default=shallow, ensure_ascii=False, separators=(",", ":"))


def shallow(record: Any) -> dict[str, Any]:
    """The fields of a dataclass, not copied as `asdict` would: a room may have a thousand people."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


@dataclass(frozen=True)
class Event(Shown):
    """Something that happened, for everyone in the room, or for everyone.

    The body of a "join" is the room in which the person was before, under the same name or another. The body of a
    "leave" is `IDLE` or `RENAMED` and the new name, if it is one of those.
    """

    id: int
    kind: Kind
    room: str
    name: str
    worker: int
    body: str
    at: float
    nonce: str | None

    @property
    def json(self) -> str:
        """See `Shown`; made once."""
        return self._json

    @property
    def lines(self) -> str:
        """See `Shown`; made once."""
        return self._lines

    @cached_property
    def _json(self) -> str:
        return dump(**shallow(self))

    @cached_property
    def _lines(self) -> str:
        match self.kind:
            case "text":
                # A second line must not look like the first one of somebody else.
                body = self.body.replace("\n", "\n      | ")
                return f"{clock(self.at)} {self.name}: {body}\n"
            case "time" | "motd":
                return starred(self.body)
            case "join":
                return "" if self.body == self.room else starred(f"{self.name} joined #{self.room}.")
            case "leave" if self.body.startswith(RENAMED):
                return starred(f"{self.name} is now {self.body.removeprefix(RENAMED)}.")
            case "leave":
                return starred(f"{self.name} left.")

    @property
    def size(self) -> int:
        """See `Shown`."""
        return OVERHEAD + len(self.body)

    def is_seen_in(self, room: str) -> bool:
        """Whether it happened there. For people who only change rooms, both rooms count."""
        return self.kind in {"time", "motd"} or room == self.room or (self.kind == "join" and room == self.body)


@dataclass(frozen=True)
class Person:
    """Somebody who is here."""

    name: str
    room: str
    worker: int


@dataclass(frozen=True)
class Welcome(Shown):
    """Opens a room to a client."""

    you: str
    room: str
    worker: int
    motd: str
    people: Sequence[Person]
    fresh: bool  # what the client has of this room is to be forgotten
    messages: Sequence[Event]  # the last ones, for somebody to whom the room is fresh
    more: bool  # there are older ones than those
    taken: str  # the name that was asked for and is somebody else's; empty if it was free

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump("welcome", **shallow(self), longest=MAX_TEXT)

    @property
    def lines(self) -> str:
        """See `Shown`; what somebody new should read is below the history, where a terminal shows it."""
        history = "".join(event.lines for event in self.messages)
        here = ", ".join(person.name for person in self.people if person.room == self.room)
        taken = f"The name {self.taken} is taken; /name NAME chooses another one." if self.taken else ""
        you = f"You are {self.you}, in #{self.room}, on worker {self.worker}. Here: {here}. /help shows the commands."
        return history + starred(self.motd) + starred(taken) + starred(you)

    @property
    def size(self) -> int:
        """See `Shown`."""
        return OVERHEAD + sum(event.size for event in self.messages) + OVERHEAD * len(self.people) // 4


@dataclass(frozen=True)
class Page(Shown):
    """Older messages that a client asked for."""

    room: str
    messages: Sequence[Event]
    more: bool

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump("older", **shallow(self))

    @property
    def size(self) -> int:
        """See `Shown`."""
        return sum(event.size for event in self.messages)


@dataclass(frozen=True)
class Receipt(Shown):
    """A message need not be sent again. If it is new, it will be shown soon; if not, it was shown or is nothing."""

    nonce: str
    is_new: bool

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump("receipt", **shallow(self))


@dataclass(frozen=True)
class Notice(Shown):
    """A word to one client. `kind` "bye" is the last one; "idle" is too, and asks not to come back by itself."""

    body: str
    kind: Literal["notice", "bye", "idle"] = "notice"
    nonce: str | None = None

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump(self.kind, body=self.body, nonce=self.nonce)

    @property
    def lines(self) -> str:
        """See `Shown`."""
        return starred(self.body)


def starred(body: str) -> str:
    """Lines that nobody said."""
    return "".join(f"* {line}\n" for line in body.splitlines())


def clock(at: float) -> str:
    """The local time of day."""
    return time.strftime("%H:%M", time.localtime(at))
