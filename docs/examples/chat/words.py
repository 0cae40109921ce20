"""What people type, made safe to store and to show: pure functions, no I/O.

A text reaches browsers, which show it as text and nothing else, and terminals, which would obey the escape sequences
in it. So control characters go at the door. So do the characters that turn the direction of what follows them: one
of them would mirror the rest of the line, the names of others included.

`page/words.js` has the same rules for names, rooms and commands, so that the page can say at once what is wrong.
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
# Format characters, spaces and marks show nothing on their own. Nor do some that Unicode counts as letters.
_SHOWS_NOTHING = frozenset({"Cf", "Zs", "Mn", "Me"})
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_BLANK_LINES = 2  # in a row
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
    """Say something in the room; an empty text is nothing."""

    body: str
    nonce: str | None


@dataclass(frozen=True)
class Older:
    """Show what was said before a message."""

    before: int


Request = Join | Say | Older


def clean_text(text: str) -> str:
    """A message without what could harm a reader; empty if there is nothing to see in it.

    Raises:
        BadInput: it is too long.
    """
    for separator, plain in _SEPARATORS.items():
        text = text.replace(separator, plain)
    text = _fold("".join(filter(_is_harmless, text)))
    if len(text) > MAX_TEXT:
        raise BadInput(f"This message has {len(text)} characters; the limit is {MAX_TEXT}. It was not sent.")
    return text


def _is_harmless(character: str) -> bool:
    if character in _TURNS_DIRECTION:
        return False
    return character == "\n" or unicodedata.category(character) not in {"Cc", "Cs"}


def _fold(text: str) -> str:
    """Without blank lines around it, and with few of them in a row."""
    lines: list[str] = []
    blank = 0
    for line in text.split("\n"):
        blank = blank + 1 if _is_blank(line) else 0
        if blank == 0:
            lines.append(line)
        elif lines and blank <= _BLANK_LINES:
            lines.append("")
    return "\n".join(lines).strip()


def _is_blank(line: str) -> bool:
    return all(unicodedata.category(character) in _SHOWS_NOTHING or character in _BLANK_LETTERS for character in line)


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
        raise BadInput("The name of a room has 1 to 32 letters, digits, dashes or underscores.")
    return room


def split_command(line: str) -> tuple[str, str]:
    """The command that a line begins with, and the rest of it; no command if it is something to say."""
    if not line.startswith("/"):
        return "", line
    if line.startswith("//"):
        return "", line[1:]
    command, _, rest = line.partition(" ")
    return command.lower(), rest.strip()


def parse(frame: str) -> Request:
    """What the page asks for.

    Raises:
        BadInput: the frame is not one that the page would send.
    """
    asked = _object(frame)
    match asked.get("type"):
        case "join":
            since = None if asked.get("since") is None else _id(asked, "since")
            return Join(
                clean_name(_text(asked, "name")), clean_room(_text(asked, "room")), _token(asked, "client"), since
            )
        case "say":
            return _say(_text(asked, "body"), _token(asked, "nonce"))
        case "older":
            return Older(_id(asked, "before"))
    raise _not_ours()


def _not_ours() -> BadInput:
    """The person at the page did nothing wrong, and can do nothing with the name of a field."""
    return BadInput("This page is out of date. Reload it, please.")


def _object(frame: str) -> dict[str, Any]:
    try:
        asked = json.loads(frame)
    except (ValueError, RecursionError):
        raise _not_ours() from None
    if not isinstance(asked, dict):
        raise _not_ours()
    return asked


def _say(body: str, nonce: str) -> Say:
    try:
        return Say(clean_text(body), nonce)
    except BadInput as problem:
        raise BadInput(str(problem), nonce) from None


def _text(asked: dict[str, Any], field: str) -> str:
    value = asked.get(field)
    if not isinstance(value, str):
        raise _not_ours()
    return value


def _token(asked: dict[str, Any], field: str) -> str:
    value = _text(asked, field)
    if not _NONCE.fullmatch(value):
        raise _not_ours()
    return value


def _id(asked: dict[str, Any], field: str) -> int:
    value = asked.get(field)
    if type(value) is not int or not 0 <= value <= LARGEST_ID:
        raise _not_ours()
    return value
