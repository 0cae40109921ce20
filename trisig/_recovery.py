"""What was pending when the master that wrote a journal ended. Pure: reads bytes, changes nothing.

A signal is pending if it was appended to a queue and is not marked done, neither in its block by the master nor
by the process that had it in its lane and whose mark the master did not live to read; and if it was raised and
not accepted. A journal that contradicts itself is refused whole: better a clear error than half of the signals.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ._journal import BLOCK, BLOCK_BYTES, BLOCK_HEADER, FLIGHT, FLIGHTS, HEADER, MAGIC, OUTBOX, PAGE, Layout
from ._ledger import ASIDE, DONE, FAILED, FINISHED, WINDOW
from ._shared import SlotMemory, slot_parts

_FINISHED_STATES = (DONE, FAILED)


@dataclass
class Pending:
    """What a journal still holds.

    Attributes:
        queues: by name, the signals in order.
        raised: what each process had raised and the master had not accepted.
        pid, started: of the master that wrote it.
    """

    pid: int = 0
    started: int = 0
    queues: dict[str, bytes] = field(default_factory=dict)
    raised: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.queues.values())) + sum(map(len, self.raised))


class _Queue:
    """The blocks of one queue, by position."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, bytes, bytearray]] = []

    def mark(self, start: int, count: int) -> None:
        for first, data, states in self.blocks:
            low, high = max(start, first), min(start + count, first + len(data))
            if low < high:
                states[low - first : high - first] = b"\1" * (high - low)

    def cut(self, reach: int) -> None:
        """Forget what stands at `reach` and behind it."""
        self.blocks = [
            (first, data[: max(0, reach - first)], states[: max(0, reach - first)])
            for first, data, states in self.blocks
        ]

    def pending(self) -> bytes:
        out = bytearray()
        for _, data, states in sorted(self.blocks):
            if any(states):
                out += bytes(signum for signum, state in zip(data, states, strict=True) if not state)
            else:
                out += data
        return bytes(out)


def read_header(data: memoryview) -> tuple[Layout, list[str], int, int]:
    """The layout, the names of the queues, and the pid and start time of the master that wrote the journal.

    Raises:
        ValueError: it is not a journal, or a damaged one.
    """
    if len(data) < PAGE or bytes(data[: len(MAGIC)]) != MAGIC:
        raise ValueError("it is not a trisig journal")
    _, slots, size, shared, pid, started = HEADER.unpack_from(data)
    text = bytes(data[PAGE : PAGE + size])
    checksum = int.from_bytes(data[HEADER.size : HEADER.size + 4], "little")
    if zlib.crc32(bytes(data[: HEADER.size]) + text) != checksum:
        raise ValueError("its header is damaged")
    layout = Layout(slots, size, shared)
    if len(data) < layout.blocks:
        raise ValueError("it is cut short")
    return layout, json.loads(text), pid, started


def recover(data: memoryview) -> Pending:
    """Read a journal that nobody writes any more.

    Raises:
        ValueError: it is not a journal, or a damaged one.
    """
    layout, names, pid, started = read_header(data)
    queues = _read_blocks(data, layout, len(names))
    _undo_intent(data, layout, queues)
    for slot in range(layout.slots):
        _mark_finished(data, layout, slot, queues)
    pending = Pending(pid, started)
    pending.queues = {name: left for name, queue in zip(names, queues, strict=True) if (left := queue.pending())}
    for slot in range(layout.slots + 1):
        if raised := _read_outbox(data[layout.outbox(slot) :]):
            pending.raised.append(raised)
    return pending


def _read_blocks(data: memoryview, layout: Layout, names: int) -> list[_Queue]:
    queues = [_Queue() for _ in range(names)]
    for at in range(layout.blocks, len(data) - BLOCK_BYTES + 1, BLOCK_BYTES):
        queue, start, count = BLOCK_HEADER.unpack_from(data, at)
        if not queue or not count:
            continue
        if queue > names or count > BLOCK:
            raise ValueError(f"the block at byte {at} is damaged")
        states = bytearray(data[at + PAGE + BLOCK :][:count])
        if states.count(0) + states.count(1) != count:
            raise ValueError(f"the marks of the block at byte {at} are damaged")
        queues[queue - 1].blocks.append((start, bytes(data[at + PAGE :][:count]), states))
    for queue_ in queues:
        _check_order(queue_)
    return queues


def _check_order(queue: _Queue) -> None:
    end = 0
    for start, data, _ in sorted(queue.blocks):
        if start < end:
            raise ValueError("two of its blocks hold the same positions")
        end = start + len(data)


def _undo_intent(data: memoryview, layout: Layout, queues: list[_Queue]) -> None:
    """Take back a batch that was appended only in part: it is still in its outbox."""
    words = data[layout.intent : layout.intent + 2 * PAGE].cast("Q")
    valid, slot, before = words[0], words[1], words[2]
    if not valid:
        return
    if valid != 1 or slot > layout.slots:
        raise ValueError("its intent is damaged")
    if _words_of_outbox(data[layout.outbox(slot) :])[1] == before:
        for number, queue in enumerate(queues):
            queue.cut(words[3 + number])


def _words_of_outbox(outbox: memoryview) -> tuple[int, int]:
    words = outbox[:16].cast("Q")
    return words[0], words[1]


def _read_outbox(outbox: memoryview) -> bytes:
    head, tail = _words_of_outbox(outbox)
    # Accepted can be one ahead: raised, accepted, and killed before the raiser had counted it.
    if head <= tail:
        return b""
    if head - tail > OUTBOX:
        raise ValueError("an outbox is damaged")
    ring = outbox[PAGE : PAGE + OUTBOX]
    first, last = tail % OUTBOX, head % OUTBOX
    return bytes(ring[first:last]) if first < last else bytes(ring[first:]) + bytes(ring[:last])


def _mark_finished(data: memoryview, layout: Layout, slot: int, queues: list[_Queue]) -> None:
    """Take the marks of a process into account that the master had not read."""
    memory = slot_parts(data[layout.shared : layout.flights], slot)
    finished = _finished_aside(memory)
    seen: set[int] = set()
    newest = -1
    for number, queue, start, count in _flights(data[layout.flight(slot) :]):
        if queue >= len(queues) or count > WINDOW:
            raise ValueError("a flight is damaged")
        newest = max(newest, number + count - 1)
        for offset in range(count):
            own = number + offset
            if own in seen or own <= newest - WINDOW:
                continue
            seen.add(own)
            state = memory.marks[own % WINDOW]
            if state in _FINISHED_STATES or (state == ASIDE and own in finished):
                queues[queue].mark(start + offset, 1)


def _finished_aside(memory: SlotMemory) -> set[int]:
    listed = memory.finished[FINISHED]
    return {memory.finished[k % FINISHED] >> 2 for k in range(max(0, listed - FINISHED), listed)}


def _flights(flights: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The flights, the newest first: a number that was taken back and sent again stands for the newer signal."""
    written = int.from_bytes(flights[:8], "little")
    for k in range(written - 1, max(-1, written - 1 - FLIGHTS), -1):
        yield FLIGHT.unpack_from(flights, PAGE + k % FLIGHTS * FLIGHT.size)
