"""The journal: a mapped file from which a master that was killed can be continued.

No fsync: it survives the death of every process, not that of the kernel. `_layout` tells what is in the file.

Accepting a batch: note the intent, append to the queues, advance the outbox. Whoever finds an intent whose
outbox was not advanced takes the appended back and finds the batch in the outbox still. Finishing: a byte.
Moving a signal to another queue: the same, and that byte takes the place of the outbox.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from ._blocks import Blocks
from ._claim import Claim, no_room
from ._flights import Flights
from ._layout import HEADER, MAGIC, SEGMENT, SEGMENTS, Layout, checksummed
from ._mapping import map_file
from ._outbox import Outbox


class Journal:
    """A journal that is being written.

    Args:
        claim: the file, and where it will be.
        names: of all queues.
        slots: how many child processes there are.
        shared: bytes of memory that the master shares with them.

    Attributes:
        outboxes: by slot; the last one is the master's own.
        flights: by slot.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, claim: Claim, names: Sequence[str], slots: int, shared: int) -> None:
        self._claim = claim
        text = checksummed(json.dumps(list(names)).encode())
        self._layout = layout = Layout(slots, len(names), len(text), shared)
        os.ftruncate(claim.fd, 0)
        memory = self._allocate(0, layout.segments)
        memory[layout.names : layout.names + len(text)] = text
        header = HEADER.pack(MAGIC, slots, len(names), len(text), shared, os.getpid(), start_time(os.getpid()))
        memory[: len(header) + 8] = checksummed(header)
        self.shared = memory[layout.shared : layout.flights]
        self._intent = memory[layout.intent :].cast("Q")
        self._queues = {name: number for number, name in enumerate(names)}
        self.outboxes = [Outbox(memory[layout.outbox(slot) :][: layout.outbox_bytes]) for slot in range(slots + 1)]
        for outbox in self.outboxes:
            outbox.prepare()
        self.flights = [
            Flights(memory[layout.flight(slot) :][: layout.flight_bytes], self._queues) for slot in range(slots)
        ]
        self._blocks = Blocks(len(names), memory[SEGMENTS : SEGMENTS + 8].cast("Q"), self._allocate_segment)

    def _allocate(self, start: int, size: int) -> memoryview:
        try:
            # Allocated, not sparse: a store to a page that the disk has no room for would kill the master.
            os.posix_fallocate(self._claim.fd, start, size)
            return map_file(self._claim.fd, size, offset=start)
        except OSError as error:
            raise no_room(self._claim.path, error, start + size, published=self._claim.published) from None

    def _allocate_segment(self, nth: int) -> memoryview:
        return self._allocate(self._layout.segments + nth * SEGMENT, SEGMENT)

    @property
    def missed(self) -> int:
        """How many signals found no room."""
        return self._blocks.missed

    # The life of a signal

    def append(self, name: str, start: int, data: bytes) -> None:
        """A queue takes signals at consecutive positions.

        Raises:
            OSError: the disk is full, and the journal not yet published; later that is only told.
        """
        self._blocks.append(self._queues[name], start, data)

    def done(self, name: str, start: int, count: int) -> None:
        """Signals are finished, or given up."""
        self._blocks.done(self._queues[name], start, count)

    def move(self, name: str, position: int, to: str, start: int, data: bytes) -> None:
        """A queue takes a signal that was pending in another one."""
        queue = self._queues[name]
        self._intend(self._layout.moves + queue, position)
        self._blocks.append(self._queues[to], start, data)
        self._blocks.done(queue, position, len(data))
        self._intent[0] = 0

    # Batches from outboxes

    def begin(self, slot: int) -> None:
        """What was raised by a process is about to be appended."""
        self._intend(slot, self.outboxes[slot].taken)

    def commit(self, slot: int, count: int) -> None:
        """It has been appended."""
        self.outboxes[slot].accepted(count)
        self._intent[0] = 0

    def _intend(self, source: int, before: int) -> None:
        fields = array("Q", (source, before)) + self._blocks.reach
        self._intent[1 : 1 + len(fields)] = memoryview(fields)
        self._intent[0] = 1 << 32 | zlib.crc32(fields)

    # The file

    def restart(self, slot: int) -> None:
        """A process has been settled and is about to be replaced by another one."""
        self.flights[slot].restart()
        self.outboxes[slot].clear()

    def publish(self) -> None:
        """Put the journal in its place, over the one that it continues."""
        self._claim.publish()
        self._blocks.strict = False

    def close(self) -> None:
        """Let go of the file; what is pending stays in it for the next master, if it was published."""
        self._claim.close()


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])
