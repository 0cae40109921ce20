"""What is to be done with the jobs of a spool, and when. Knows no file, no clock and no process."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .directory import Entry

SECOND_LOOK_NS = 50_000_000
REFUSED_LOOK_NS = 60_000_000_000
_AT_ONCE = 4096  # jobs that become due in one step, which a hundred thousand of them must not prolong


class _Held(msgspec.Struct):
    """A job that is being looked at, or waits for a process, or runs."""

    entry: Entry
    stirred: bool = False  # something has happened to its file meanwhile


class Agenda:
    """The jobs that are known.

        noted -> due -> held: routed -> handed -> released -> noted again, or forgotten

    A job that somebody else has locked is looked at twice: when its file is closed, the kernel says so a moment before
    it takes the lock away. After that the next event tells.
    """

    def __init__(self) -> None:
        self._waiting: dict[Path, Entry] = {}
        self._by_due: list[tuple[int, Entry]] = []
        self._due: list[Entry] = []
        self._held: dict[Path, _Held] = {}
        self._ready: dict[str, list[tuple[Entry, int]]] = {}
        self._handed: Counter[str] = Counter()
        self._locked: set[Path] = set()
        self._refused: dict[Path, tuple[int, str]] = {}

    @property
    def waiting(self) -> int:
        """Jobs that nobody runs: not due, or due and in line."""
        return len(self._waiting) + len(self._held) - self.running

    @property
    def running(self) -> int:
        """Jobs that were handed to a destination."""
        return self._handed.total()

    @property
    def next_due_ns(self) -> float:
        """When the next job is due; infinity if there is none."""
        if self._due:
            return 0
        return self._by_due[0][0] if self._by_due else math.inf

    # What the directory says

    def note(self, entry: Entry) -> None:
        """There is a job, or something has happened to it."""
        if (held := self._held.get(entry.path)) is not None:
            held.stirred = True
        elif self._refused.get(entry.path, (-1, ""))[0] != entry.changed_ns and self._waiting.get(entry.path) != entry:
            self._wait(entry, entry.due_ns)  # else the event may be our own attempt to have it

    def _wait(self, entry: Entry, until_ns: int) -> None:
        self._waiting[entry.path] = entry
        heapq.heappush(self._by_due, (until_ns, entry))

    def take_due(self, now_ns: int, most: int) -> list[Entry]:
        """The most urgent of the jobs that are due now, which are held from here on; some of them, if they are many."""
        for _ in range(_AT_ONCE):
            if not self._by_due or self._by_due[0][0] > now_ns:
                break
            heapq.heappush(self._due, heapq.heappop(self._by_due)[1])
        taken: list[Entry] = []
        while self._due and len(taken) < most:
            entry = heapq.heappop(self._due)
            if self._waiting.get(entry.path) is entry:  # and not what it was before
                del self._waiting[entry.path]
                self._held[entry.path] = _Held(entry)
                taken.append(entry)
        return taken

    # What becomes of those that are held

    def route(self, entry: Entry, task: int, destination: str) -> None:
        """A task of a destination runs this job."""
        heapq.heappush(self._ready.setdefault(destination, []), (entry, task))

    def hand_out(self, destination: str, capacity: int) -> Iterator[tuple[Entry, int]]:
        """The jobs that a destination can run now, with their tasks, the most urgent first.

        Args:
            destination: its name.
            capacity: how many it runs at a time.
        """
        ready = self._ready.get(destination, [])
        while ready and self._handed[destination] < capacity:
            self._handed[destination] += 1
            yield heapq.heappop(ready)

    def destinations(self) -> list[str]:
        """Those for which jobs are ready."""
        return [name for name, ready in self._ready.items() if ready]

    def returned(self, destination: str) -> None:
        """A destination has finished a job, one way or another."""
        self._handed[destination] -= 1

    def release(self, entry: Entry) -> bool:
        """Hold a job no longer; whether something has happened to its file meanwhile."""
        return self._held.pop(entry.path).stirred

    def locked(self, entry: Entry, now_ns: int) -> None:
        """Somebody else has a job that was released."""
        if entry.path in self._locked:
            self._locked.discard(entry.path)
        else:
            self._locked.add(entry.path)
            self._wait(entry, now_ns + SECOND_LOOK_NS)

    def refused(self, entry: Entry, reason: str, now_ns: int) -> bool:
        """A job that was released cannot be had; whether that is news."""
        before = self._refused.get(entry.path, (0, ""))[1]
        self._refused[entry.path] = entry.changed_ns, reason
        self._wait(entry, now_ns + REFUSED_LOOK_NS)
        return reason != before

    def had(self, entry: Entry) -> None:
        """A job was neither locked nor refused."""
        self._locked.discard(entry.path)
        self._refused.pop(entry.path, None)
