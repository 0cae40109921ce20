"""What was given up and not forgotten. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from .dead_letter import DeadLetter

MOST = 10_000  # letters that are kept; the oldest is forgotten for a new one


class DeadLetterBook:
    """The dead letters of one master, the oldest first.

    Args:
        clock: the time, in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._letters: dict[str, DeadLetter] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters.values()))

    def __getitem__(self, letter_id: str) -> DeadLetter:
        """The letter with an id.

        Raises:
            KeyError: there is none.
        """
        return self._letters[letter_id]

    def dated(self, letter: DeadLetter) -> DeadLetter:
        """A letter with the next id, given up now unless it was before."""
        return dataclasses.replace(letter, id=str(self._next), at=letter.at or self._clock())

    def add(self, letter: DeadLetter) -> None:
        """Keep a letter that `dated` made."""
        self._next = int(letter.id) + 1
        self._letters[letter.id] = letter

    def remove(self, letter: DeadLetter) -> None:
        """Forget a letter."""
        del self._letters[letter.id]

    @property
    def oldest_in_excess(self) -> DeadLetter | None:
        """What has to be forgotten, if there are too many."""
        return next(iter(self._letters.values())) if len(self._letters) > MOST else None
