"""How far the schedules of a master have come, in its journal.

A table of entries, one for each source, known by a hash of its name. An entry is two copies with a count and a checksum
each. The older one is written over, so a kill in the middle of that leaves the other.
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Iterator, Mapping

from trisig._model.past import Past

from .layout import SCHEDULE_BYTES, SCHEDULES, checksummed, is_sound

_COPY = struct.Struct("<16sQdd")  # the hash, the count, seen, grid
_COPY_BYTES = _COPY.size + 8

log = logging.getLogger("trisig")


class ScheduleLog:
    """The table of a journal that is being written.

    Args:
        memory: the part of the file, all zero.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._entries: dict[bytes, ScheduleRecord] = {}
        self._idle: dict[bytes, None] = {}  # entries of an earlier master that no source has asked for

    def take_over(self, pasts: Mapping[bytes, Past]) -> None:
        """Keep what an earlier master has left, by the hashes of the names."""
        for key, past in sorted(pasts.items(), key=lambda item: item[1].seen):
            self._idle[key] = None
            self._entries[key] = record = ScheduleRecord(self._entry(len(self._entries)), key)
            record.note(past)

    def open(self, name: str) -> ScheduleRecord | None:
        """The entry of a source; None if there is no room for it.

        Args:
            name: of the source. Of two with one name both have one entry.
        """
        key = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest()
        self._idle.pop(key, None)
        if key not in self._entries:
            memory = self._free()
            if memory is None:
                log.warning("%s: the journal has no room for its schedule, which begins anew with each master", name)
                return None
            self._entries[key] = ScheduleRecord(memory, key)
        return self._entries[key]

    def _free(self) -> memoryview | None:
        if len(self._entries) < SCHEDULES:
            return self._entry(len(self._entries))
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return None
        del self._idle[oldest]
        memory = self._entries.pop(oldest).memory
        memory[:] = bytes(SCHEDULE_BYTES)
        return memory

    def _entry(self, index: int) -> memoryview:
        return self._memory[index * SCHEDULE_BYTES :][:SCHEDULE_BYTES]

    def rewrite(self) -> None:
        """Write all entries anew, after the file has lost its content."""
        for record in self._entries.values():
            if record.past is not None:
                record.note(record.past)


class ScheduleRecord:
    """The entry of one source.

    Args:
        memory: of the entry.
        key: the hash of the name.

    Attributes:
        past: what was kept last; None if nothing.
    """

    def __init__(self, memory: memoryview, key: bytes) -> None:
        self.memory = memory
        self.past: Past | None = None
        self._key = key
        self._count = 0

    def note(self, past: Past) -> None:
        """Keep this instead."""
        self.past = past
        self._count += 1
        copy = checksummed(_COPY.pack(self._key, self._count, past.seen, past.grid))
        at = self._count % 2 * _COPY_BYTES
        self.memory[at : at + _COPY_BYTES] = copy


def read_schedules(memory: memoryview) -> dict[bytes, Past]:
    """What a master has left, by the hashes of the names."""
    newest: dict[bytes, tuple[int, Past]] = {}
    for key, count, past in _copies(memory):
        if key not in newest or newest[key][0] < count:
            newest[key] = count, past
    return {key: past for key, (_, past) in newest.items()}


def _copies(memory: memoryview) -> Iterator[tuple[bytes, int, Past]]:
    for index in range(2 * SCHEDULES):
        at = index // 2 * SCHEDULE_BYTES + index % 2 * _COPY_BYTES
        copy = bytes(memory[at : at + _COPY_BYTES])
        if any(copy) and is_sound(copy):
            key, count, seen, grid = _COPY.unpack_from(copy)
            yield key, count, Past(seen, grid)
