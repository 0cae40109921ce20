"""The signals of this node that wait for the cluster to have them. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from trisig._model.destination import Destination
from trisig._model.invocation import Invocation
from trisig._model.ledger import Ledger
from trisig._model.once import Once
from trisig._model.process import CLUSTER
from trisig._model.queue import Queue

from .engine import MOST_BYTES, Outbound

_BATCH = 1000  # signals in one transaction


class Outgoing(Destination):
    """A queue that is emptied in batches, each of which is finished when it is stored.

    Args:
        ledger: the counters to keep.
        node_of: says for which node a number is, by the table.
        node_of_task: says for which node a task is, by its index.
        stir: called when there is something to store.

    Attributes:
        is_connected: whether a database takes batches.
    """

    def __init__(
        self,
        ledger: Ledger,
        node_of: Callable[[int], str],
        node_of_task: Callable[[int], str],
        stir: Callable[[], object],
    ) -> None:
        self._ledger = ledger
        self._node_of_task = node_of_task
        self._node_of = node_of
        self._stir = stir
        self.queue = Queue(CLUSTER, shared=True, ranked=False, takes_turns=False)
        self.is_connected = False
        self._start, self._batch = 0, b""
        self._stored = 0  # positions below it are
        self._waiting: deque[tuple[int, Callable[[], object]]] = deque()

    @property
    def has_batch(self) -> bool:
        """Whether there is something to store."""
        return bool(self._batch or len(self.queue))

    @property
    def in_flight(self) -> int:
        """How many are being stored."""
        return len(self._batch)

    @property
    def deliverable(self) -> int:
        """All, if there is a database; else not even what is in flight comes to its end."""
        return len(self.queue) if self.is_connected else -self.in_flight

    def deliver(self) -> None:
        """Have the next batch stored."""
        self._stir()

    def batch(self, now: float) -> list[Outbound]:
        """The batch to store now: the last one again if that was not stored; without what is too late by now.

        Args:
            now: the time, in seconds since the epoch.
        """
        if not self._batch and len(self.queue):
            most = self.queue.within(_BATCH, MOST_BYTES) if self.queue.invocations else _BATCH
            self._start, self._batch = self.queue.take(most)
        outbound = (self._outbound(position, signum) for position, signum in enumerate(self._batch, self._start))
        return [one for one in outbound if one.once is None or not one.once.is_too_late(now)]

    def _outbound(self, position: int, signum: int) -> Outbound:
        note = self.queue.notes.get(position)
        task = self.queue.invocations.get(position)
        if task is None:
            return Outbound(signum, self._node_of(signum), None if note is None else note.once)
        name = str(self._ledger.name_at(self.queue, position, signum))
        due = 0.0 if note is None else note.due
        return Outbound(None, self._node_of_task(task.task), None, name, task.arguments, task.priority, due)

    def stored(self) -> None:
        """The batch is stored."""
        start, batch, self._batch = self._start, self._batch, b""
        self._ledger.finish(self.queue, start, batch, CLUSTER)
        self._stored = start + len(batch)
        while self._waiting and self._waiting[0][0] <= self._stored:
            self._waiting.popleft()[1]()

    def call_when_stored(self, callback: Callable[[], object]) -> None:
        """Call a function once all is stored that has been accepted until now."""
        if not len(self.queue) and not self._batch:
            callback()
        else:
            self._waiting.append((self.queue.reach, callback))

    def accept_once(self, signum: int, once: Once) -> None:
        """Take over a signal that the cluster lets through once."""
        position = self.queue.reach
        self._ledger.accept(self.queue, bytes((signum,)))
        self.queue.note(position).once = once
        self.deliver()

    def accept_tasks(self, invocations: Sequence[Invocation], due: float) -> None:
        """Take over tasks, which the cluster keeps until they are due.

        Args:
            invocations: all of one task, and of one priority.
            due: in seconds since the epoch; 0 for at once.
        """
        start = self.queue.reach
        self._ledger.accept_tasks(self.queue, invocations, due)
        for position in range(start, self.queue.reach) if due else ():
            self.queue.note(position).due = due
