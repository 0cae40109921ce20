"""Handlers that are registered in the master while it runs, on their way to the children. Pure.

The master sends each one to all children, and all of them to a new child. A word in shared memory counts them, so a
child knows when one is still on its way, and waits for it before it runs another signal. A handler may be larger than
a message, so it travels in parts.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

from .messages import HandlerPart, HandlersSent, Push

_PART_CHARS = 65_536  # characters of a handler in one message


class RuntimeHandlers:
    """The handlers that the master has sent, kept for the processes that it forks later.

    Args:
        word: shared with the children, counts the registrations.
        push: sends a message to every child.
    """

    def __init__(self, word: memoryview, push: Callable[[Push], None]) -> None:
        self._word = word
        self._push = push
        self._count = word[0]
        self._sent: dict[int, list[HandlerPart]] = {}  # by signal number, the latest registration last

    def add(self, signum: int, packed: bytes, change: int) -> None:
        """Send a handler to all children.

        Args:
            signum: the signal's number.
            packed: the handler, pickled.
            change: the change of the table that registers it.
        """
        # The word first: a child that gets the signal before the handler sees that it has to wait for it.
        self._count += 1
        self._word[0] = self._count
        self._sent[signum] = [*_parts(signum, packed, change)]
        for message in (*self._sent[signum], self._all_sent()):
            self._push(message)

    def republish(self) -> None:
        """Write the word anew, because the shared memory has lost its content."""
        self._word[0] = self._count

    def drop(self, signum: int) -> None:
        """Stop sending a handler: a child has registered one of its own for that number."""
        self._sent.pop(signum, None)

    def all(self) -> Iterator[Push]:
        """The messages that a new child needs."""
        for messages in self._sent.values():
            yield from messages
        yield self._all_sent()

    def _all_sent(self) -> HandlersSent:
        return HandlersSent(self._count)


def _parts(signum: int, packed: bytes, change: int) -> Iterator[HandlerPart]:
    text = base64.b64encode(packed).decode()
    for start in range(0, len(text), _PART_CHARS):
        yield HandlerPart(signum, change, text[start : start + _PART_CHARS], start + _PART_CHARS < len(text))


class HandlerAssembler:
    """Puts the parts of a handler together again, in a child."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, message: HandlerPart) -> bytes | None:
        """Take a part; returns the pickled handler once it is complete."""
        self._parts.append(message.part)
        if message.more:
            return None
        text = "".join(self._parts)
        self._parts.clear()
        return base64.b64decode(text)
