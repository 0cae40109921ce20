"""Handlers that are registered in the master while it runs, on their way to the children. Pure.

The master sends each one to all children, and to a new child all that there have been. A word in shared memory counts
them, so a child knows when one is still on its way, and waits for it before it runs another signal. A handler may be
larger than a message, so it travels in parts.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from ._asking import Message

_PART = 65_536  # characters of a handler in one message


class LateHandlers:
    """What the master has sent.

    Args:
        word: shared with the children, counts the registrations.
        push: sends a message to every child.
    """

    def __init__(self, word: memoryview, push: Callable[[Message], None]) -> None:
        self._word = word
        self._push = push
        self._sent: dict[int, list[Message]] = {}  # by signal number, the latest registration last

    def add(self, signum: int, packed: bytes, change: int) -> None:
        """Send a handler to all.

        Args:
            signum: of the signal.
            packed: the handler.
            change: which change of the table registered it.
        """
        self._word[0] += 1
        self._sent[signum] = [*_parts(signum, packed, change)]
        for message in (*self._sent[signum], self._all_known()):
            self._push(message)

    def drop(self, signum: int) -> None:
        """Send it no more: a child has registered a handler of its own."""
        self._sent.pop(signum, None)

    def all(self) -> Iterator[Message]:
        """What a new child has to be sent."""
        for messages in self._sent.values():
            yield from messages
        yield self._all_known()

    def _all_known(self) -> Message:
        return {"do": "known", "count": self._word[0]}


def _parts(signum: int, packed: bytes, change: int) -> Iterator[Message]:
    text = base64.b64encode(packed).decode()
    for start in range(0, len(text), _PART):
        more = start + _PART < len(text)
        yield {"do": "late", "signum": signum, "handler": text[start : start + _PART], "more": more, "change": change}


class Arriving:
    """Puts the parts of a handler together again, in a child."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, message: Message) -> bytes | None:
        """Take a message; the packed handler once it is complete."""
        self._parts.append(message["handler"])
        if message["more"]:
            return None
        text = "".join(self._parts)
        self._parts.clear()
        return base64.b64decode(text)
