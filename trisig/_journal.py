"""The journal: a mapped file from which a master that was killed can be continued.

No fsync: it survives the death of every process, not that of the kernel.

    header    what the file is, and a checksum of that
    memory    what the master shares with its children (`_shared`), so that their marks outlive it too
    flights   per process, which queue positions the numbers of its lane stand for
    outboxes  per process, what it has raised, from before it is written to the pipe until it was accepted
    intent    how far every queue reached before the batch that is being accepted
    blocks    65,536 signals of one queue each, with a byte apiece that says whether it is done

Accepting a batch: note the intent, append to the queues, advance the outbox. Whoever finds an intent whose
outbox was not advanced takes the appended back and finds the batch in the outbox still. Finishing: a byte.

An old file is never changed. A master that opens one reads it (`_recovery`), makes a new one beside it with
what was pending, and renames that over it. A lock on the file is inherited by all children: it ends with the
last process of a tree, so no successor reads marks that a dying child still writes.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import struct
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from ._mapping import map_file

log = logging.getLogger("trisig")

MAGIC = b"trisig journal 1"
PAGE = 4096
BLOCK = 65_536  # signals in a block
BLOCK_BYTES = PAGE + 2 * BLOCK
OUTBOX = 524_288  # the pipe's size twice: what is in the pipe, and what was read and is being accepted
FLIGHTS = 4096
FLIGHT = struct.Struct("<QQQQ")  # number, queue, position, count
HEADER = struct.Struct("<16sIIQQQ")  # magic, slots, bytes of names, bytes of shared memory, pid, start time
BLOCK_HEADER = struct.Struct("<QQQ")  # queue + 1, position of the first, count
_SEGMENT = 8  # blocks that are added to the file at a time
_DONE = b"\1" * BLOCK


class Layout:
    """Where everything is in the file."""

    def __init__(self, slots: int, names: int, shared: int) -> None:
        self.slots = slots
        self.names = PAGE
        self.shared = self.names + _pages(names)
        self.flights = self.shared + _pages(shared)
        self.flight_bytes = PAGE + FLIGHTS * FLIGHT.size
        self.outboxes = self.flights + slots * self.flight_bytes
        self.outbox_bytes = PAGE + OUTBOX
        self.intent = self.outboxes + (slots + 1) * self.outbox_bytes  # the last one is the master's own
        self.intent_bytes = 4 * PAGE
        self.blocks = self.intent + self.intent_bytes

    def outbox(self, slot: int) -> int:
        return self.outboxes + slot * self.outbox_bytes

    def flight(self, slot: int) -> int:
        return self.flights + slot * self.flight_bytes


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


class _Block:
    """Up to 65,536 signals of one queue at consecutive positions."""

    __slots__ = ("_header", "_words", "count", "data", "done", "start", "states")

    def __init__(self, memory: memoryview) -> None:
        self._header = memory[: BLOCK_HEADER.size]
        self._words = self._header.cast("Q")
        self.data = memory[PAGE : PAGE + BLOCK]
        self.states = memory[PAGE + BLOCK :]
        self.start = self.count = self.done = 0

    def take(self, queue: int, start: int) -> None:
        self.start, self.count, self.done = start, 0, 0
        self.states[:] = bytes(BLOCK)
        BLOCK_HEADER.pack_into(self._header, 0, queue + 1, start, 0)

    def add(self, data: memoryview) -> None:
        self.data[self.count : self.count + len(data)] = data
        self.count += len(data)
        self._words[2] = self.count  # last: what it does not count is not there

    def free(self) -> None:
        BLOCK_HEADER.pack_into(self._header, 0, 0, 0, 0)


class Outbox:
    """What one process has raised and the master has not accepted.

    Args:
        memory: its part of the file: two words, how much was put in and how much was accepted; then the ring.

    Attributes:
        lock: to be held from `put` until the signal was raised.
    """

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:16].cast("Q")
        self._ring = memory[PAGE:]
        self.lock = threading.Lock()

    def clear(self) -> None:
        self._words[0] = self._words[1] = 0

    def accepted(self, count: int) -> None:
        self._words[1] += count

    def put(self, signum: int) -> bool:
        """Note a signal that is about to be raised; False if there is no room."""
        head = self._words[0]
        if head - self._words[1] >= OUTBOX:
            return False
        self._ring[head % OUTBOX] = signum
        self._words[0] = head + 1
        return True

    def undo(self) -> None:
        """It was not raised after all."""
        self._words[0] -= 1

    @property
    def taken(self) -> int:
        """How much was accepted."""
        return int(self._words[1])


class Journal:
    """A journal that is being written.

    Args:
        path: where it will be once `publish` is called; until then it is made beside it.
        names: of all queues.
        slots: how many child processes there are.
        shared: bytes of memory that the master shares with them.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, names: Sequence[str], slots: int, shared: int) -> None:
        self.path = path
        self._beside = path.with_name(f"{path.name}.{os.getpid()}.new")
        text = json.dumps(list(names)).encode()
        self.layout = Layout(slots, len(text), shared)
        self._queues = {name: number for number, name in enumerate(names)}
        self._fd = os.open(self._beside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Allocated, not sparse: a store to a page that the disk has no room for would kill the master.
            os.posix_fallocate(self._fd, 0, self.layout.blocks)
            self._memory = map_file(self._fd, self.layout.blocks)
        except BaseException:
            self.discard()
            raise
        self._memory[PAGE : PAGE + len(text)] = text
        fields = (MAGIC, slots, len(text), shared, os.getpid(), start_time(os.getpid()))
        header = HEADER.pack(*fields)
        self._memory[: len(header) + 4] = header + zlib.crc32(header + text).to_bytes(4, "little")
        self._intent = self._memory[self.layout.intent :].cast("Q")
        self._reach = self._memory[self.layout.intent + 2 * PAGE :].cast("Q")
        self.outboxes = [
            Outbox(self._part(self.layout.outbox(slot), self.layout.outbox_bytes)) for slot in range(slots + 1)
        ]
        self._flights = [self._part(self.layout.flight(slot), self.layout.flight_bytes) for slot in range(slots)]
        self._free: list[_Block] = []
        self._of: dict[int, list[_Block]] = {number: [] for number in self._queues.values()}
        self._end = self.layout.blocks
        self._complained = False

    @property
    def shared(self) -> memoryview:
        """The part that is the memory shared with the children."""
        return self._memory[self.layout.shared : self.layout.flights]

    def _part(self, start: int, size: int) -> memoryview:
        return self._memory[start : start + size]

    # The life of a signal

    def append(self, name: str, start: int, data: bytes) -> None:
        """A queue takes signals at consecutive positions.

        If the disk is full they are delivered all the same, and would not survive the master; the log says so.
        """
        queue, rest = self._queues[name], memoryview(data)
        while rest and (block := self._tail(queue, start)):
            part = rest[: BLOCK - block.count]
            block.add(part)
            start += len(part)
            rest = rest[len(part) :]
        self._reach[queue] = start + len(rest)

    def done(self, name: str, start: int, count: int) -> None:
        """Signals are finished, or given up."""
        blocks = self._of[self._queues[name]]
        for block in list(blocks):
            first, last = max(start, block.start), min(start + count, block.start + block.count)
            if first < last:
                block.states[first - block.start : last - block.start] = _DONE[: last - first]
                block.done += last - first
                if block.done == BLOCK:
                    blocks.remove(block)
                    block.free()
                    self._free.append(block)
            if start + count <= block.start + block.count:
                return

    def _tail(self, queue: int, start: int) -> _Block | None:
        blocks = self._of[queue]
        if blocks and blocks[-1].count < BLOCK and blocks[-1].start + blocks[-1].count == start:
            return blocks[-1]
        if not self._free and not self._grow():
            return None
        block = self._free.pop()
        block.take(queue, start)
        blocks.append(block)
        return block

    def _grow(self) -> bool:
        size = _SEGMENT * BLOCK_BYTES
        try:
            os.posix_fallocate(self._fd, self._end, size)
            memory = map_file(self._fd, size, offset=self._end)
        except OSError as error:
            if not self._complained:
                log.error(  # noqa: TRY400  the disk is full, a traceback would add nothing
                    "master: the journal cannot grow, new signals would not survive the master: %s", error
                )
            self._complained = True
            return False
        self._complained = False
        self._end += size
        self._free += [_Block(memory[at : at + BLOCK_BYTES]) for at in range(0, size, BLOCK_BYTES)]
        return True

    # Batches from outboxes

    def begin(self, slot: int) -> None:
        """What was raised by a process is about to be appended."""
        queues = len(self._queues)
        self._intent[3 : 3 + queues] = self._reach[:queues]
        self._intent[1], self._intent[2] = slot, self.outboxes[slot].taken
        self._intent[0] = 1

    def commit(self, slot: int, count: int) -> None:
        """It has been appended."""
        self.outboxes[slot].accepted(count)
        self._intent[0] = 0

    # Lanes

    def restart(self, slot: int) -> None:
        """A process has been settled and is about to be replaced by another one."""
        self._flights[slot][:8] = bytes(8)
        self.outboxes[slot].clear()

    def sent(self, slot: int, number: int, name: str, start: int, count: int) -> None:
        """Signals are about to be written to a lane."""
        flights = self._flights[slot]
        written = int.from_bytes(flights[:8], "little")
        FLIGHT.pack_into(flights, PAGE + written % FLIGHTS * FLIGHT.size, number, self._queues[name], start, count)
        flights[:8] = (written + 1).to_bytes(8, "little")

    # The file

    def publish(self) -> None:
        """Put the journal in its place, over the one that it continues."""
        self._beside.rename(self.path)

    def discard(self) -> None:
        """Give up a journal that was not published."""
        self._beside.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file; what is pending stays in it for the next master."""
        # A mapping keeps the file, and with it the lock, for as long as anybody holds a view of it.
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])
