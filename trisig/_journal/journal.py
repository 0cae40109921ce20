"""The journal: a mapped file from which the next master can go on where a killed one stopped.

There is no fsync: the journal survives the death of every process, not that of the kernel. `layout` describes the file.

To accept a batch the master notes its intent, appends to the queues, advances the outbox, and clears the intent, in
this order. A recovery that finds an intent whose outbox was not advanced takes back what was appended; the batch is
still in the outbox. To finish a signal is to store one byte. To move a signal to another queue is to accept it there,
and the byte that finishes it here takes the place of the outbox.
"""

from __future__ import annotations

import json
import os
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path

from trisig._linux.bus_error import BusErrorRepair
from trisig._linux.mmap_file import map_file

from .blocks import Blocks
from .child_journal import JournalPlace
from .guard import JournalGuard
from .in_flight import InFlightLog
from .layout import DEAD, HEADER, MAGIC, REPAIRED, SEGMENT, SEGMENTS, Layout, checksummed
from .lock import JournalLock, no_room
from .outbox import Outbox
from .schedules import ScheduleLog


class Journal:
    """A journal that is being written.

    Args:
        lock: the file, and where it will be.
        names: of all queues.
        slots: how many child processes there are.
        shared: bytes of memory that the master shares with them.
        retry_s: seconds until a full disk is asked again.

    Attributes:
        shared: that memory.
        outboxes: by slot; the last one is the master's own.
        in_flight_logs: by slot.
        schedules: how far timers and cron jobs have come.
        size: bytes that the file has to have.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, lock: JournalLock, names: Sequence[str], slots: int, shared: int, retry_s: float = 1.0) -> None:
        self._lock = lock
        text = checksummed(json.dumps(list(names)).encode())
        self._layout = layout = Layout(slots, len(names), len(text), shared)
        self._head = checksummed(
            HEADER.pack(MAGIC, slots, len(names), len(text), shared, os.getpid(), start_time(os.getpid()))
        )
        self._text = text
        self.size = 0
        self._bus_errors = BusErrorRepair(self.repair)
        os.ftruncate(lock.fd, 0)
        self._memory = memory = self._allocate(0, layout.segments)
        self._write_head()
        self.shared = memory[layout.shared : layout.in_flight_logs]
        self._intent = memory[layout.intent : layout.schedules].cast("Q")
        self.schedules = ScheduleLog(memory[layout.schedules : layout.segments])
        self._queues = {name: number for number, name in enumerate(names)}
        self.outboxes = [Outbox(memory[layout.outbox(slot) :][: layout.outbox_bytes]) for slot in range(slots + 1)]
        for outbox in self.outboxes:
            outbox.prepare()
        self.in_flight_logs = [
            InFlightLog(memory[layout.in_flight_log(slot) :][: layout.in_flight_bytes], self._queues)
            for slot in range(slots)
        ]
        self._blocks = Blocks(len(names), memory[SEGMENTS : SEGMENTS + 8].cast("Q"), self._allocate_segment, retry_s)

    def _write_head(self) -> None:
        self._memory[self._layout.names :][: len(self._text)] = self._text
        self._memory[: len(self._head)] = self._head  # last: until then the file is no journal

    def _allocate(self, start: int, size: int) -> memoryview:
        try:
            # Allocated, not sparse: a store to a page that the disk has no room for would kill the master.
            os.posix_fallocate(self._lock.fd, start, size)
            memory = map_file(self._lock.fd, size, offset=start)
        except OSError as error:
            raise no_room(self._lock.path, error, start + size, published=self._lock.published) from None
        self.size = start + size
        return memory

    def _allocate_segment(self, nth: int) -> memoryview:
        return self._allocate(self._layout.segments + nth * SEGMENT, SEGMENT)

    @property
    def missed(self) -> int:
        """How many signals found no room."""
        return self._blocks.missed

    @property
    def fd(self) -> int:
        """The file."""
        return self._lock.fd

    @property
    def place(self) -> JournalPlace:
        """Where its parts are."""
        layout = self._layout
        shared = layout.in_flight_logs - layout.shared
        return JournalPlace(layout.slots, layout.queues, len(self._text), shared, self.size)

    # The life of a signal

    def append(self, name: str, start: int, data: bytes) -> None:
        """Keep signals at consecutive positions of a queue.

        Raises:
            OSError: the disk is full, and the journal not yet published; later the log says so.
        """
        self._blocks.append(self._queues[name], start, data)

    def keep(self, name: str, position: int, content: bytes) -> bool:
        """Keep what is longer than a byte, for a position that is about to be appended to or moved to; whether it was.

        Raises:
            OSError: the disk is full, and the journal not yet published.
        """
        kept = self._blocks.parcels.keep(self._queues[name], position, content)
        if not kept:
            self._blocks.miss(1)
        return kept

    def bury(self, name: str, position: int, number: int, letter: bytes) -> None:
        """Give up what is pending in a queue.

        Args:
            name: the queue.
            position: there; none if it is not in it.
            number: of the dead letter.
            letter: what is kept of it.
        """
        dead = self._queues[DEAD]
        if position >= 0:
            self._intend(self._layout.moves + self._queues[name], position)
        self._blocks.parcels.keep(dead, number, letter)
        self._blocks.reach[dead] = number + 1
        if position >= 0:
            self._blocks.done(self._queues[name], position, 1)
            self._intent[0] = 0

    def done(self, name: str, start: int, count: int) -> None:
        """Mark signals as finished, or given up."""
        self._blocks.done(self._queues[name], start, count)

    def move(self, name: str, position: int, to: str, start: int, data: bytes) -> None:
        """Move a signal that is pending in one queue to another one.

        Args:
            name: the queue that it leaves.
            position: of the signal there.
            to: the queue that takes it.
            start: its position there.
            data: the signal.
        """
        queue = self._queues[name]
        # In this order: between any two of these stores the signal is pending in exactly one queue.
        self._intend(self._layout.moves + queue, position)
        self._blocks.append(self._queues[to], start, data)
        self._blocks.done(queue, position, len(data))
        self._intent[0] = 0

    # Batches from outboxes

    def begin(self, slot: int) -> None:
        """Signals from the outbox of a slot are about to be appended."""
        self._intend(slot, self.outboxes[slot].taken)

    def commit(self, slot: int, count: int) -> None:
        """So many signals from the outbox of a slot have been appended since `begin`."""
        # In this order: once the outbox has advanced, the intent is void and need not be cleared.
        self.outboxes[slot].accepted(count)
        self._intent[0] = 0

    def _intend(self, source: int, before: int) -> None:
        fields = array("Q", (source, before)) + self._blocks.reach
        self._intent[1 : 1 + len(fields)] = memoryview(fields)
        self._intent[0] = 1 << 32 | zlib.crc32(fields)  # last: what it does not vouch for is not read

    # The file

    def restart(self, slot: int) -> None:
        """Begin anew for a slot: its process has ended and was settled, and another one is about to fill it."""
        self.in_flight_logs[slot].restart()
        self.outboxes[slot].clear()

    def publish(self) -> None:
        """Put the journal in its place, over the one that it continues."""
        self._lock.publish()
        self._blocks.strict = False
        self._bus_errors.install()

    def close(self) -> None:
        """Let go of the file; what is pending stays in it for the next master, if it was published."""
        if self._lock.published:
            self._bus_errors.uninstall()
        self._lock.close()

    # What others do to the file

    def open_guard(self) -> JournalGuard:
        """What notices that the file was cut short, renamed or removed.

        Raises:
            OSError: no inotify instance or watch is left.
        """
        return JournalGuard(self._lock, self.repair)

    def repair(self) -> bool:
        """Give the file its size back if it was cut short, and leave word of it; whether that was needed and done.

        Called in the middle of any store to the file, in the master and in children: it uses system calls only.
        """
        return self._lock.grow_again(self.size)

    @property
    def was_cut_short(self) -> bool:
        """Whether the file was cut short and repaired since `begin_anew`."""
        return bool(self._memory[REPAIRED])

    def begin_anew(self, pending: int) -> None:
        """Write the journal anew after it was cut short; what was pending in it is lost to the next master.

        The marks of the processes are lost too, so each process has to be ended and replaced.

        Args:
            pending: how many signals are pending, in memory; they are counted as not kept.
        """
        self._intent[0] = 0
        for log in self.in_flight_logs:
            log.empty()
        for outbox in self.outboxes:
            outbox.prepare()
        self.schedules.rewrite()
        self._blocks.begin_anew(pending)
        self._write_head()
        self._lock.mark_published()
        self._memory[REPAIRED] = 0


def start_time(pid: int) -> int | None:
    """When a process started, in ticks since boot; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    return None if fields[0] in "ZX" else int(fields[19])
