"""A queue of signals. Pure.

A signal is one byte, and has a position in its queue, which it keeps for life: one that comes back from a dead
process is put where it was. Signals at consecutive positions stand together in chunks, so that millions of them
cost a byte each.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence

from .event import Event
from .invocation import PLACE, UNRANKED, Invocation
from .note import Note

_RARE_NS = 10_000_000  # between two signals


class _Chunk:
    """Signals at consecutive positions."""

    __slots__ = ("data", "start")

    def __init__(self, start: int, data: bytes | bytearray) -> None:
        self.start = start
        self.data = data


class Queue:
    """What waits for one destination: a byte a signal, in order of position.

    Args:
        name: of the destination.
        shared: whether several processes take from it.
        ranked: whether tasks with a priority overtake others.
        takes_turns: whether the rules of `overlap=` hold here.
        chunk: bytes that stand together before a new chunk is begun.

    Attributes:
        attempts: by position, how many processes the handler of that signal has ended.
        invocations: by position, the tasks among what was accepted here and is not finished, queued or in flight.
        notes: by position, likewise, what there is to remember of a signal.
        resting: by position, signals that wait elsewhere than here, for their turn or for the next attempt.
        held: how many of these wait for their turn.
        has_priorities: whether a task with a priority was ever added.
        probe: the position of the one whose queueing time is measured, and the moment at which it was accepted, in
            nanoseconds; None if there is none at the moment.
        next_probe: the first position at which the next one may be.
    """

    def __init__(
        self, name: str, *, shared: bool = False, ranked: bool = True, takes_turns: bool = True, chunk: int = 65_536
    ) -> None:
        self._chunk = chunk
        self.takes_turns = takes_turns
        self.name = name
        self.shared = shared
        self._chunks: deque[_Chunk] = deque()
        self._skip = 0  # bytes of the first chunk that were taken
        self._next = 0
        self._length = 0
        self.attempts: dict[int, int] = {}
        self.invocations: dict[int, Invocation] = {}
        self.notes: dict[int, Note] = {}
        self.resting: dict[int, int] = {}
        self.held = 0
        self.has_priorities = False
        self.probe: tuple[int, int] | None = None
        self.next_probe = 0
        self._probed = 0
        self._ranked = ranked
        self._urgent: list[tuple[int, int]] = []  # priority and position; a heap

    def __len__(self) -> int:
        return self._length

    @property
    def reach(self) -> int:
        """The position of the next signal."""
        return self._next

    def append(self, data: bytes) -> None:
        """Add signals at the end."""
        last = self._chunks[-1] if self._chunks else None
        size = len(data)
        if last is None or len(last.data) >= self._chunk or last.start + len(last.data) != self._next:
            self._chunks.append(_Chunk(self._next, data))
        elif isinstance(last.data, bytearray):
            last.data += data
        else:
            last.data = bytearray(last.data + data)
        self._next += size
        self._length += size

    def append_tasks(self, invocations: Sequence[Invocation]) -> None:
        """Add tasks at the end, a place each, or before what they overtake.

        Args:
            invocations: all of one priority.
        """
        start, count = self._next, len(invocations)
        self.invocations.update(enumerate(invocations, start))
        if not self._ranked or invocations[0].priority == UNRANKED:
            self.append(PLACE * count)
            return
        self.has_priorities = True
        self._next += count
        for position in range(start, start + count):
            self._push(position)

    def _push(self, position: int) -> None:
        heapq.heappush(self._urgent, (self.invocations[position].priority, position))
        self._length += 1

    def _overtakes(self, position: int) -> bool:
        invocation = self.invocations.get(position)
        return self._ranked and invocation is not None and invocation.priority != UNRANKED

    def within(self, limit: int, most: int) -> int:
        """How many may be taken, 1 to `limit`, for the arguments of the tasks among them to stay within a size.

        Args:
            limit: the most that may be taken.
            most: bytes of arguments; a first task that is larger is taken alone.

        Raises:
            IndexError: the queue is empty.
        """
        if self._urgent:
            return 1
        position = self._chunks[0].start + self._skip
        size = 0
        for count in range(min(limit, len(self))):
            invocation = self.invocations.get(position + count)
            if invocation is not None:
                size += len(invocation.arguments)
                if size > most and count:
                    return count
        return limit

    def skip(self) -> int:
        """Give the next position to a signal that does not wait here."""
        position = self._next
        self._next = position + 1
        return position

    def take(self, limit: int) -> tuple[int, bytes]:
        """Remove up to `limit` signals from the front that stand at consecutive positions; alone what overtakes.

        Raises:
            IndexError: the queue is empty.
        """
        if self._urgent:
            self._length -= 1
            return heapq.heappop(self._urgent)[1], PLACE
        first = self._chunks[0]
        skip = self._skip
        if not skip and len(first.data) <= limit:
            self._chunks.popleft()
            self._length -= len(first.data)
            return first.start, bytes(first.data)
        data = bytes(first.data[skip : skip + limit])
        self._length -= len(data)
        self._skip = skip + len(data)
        if self._skip == len(first.data):
            self._chunks.popleft()
            self._skip = 0
        return first.start + skip, data

    def put_back(self, start: int, data: bytes) -> None:
        """Return signals to the positions from which they were taken."""
        if self.has_priorities and self._overtakes(start):  # it was taken alone
            self._push(start)
            return
        self._settle_skip()
        place = 0
        while place < len(self._chunks) and self._chunks[place].start < start:
            place += 1
        self._chunks.insert(place, _Chunk(start, data))
        self._length += len(data)
        if self.notes:
            for position in range(start, start + len(data)):
                if (note := self.notes.get(position)) is not None:
                    note.holder = None

    def probed(self, now: int) -> None:
        """Another one is measured: each that is rare, and of many one in eight or so, or it would cost too much.

        Args:
            now: nanoseconds.
        """
        is_rare = now - self._probed > _RARE_NS
        self._probed = now
        # The last digits of the time are as good as a die: signals that alternate are measured alike.
        self.next_probe = self._next if is_rare else self._next + now % 16

    def note(self, position: int) -> Note:
        """What there is to remember of a signal, from now on if there was nothing yet."""
        return self.notes.setdefault(position, Note())

    def event_at(self, position: int) -> Event | None:
        """What raised the signal at a position."""
        note = self.notes.get(position)
        return None if note is None else note.event

    def has_claims(self, start: int, count: int) -> bool:
        """Whether any of so many signals from a position on came from the cluster."""
        if not self.notes:
            return False
        found = (self.notes.get(position) for position in range(start, start + count))
        return any(note is not None and note.claim is not None for note in found)

    def take_first(self, signum: int) -> int | None:
        """Remove the first occurrence of one signal; return its position, or None."""
        self._settle_skip()
        for place, chunk in enumerate(self._chunks):
            found = chunk.data.find(signum)
            if found >= 0:
                self._cut(place, chunk, found)
                return chunk.start + found
        return None

    def take_at(self, position: int) -> int:
        """Remove what stands at a position, for it to come back, to rest or to leave; return its number.

        Raises:
            LookupError: nothing stands there.
        """
        if self._overtakes(position):
            return self._take_urgent(position)
        self._settle_skip()
        for place, chunk in enumerate(self._chunks):
            if chunk.start <= position < chunk.start + len(chunk.data):
                signum = chunk.data[position - chunk.start]
                self._cut(place, chunk, position - chunk.start)
                return signum
        raise LookupError(f"nothing stands at {position}")

    def _take_urgent(self, position: int) -> int:
        entry = (self.invocations[position].priority, position)
        if entry not in self._urgent:
            raise LookupError(f"nothing stands at {position}")
        self._urgent.remove(entry)
        heapq.heapify(self._urgent)
        self._length -= 1
        return PLACE[0]

    def since(self, position: int) -> bytes:
        """The signals from a position on, perhaps with some that were taken."""
        parts: list[bytes] = []
        for chunk in reversed(self._chunks):
            if chunk.start + len(chunk.data) <= position:
                break
            parts.append(bytes(chunk.data[max(0, position - chunk.start) :]))
        return b"".join(reversed(parts))

    def _cut(self, place: int, chunk: _Chunk, found: int) -> None:
        before, after = chunk.data[:found], chunk.data[found + 1 :]
        del self._chunks[place]
        if after:
            self._chunks.insert(place, _Chunk(chunk.start + found + 1, after))
        if before:
            self._chunks.insert(place, _Chunk(chunk.start, before))
        self._length -= 1

    def _settle_skip(self) -> None:
        if self._skip:
            first = self._chunks[0]
            self._chunks[0] = _Chunk(first.start + self._skip, first.data[self._skip :])
            self._skip = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The (position, signum) pairs in order; for tests and reports."""
        for _, position in sorted(self._urgent):
            yield position, PLACE[0]
        for place, chunk in enumerate(self._chunks):
            skip = self._skip if place == 0 else 0
            for offset in range(skip, len(chunk.data)):
                yield chunk.start + offset, chunk.data[offset]
