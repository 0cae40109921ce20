"""What is seen of the storm: memory that every process shares, and what the master's process notes."""

import mmap
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from trisig._dispatcher import Dispatcher, Slot
from trisig._ledger import STARTED, WINDOW, DeadLetter, Lane, Ledger, Queue

from .plan import QUEUES, RAISERS, SLOTS

_PLACES = 2**40  # an id is the number of its queue times this, and its place there


def _words(count: int) -> memoryview:
    return memoryview(mmap.mmap(-1, count * 8)).cast("Q")


class Evidence:
    """Counts that outlive the processes which make them.

    Attributes:
        returned: raises that returned, by raiser.
        echoed: raises of handlers that returned, by slot.
        allowed: how many signals each raiser may have raised.
        death_wish: by slot, 1: the next handler kills its process before its effect, 2: after it.
        executions: by queue, how often the handler ran for each place.
        disorder: by slot, how often one of its own signals came after a younger one.
        raw: what reached the dispatcher, in order.
        queued: by queue, what was put into it, in order.
        unfinished: how often a start of an id was found unfinished, by queue and place.
    """

    def __init__(self, capacity: int) -> None:
        self.returned = _words(len(RAISERS))
        self.echoed = _words(len(SLOTS))
        self.allowed = _words(len(RAISERS))
        self.death_wish = _words(len(SLOTS))
        self.disorder = _words(len(SLOTS))
        self.executions = [mmap.mmap(-1, capacity) for _ in QUEUES]
        self._next = _words(len(SLOTS))
        self._ids = [_words(WINDOW) for _ in SLOTS]
        self._slots: dict[int, int] = {}
        self.raw = bytearray()
        self.queued: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.unfinished: Counter[tuple[str, int]] = Counter()

    # In the master

    def begin(self, slot: str, marks: object) -> None:
        """A new process fills a slot."""
        self._slots[id(marks)] = SLOTS.index(slot)
        self._next[SLOTS.index(slot)] = 0

    def note_sent(self, lane: Lane) -> None:
        """Note the ids of what the lane took last, before it is written to the pipe."""
        flight, ids = lane._flights[-1], self._ids[self._slots[id(lane._marks)]]
        first = QUEUES.index(flight.queue.name) * _PLACES + flight.start
        index, size = flight.number % WINDOW, len(flight.data)
        head = min(size, WINDOW - index)
        ids[index : index + head] = memoryview(array("Q", range(first, first + head)))
        ids[: size - head] = memoryview(array("Q", range(first + head, first + size)))

    def missing(self) -> int:
        """How many of the signals in the queues were not executed yet."""
        return sum(self.executions[queue][: len(self.queued[name])].count(0) for queue, name in enumerate(QUEUES))

    # In a child

    def identify(self, slot: int, marks: memoryview) -> tuple[int, int]:
        """The queue and place of the signal whose handler is being called."""
        queue, place = divmod(self._ids[slot][bytes(marks).index(STARTED)], _PLACES)
        if queue == slot:  # of its own queue, which is in order
            if place < self._next[slot]:
                self.disorder[slot] += 1
            self._next[slot] = place + 1
        return queue, place

    def count(self, queue: int, place: int) -> None:
        self.executions[queue][place] += 1


@contextmanager
def watching(evidence: Evidence) -> Iterator[None]:
    """Have the accounting of the masters made meanwhile seen from outside; it goes on as before."""
    accept, queue, send, attach = Dispatcher.accept, Ledger.accept, Lane.send, Dispatcher.attach
    blame = Ledger.blame

    def accept_seen(dispatcher: Dispatcher, signals: bytes, *rest: Any) -> None:
        evidence.raw += signals
        accept(dispatcher, signals, *rest)

    def queue_seen(ledger: Ledger, into: Queue, data: bytes) -> None:
        evidence.queued[into.name] += data
        queue(ledger, into, data)

    def attach_seen(dispatcher: Dispatcher, slot: Slot, *rest: Any) -> None:
        evidence.begin(slot.name, slot.memory.marks)
        attach(dispatcher, slot, *rest)

    def send_seen(lane: Lane, source: Queue, limit: int) -> bytes:
        data = send(lane, source, limit)
        evidence.note_sent(lane)
        return data

    def blame_seen(ledger: Ledger, source: Queue, place: int, signum: int) -> DeadLetter | None:
        evidence.unfinished[source.name, place] += 1
        return blame(ledger, source, place, signum)

    with (
        patch.object(Ledger, "blame", blame_seen),
        patch.object(Dispatcher, "accept", accept_seen),
        patch.object(Ledger, "accept", queue_seen),
        patch.object(Lane, "send", send_seen),
        patch.object(Dispatcher, "attach", attach_seen),
    ):
        yield
