"""What is seen of the storm: memory that every process shares, and what the master's process notes."""

import mmap
from array import array
from collections import Counter, defaultdict

import trisig
from trisig._model.lane import STARTED, WINDOW

from .plan import QUEUES, RAISERS, SLOTS

_PLACES = 2**40  # an id is the number of its queue times this, and its place there


def _words(count: int) -> memoryview:
    return memoryview(mmap.mmap(-1, count * 8)).cast("Q")


class Evidence(trisig.Instrument):
    """Counts that outlive the processes which make them.

    Attributes:
        returned: raises that returned, by raiser.
        echoed: raises of handlers that returned, by slot.
        allowed: how many signals each raiser may have raised.
        death_wish: by slot, 1: the next handler kills its process before its effect, 2: after it.
        executions: by queue, how often the handler ran for each place.
        disorder: by slot, how often one of its own signals came after a younger one.
        raw: what reached the dispatcher, in order.
        queued_in: by queue, what was put into it, in order.
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
        self.raw = bytearray()
        self.queued_in: defaultdict[str, bytearray] = defaultdict(bytearray)
        self.unfinished: Counter[tuple[str, int]] = Counter()

    # In the master

    def raised(self, process: str, signals: bytes) -> None:
        """Note what reached the dispatcher."""
        self.raw += signals

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        """Note what joins a queue."""
        assert position == len(self.queued_in[destination]), "two signals share a place"
        self.queued_in[destination] += signals

    def process_started(self, process: trisig.ProcessInfo) -> None:
        """Forget what the last process in this slot ran."""
        self._next[SLOTS.index(process.name)] = 0

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        """Note the ids of signals, before they are written to the pipe."""
        ids = self._ids[SLOTS.index(process)]
        first = QUEUES.index(destination) * _PLACES + position
        index, size = number % WINDOW, len(signals)
        head = min(size, WINDOW - index)
        ids[index : index + head] = memoryview(array("Q", range(first, first + head)))
        ids[: size - head] = memoryview(array("Q", range(first + head, first + size)))

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        """Note a start that was found unfinished."""
        if blamed:
            self.unfinished[destination, position] += 1

    def dead_lettered(self, letter: trisig.DeadLetter, position: int) -> None:
        """Note the last unfinished start of a signal that is given up."""
        self.unfinished[letter.destination, position] += 1

    def missing(self) -> int:
        """How many of the signals in the queues were not executed yet."""
        return sum(self.executions[queue][: len(self.queued_in[name])].count(0) for queue, name in enumerate(QUEUES))

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
