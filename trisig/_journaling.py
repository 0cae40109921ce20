"""The master's side of its journal, and what is done instead where it has none."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from ._dispatcher import Dispatcher
from ._journal import Journal
from ._ledger import LaneRecord
from ._raiser import Outbox
from ._recovery import Pending
from ._slots import is_copy
from ._table import Table

log = logging.getLogger("trisig")


class Journaling:
    """Accepts what was raised, by way of the journal if there is one.

    Args:
        journal: None for none.
        indexes: the numbers of the child processes by name; any other name stands for the master.
        dispatcher: what accepted signals go through.
        table: the signal table.
    """

    def __init__(
        self, journal: Journal | None, indexes: Mapping[str, int], dispatcher: Dispatcher, table: Table
    ) -> None:
        self._journal = journal
        self._indexes = indexes
        self._dispatcher = dispatcher
        self._table = table

    @property
    def keeps(self) -> bool:
        """Whether there is a journal."""
        return self._journal is not None

    @property
    def missed(self) -> int:
        """How many signals the journal had no room for."""
        return self._journal.missed if self._journal else 0

    def accept(self, name: str, signals: bytes) -> None:
        """A process has raised signals."""
        if self._journal is None:
            self._dispatcher.accept(signals)
            return
        index = self._index(name)
        self._journal.begin(index)
        self._dispatcher.accept(signals, partial(self._journal.commit, index, len(signals)))

    def outbox(self, name: str) -> Outbox | None:
        """Where a process notes what it raises."""
        return self._journal.outboxes[self._index(name)] if self._journal else None

    def record(self, name: str) -> LaneRecord | None:
        """Where it is noted what the numbers in the lane of a process stand for."""
        return self._journal.flights[self._indexes[name]] if self._journal else None

    def begins(self, name: str) -> None:
        """A slot is about to be filled anew."""
        if self._journal is not None:
            self._journal.restart(self._indexes[name])

    def go_on_with(self, pending: Pending) -> None:
        """Take over what an earlier master left, and put the journal in the place of the one that it left.

        Raises:
            OSError: there is no room for it; the one that it left is as it was.
        """
        for name, waiting in pending.queues.items():
            if not self._dispatcher.restore(name, waiting):
                self._raise_anew(name, waiting)
        for raised in pending.raised:
            self._dispatcher.accept(raised)
        if self._journal is not None:
            self._journal.publish()

    def close(self) -> None:
        """Let go of the file."""
        if self._journal is not None:
            self._journal.close()

    def _index(self, name: str) -> int:
        return self._indexes.get(name, len(self._indexes))

    def _raise_anew(self, name: str, waiting: bytes) -> None:
        """Signals wait for a process that this topology lacks: the table says where they go now.

        But for what all of its kind shall run: those that there are have copies of their own.
        """
        copies = bytes(signum for signum, entry in self._table if is_copy(entry.target, name))
        left = waiting.translate(None, copies)
        if dropped := len(waiting) - len(left):
            log.warning("master: %d signals for all are not given to %s, which there is no more", dropped, name)
        if left:
            self._dispatcher.accept(left)
