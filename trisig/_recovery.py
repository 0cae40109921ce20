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

from . import _ledger
from ._layout import (
    BLOCK,
    BLOCK_BYTES,
    DONE,
    FLIGHT,
    FLIGHT_BYTES,
    FLIGHTS,
    HEADER,
    MAGIC,
    OUTBOX,
    PAGE,
    PLACE,
    SEGMENT,
    SEGMENTS,
    Layout,
    is_sound,
    opened,
    unseal,
)
from ._ledger import FINISHED, WINDOW, is_sound_entry, read_entry
from ._shared import SlotMemory, shared_bytes, slot_parts

_FINISHED_STATES = (_ledger.DONE, _ledger.FAILED)


@dataclass
class Pending:
    """What a journal still holds.

    Attributes:
        queues: by name, the signals in order.
        raised: what each process had raised and the master had not accepted.
    """

    queues: dict[str, bytes] = field(default_factory=dict)
    raised: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.queues.values())) + sum(map(len, self.raised))


@dataclass
class Header:
    """What a journal says of itself.

    Attributes:
        names: of the queues.
        pid, started: of the master that wrote it, and when that was started.
    """

    layout: Layout
    names: list[str]
    pid: int
    started: int


class _Queue:
    """The blocks of one queue, by position."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, bytes, bytearray]] = []

    def has_pending(self, position: int) -> bool:
        return any(
            first <= position < first + len(data) and not states[position - first]
            for first, data, states in self.blocks
        )

    def mark(self, position: int) -> None:
        for first, data, states in self.blocks:
            if first <= position < first + len(data):
                states[position - first] = DONE

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


def read_header(data: memoryview) -> Header:
    """Read the beginning of a journal.

    Raises:
        ValueError: it is not a journal, or a damaged one, or one of another version of trisig.
    """
    if not data:
        raise ValueError("it is empty, which no journal is")
    magic, kind = bytes(data[: len(MAGIC)]), MAGIC[:-1]
    if magic[: len(kind)] != kind:
        raise ValueError("it is not a trisig journal")
    if magic != MAGIC:
        raise ValueError("it was written by another version of trisig, which can deliver what is pending in it")
    header = bytes(data[: HEADER.size + 8])
    if len(data) < PAGE or not is_sound(header):
        raise ValueError("its header is damaged")
    _, slots, queues, size, shared, pid, started = HEADER.unpack_from(header)
    text = bytes(data[PAGE : PAGE + size])
    if len(text) < size or not is_sound(text):
        raise ValueError("its header is damaged")
    if shared != shared_bytes(slots):
        raise ValueError("it was written by another version of trisig, which can deliver what is pending in it")
    return Header(Layout(slots, queues, size, shared), json.loads(text[:-8]), pid, started)


def recover(data: memoryview) -> Pending:
    """Read a journal that nobody writes any more.

    Raises:
        ValueError: it is not a journal, or a damaged one, or one of another version of trisig.
    """
    header = read_header(data)
    layout, names = header.layout, header.names
    if len(data) < layout.segments:
        raise ValueError("it is cut short")
    queues = _read_blocks(data, layout)
    _undo_intent(data, layout, queues)
    for slot in range(layout.slots):
        _mark_finished(data, layout, slot, queues)
    pending = Pending()
    pending.queues = {name: left for name, queue in zip(names, queues, strict=True) if (left := queue.pending())}
    for slot in range(layout.slots + 1):
        if raised := _read_outbox(data[layout.outbox(slot) :]):
            pending.raised.append(raised)
    return pending


def _read_blocks(data: memoryview, layout: Layout) -> list[_Queue]:
    queues = [_Queue() for _ in range(layout.queues)]
    end = layout.segments + SEGMENT * _sealed(data, SEGMENTS)
    # Longer is sound: a master was killed between making room for a segment and counting it.
    if len(data) < end:
        raise ValueError("it is cut short")
    for at in range(layout.segments, end, BLOCK_BYTES):
        if count := _sealed(data, at):
            queue, start, signals, states = _read_block(data[at : at + BLOCK_BYTES], count)
            if queue >= layout.queues:
                raise ValueError("one of its blocks is damaged")
            queues[queue].blocks.append((start, signals, states))
    for queue_ in queues:
        _check_order(queue_)
    return queues


def _sealed(data: memoryview, at: int) -> int:
    return unseal(int.from_bytes(data[at : at + 8], "little"))


def _read_block(block: memoryview, count: int) -> tuple[int, int, bytes, bytearray]:
    place = bytes(block[8 : 8 + PLACE.size + 8])
    if not is_sound(place) or count > BLOCK:
        raise ValueError("one of its blocks is damaged")
    states = bytearray(block[PAGE + BLOCK :][:count])
    if states.count(0) + states.count(DONE) != count:
        raise ValueError("the marks of one of its blocks are damaged")
    queue, start = PLACE.unpack_from(place)
    return queue, start, bytes(block[PAGE:][:count]), states


def _check_order(queue: _Queue) -> None:
    end = 0
    for start, data, _ in sorted(queue.blocks):
        if start < end:
            raise ValueError("two of its blocks hold the same positions")
        end = start + len(data)


def _undo_intent(data: memoryview, layout: Layout, queues: list[_Queue]) -> None:
    """Take back what may have been appended only in part: the batch is still in its outbox, the signal in its queue."""
    words = data[layout.intent : layout.intent + 8 * layout.intent_words].cast("Q")
    if not words[0]:
        return
    source, before, *reach = words[1:]
    if words[0] != 1 << 32 | zlib.crc32(words[1:]) or source >= layout.moves + layout.queues:
        raise ValueError("its intent is damaged")
    if source < layout.moves:
        is_there = _words_of_outbox(data[layout.outbox(source) :])[1] == before
    else:
        is_there = queues[source - layout.moves].has_pending(before)
    if is_there:
        for queue, end in zip(queues, reach, strict=True):
            queue.cut(end)


def _words_of_outbox(outbox: memoryview) -> tuple[int, int]:
    return _sealed(outbox, 0), _sealed(outbox, 8)


def _read_outbox(outbox: memoryview) -> bytes:
    head, tail = _words_of_outbox(outbox)
    waiting = opened(head - tail)
    if waiting >= 2**31:
        waiting = 0  # less than was accepted: a process that a handler forked has raised as well, without a lock
    if waiting > OUTBOX:
        raise ValueError("an outbox is damaged")
    ring = outbox[PAGE : PAGE + OUTBOX]
    first, last = tail % OUTBOX, (tail + waiting) % OUTBOX
    return bytes(ring[first:last]) if first + waiting < OUTBOX else bytes(ring[first:]) + bytes(ring[:last])


def _mark_finished(data: memoryview, layout: Layout, slot: int, queues: list[_Queue]) -> None:
    """Take the marks of a process into account that the master had not read."""
    memory = slot_parts(data[layout.shared : layout.flights], slot)
    flights = data[layout.flight(slot) :][: layout.flight_bytes]
    finished = _finished_aside(memory)
    for number, position, queue, _ in _asides(flights):
        if number in finished:
            queues[queue].mark(position)
    seen: set[int] = set()
    newest = -1
    for number, position, queue, count in _flights(flights):
        newest = max(newest, number + count - 1)
        for own in range(max(number, newest - WINDOW + 1), number + count):
            if own in seen:
                continue
            seen.add(own)
            if own in finished or memory.marks[own % WINDOW] in _FINISHED_STATES:
                queues[queue].mark(position + own - number)


def _finished_aside(memory: SlotMemory) -> set[int]:
    # By the entries alone: each is one store, and there are none of an earlier process.
    entries = set(memory.finished[:FINISHED].tolist()) - {0}
    if not all(map(is_sound_entry, entries)):
        raise ValueError("its list of finished handlers is damaged")
    return {number for number, _ in map(read_entry, entries)}


def _flights(flights: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The flights, the newest first: a number that was taken back and sent again stands for the newer signal."""
    written = _sealed(flights, 0)
    # All but the oldest: the master may have been killed while it wrote the next one over it.
    for k in range(written - 1, max(-1, written - FLIGHTS), -1):
        flight = _flight(flights, k % FLIGHTS)
        if not is_sound(flight):
            raise ValueError("a flight in it is damaged")
        yield FLIGHT.unpack_from(flight)


def _asides(flights: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The async handlers that the master knew of. What is not sound is empty, or was not written to its end."""
    for nth in range(_sealed(flights, 8)):
        if is_sound(flight := _flight(flights, FLIGHTS + nth)):
            yield FLIGHT.unpack_from(flight)


def _flight(flights: memoryview, nth: int) -> bytes:
    return bytes(flights[PAGE + nth * FLIGHT_BYTES :][:FLIGHT_BYTES])
