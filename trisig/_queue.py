"""A queue of signals. Pure.

A signal is one byte, and has a position in its queue, which it keeps for life: one that comes back from a dead
process is put where it was. Signals at consecutive positions stand together in chunks, so that millions of them
cost a byte each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

_SEALED = 65536  # bytes in a chunk before a new one is begun


class _Chunk:
    """Signals at consecutive positions."""

    __slots__ = ("data", "start")

    def __init__(self, start: int, data: bytes | bytearray) -> None:
        self.start = start
        self.data = data


class Queue:
    """What waits for one destination: a byte a signal, in order of position."""

    def __init__(self, name: str, *, shared: bool = False) -> None:
        self.name = name
        self.shared = shared
        self._chunks: deque[_Chunk] = deque()
        self._skip = 0  # bytes of the first chunk that were taken
        self._next = 0
        self._length = 0
        self.attempts: dict[int, int] = {}

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
        if last is None or len(last.data) >= _SEALED or last.start + len(last.data) != self._next:
            self._chunks.append(_Chunk(self._next, data))
        elif isinstance(last.data, bytearray):
            last.data += data
        else:
            last.data = bytearray(last.data + data)
        self._next += size
        self._length += size

    def take(self, limit: int) -> tuple[int, bytes]:
        """Remove up to `limit` signals from the front that stand at consecutive positions."""
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
        self._settle_skip()
        place = 0
        while place < len(self._chunks) and self._chunks[place].start < start:
            place += 1
        self._chunks.insert(place, _Chunk(start, data))
        self._length += len(data)

    def take_first(self, signum: int) -> int | None:
        """Remove the first occurrence of one signal; return its position, or None."""
        self._settle_skip()
        for place, chunk in enumerate(self._chunks):
            found = chunk.data.find(signum)
            if found >= 0:
                self._cut(place, chunk, found)
                return chunk.start + found
        return None

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
        for place, chunk in enumerate(self._chunks):
            skip = self._skip if place == 0 else 0
            for offset in range(skip, len(chunk.data)):
                yield chunk.start + offset, chunk.data[offset]
