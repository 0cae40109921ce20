"""What a client is shown, in two forms: JSON for the page and lines for a terminal.

One `Event` is one row of the table of that name, the same for everybody. Both forms are made once a process, however
many clients are shown it. The others are for one client alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from words import MAX_TEXT

Kind = Literal["text", "join", "leave", "time", "motd"]


class Shown(Protocol):
    """Something to show."""

    @property
    def json(self) -> str:
        """As the page reads it."""
        raise NotImplementedError

    @property
    def lines(self) -> str:
        """As a terminal shows it; empty where it shows nothing."""
        raise NotImplementedError


def dump(kind: str, **fields: Any) -> str:
    """One JSON object on one line."""
    return json.dumps({"kind": kind, **fields}, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Event:
    """Something that happened, for everyone in the room, or for everyone."""

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
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def _lines(self) -> str:
        match self.kind:
            case "text":
                # A second line must not look like the first one of somebody else.
                body = self.body.replace("\n", "\n      | ")
                return f"{clock(self.at)} {self.name}: {body}\n"
            case "time" | "motd":
                return starred(self.body)
        return ""


@dataclass(frozen=True)
class Person:
    """Somebody who is here."""

    name: str
    room: str
    worker: int


@dataclass(frozen=True)
class Welcome:
    """Opens a room to a client: what it needs before the messages."""

    you: str
    room: str
    worker: int
    motd: str
    people: Sequence[Person]
    fresh: bool  # what the client has of this room is to be forgotten
    more: bool  # there are older messages than those that follow

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump("welcome", **asdict(self), longest=MAX_TEXT)

    @property
    def lines(self) -> str:
        """See `Shown`."""
        here = ", ".join(person.name for person in self.people if person.room == self.room)
        greeting = starred(self.motd) if self.motd else ""
        return f"{greeting}* You are {self.you}, in #{self.room}, on worker{self.worker}. Here: {here}. /help helps.\n"


@dataclass(frozen=True)
class Page:
    """Older messages that a client asked for."""

    room: str
    messages: Sequence[Event]
    more: bool

    @property
    def json(self) -> str:
        """See `Shown`."""
        return dump("older", room=self.room, messages=[asdict(event) for event in self.messages], more=self.more)

    @property
    def lines(self) -> str:
        """See `Shown`."""
        return "".join(event.lines for event in self.messages)


@dataclass(frozen=True)
class Notice:
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
