"""What people type, made safe to store and to show: pure functions, no I/O.

A text reaches browsers, which show it as text and nothing else, and terminals, which would obey the escape sequences
in it. So control characters go at the door. So do the characters that turn the direction of what follows them: one
of them would mirror the rest of the line, the names of others included.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 2000  # characters
LARGEST_ID = 2**63 - 1

_TURNS_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SEPARATORS = {"\r\n": "\n", "\r": "\n", "\u2028": "\n", "\u2029": "\n", "\t": " "}
_NAME = re.compile(r"[\w.-]{1,24}")
_ROOM = re.compile(r"[\w-]{1,32}")
_NONCE = re.compile(r"[0-9a-zA-Z-]{1,64}")


class BadInput(ValueError):  # noqa: N818  it is no error of the program
    """Something that a client sent cannot be used; the text is for the person who typed it.

    Args:
        why: what is wrong, in words.
        nonce: the message that is refused, if the client gave it a name.
    """

    def __init__(self, why: str, nonce: str | None = None) -> None:
        super().__init__(why)
        self.nonce = nonce


@dataclass(frozen=True)
class Join:
    """Enter a room, or come back to it."""

    name: str
    room: str
    client: str
    since: int | None


@dataclass(frozen=True)
class Say:
    """Say something in the room."""

    body: str
    nonce: str | None


@dataclass(frozen=True)
class Older:
    """Show what was said before a message."""

    before: int


Request = Join | Say | Older


def clean_text(text: str) -> str:
    """A message without what could harm a reader; empty if nothing is left of it.

    Raises:
        BadInput: it is too long.
    """
    for separator, plain in _SEPARATORS.items():
        text = text.replace(separator, plain)
    text = "".join(filter(_is_harmless, text)).strip()
    if len(text) > MAX_TEXT:
        raise BadInput(f"This message has {len(text)} characters, and {MAX_TEXT} is the most. It was not sent.")
    return text


def _is_harmless(character: str) -> bool:
    if character in _TURNS_DIRECTION:
        return False
    return character == "\n" or unicodedata.category(character) not in {"Cc", "Cs"}


def clean_name(name: str) -> str:
    """A name as it is shown.

    Raises:
        BadInput: it cannot be one.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not _NAME.fullmatch(name):
        raise BadInput("A name has 1 to 24 letters, digits, dots, dashes or underscores.")
    return name


def clean_room(room: str) -> str:
    """The name of a room, in small letters.

    Raises:
        BadInput: it cannot be one.
    """
    room = unicodedata.normalize("NFC", room.strip().removeprefix("#").lower())
    if not _ROOM.fullmatch(room):
        raise BadInput("A room has 1 to 32 letters, digits, dashes or underscores.")
    return room


def parse(frame: str) -> Request:
    """What the page asks for.

    Raises:
        BadInput: the frame is not one that the page would send.
    """
    try:
        asked = json.loads(frame)
    except (ValueError, RecursionError):
        raise BadInput("This is not JSON.") from None
    if not isinstance(asked, dict):
        raise BadInput("A request is an object.")
    match asked.get("type"):
        case "join":
            name, room = clean_name(_text(asked, "name")), clean_room(_text(asked, "room"))
            return Join(name, room, _token(asked, "client"), _number(asked, "since", missing_ok=True))
        case "say":
            return _say(_text(asked, "body"), _token(asked, "nonce"))
        case "older":
            return Older(_number(asked, "before") or 0)
    raise BadInput("A request has the type join, say or older.")


def _say(body: str, nonce: str) -> Say:
    try:
        text = clean_text(body)
    except BadInput as problem:
        raise BadInput(str(problem), nonce) from None
    if not text:
        raise BadInput("An empty message is not sent.", nonce)
    return Say(text, nonce)


def _text(asked: dict[str, Any], field: str) -> str:
    value = asked.get(field)
    if not isinstance(value, str):
        raise BadInput(f"{field} is a text.")
    return value


def _token(asked: dict[str, Any], field: str) -> str:
    value = _text(asked, field)
    if not _NONCE.fullmatch(value):
        raise BadInput(f"{field} has 1 to 64 letters, digits or dashes.")
    return value


def _number(asked: dict[str, Any], field: str, *, missing_ok: bool = False) -> int | None:
    value = asked.get(field)
    if value is None and missing_ok:
        return None
    if type(value) is not int or not 0 <= value <= LARGEST_ID:
        raise BadInput(f"{field} is the number of a message.")
    return value
