"""What was pending when the master that wrote a journal ended. Pure: reads bytes, changes nothing.

A signal is pending if it was raised and not accepted. It is also pending if it was appended to a queue and is marked
done neither in its block, by the master, nor in shared memory, by the process that had it in its lane and whose mark
the master did not live to read. A journal that contradicts itself is refused whole: a clear error is better than half
of the signals.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator
from typing import TypeVar

import msgspec

from trisig._ipc.shared_memory import SlotMemory, shared_bytes, slot_parts
from trisig._model.dead_letter import DeadLetter
from trisig._model.invocation import QueuedTask
from trisig._model.lane import DONE as MARK_DONE
from trisig._model.lane import FAILED as MARK_FAILED
from trisig._model.lane import FINISHED, WINDOW, is_sound_entry, read_entry
from trisig._model.past import Past

from .contents import Contents
from .layout import (
    BLOCK,
    BLOCK_BYTES,
    BLOCK_DONE,
    DEAD,
    HEADER,
    IN_FLIGHT,
    IN_FLIGHT_BYTES,
    IN_FLIGHT_ENTRIES,
    MAGIC,
    OUTBOX,
    PAGE,
    PARCELS,
    PIECE,
    PIECE_HEAD,
    PLACE,
    SEGMENT,
    SEGMENTS,
    Layout,
    is_sound,
    opened,
    unseal,
)
from .schedules import read_schedules

T = TypeVar("T")

_FINISHED_STATES = (MARK_DONE, MARK_FAILED)


class Pending(msgspec.Struct):
    """The signals that a journal still holds.

    Attributes:
        queues: by name, the signals in order.
        raised: by process, what it had raised and the master had not accepted, in order.
        schedules: by the hash of a source's name, how far it had come.
        tasks: by name of the queue, the tasks among these signals, by where they stand among them.
        letters: what was given up.
    """

    queues: dict[str, bytes] = msgspec.field(default_factory=dict)
    raised: list[bytes] = msgspec.field(default_factory=list)
    schedules: dict[bytes, Past] = msgspec.field(default_factory=dict)
    tasks: dict[str, dict[int, QueuedTask]] = msgspec.field(default_factory=dict)
    letters: list[DeadLetter] = msgspec.field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.queues.values())) + sum(map(len, self.raised))


class Header(msgspec.Struct):
    """What a journal says of itself.

    Attributes:
        layout: where everything is.
        names: of the queues.
        pid: of the master that wrote it.
        started: when that was started, in ticks since boot.
    """

    layout: Layout
    names: list[str]
    pid: int
    started: int


class _Queue:
    """The blocks of one queue, by position, and what is longer than a byte in it."""

    def __init__(self) -> None:
        self.blocks: list[tuple[int, bytes, bytearray]] = []
        self.parcels = Contents()

    def has_pending(self, position: int) -> bool:
        """Whether something stands at a position; a dead letter has no place in a block."""
        return (
            position in self.parcels.kept
            if not self.blocks
            else any(
                first <= position < first + len(data) and not states[position - first]
                for first, data, states in self.blocks
            )
        )

    def mark(self, position: int) -> None:
        for first, data, states in self.blocks:
            if first <= position < first + len(data):
                states[position - first] = BLOCK_DONE

    def signum_at(self, position: int) -> int | None:
        return next(
            (data[position - first] for first, data, _ in self.blocks if first <= position < first + len(data)), None
        )

    def cut(self, reach: int) -> None:
        """Forget what stands at `reach` and behind it."""
        self.blocks = [
            (first, data[: max(0, reach - first)], states[: max(0, reach - first)])
            for first, data, states in self.blocks
        ]
        self.parcels.cut(reach)

    def pending(self) -> bytes:
        out = bytearray()
        for _, data, states in sorted(self.blocks):
            if any(states):
                out += bytes(signum for signum, state in zip(data, states, strict=True) if not state)
            else:
                out += data
        return bytes(out)

    def tasks(self) -> dict[int, QueuedTask]:
        """The tasks that are pending, by where they stand among what is."""
        if not self.parcels.kept:
            return {}
        positions = (
            first + offset
            for first, _, states in sorted(self.blocks)
            for offset, state in enumerate(states)
            if not state
        )
        kept = self.parcels.kept
        return {at: _decoded(kept[position], QueuedTask) for at, position in enumerate(positions) if position in kept}

    def letters(self) -> list[DeadLetter]:
        return [_decoded(content, DeadLetter) for _, content in sorted(self.parcels.kept.items())]


def _decoded(content: bytes, of: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(content, type=of)
    except msgspec.DecodeError:
        raise ValueError("one of its tasks is damaged") from None


def read_header(data: memoryview) -> Header:
    """Read the beginning of a journal.

    Raises:
        ValueError: it is not a journal, or a damaged one, or one of another version of trisig.
    """
    if not data:
        raise ValueError("the file is empty")
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


def recover(data: memoryview, retried: Collection[int] = ()) -> Pending:
    """Read a journal that nobody writes any more.

    Args:
        data: the file.
        retried: the numbers whose handlers are tried again: a failed one that the master had not read is pending.

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
        _mark_finished(data, layout, slot, queues, retried)
    pending = Pending()
    by_name = dict(zip(names, queues, strict=True))
    pending.letters = by_name.pop(DEAD, _Queue()).letters()
    pending.queues = {name: left for name, queue in by_name.items() if (left := queue.pending())}
    pending.tasks = {name: tasks for name in pending.queues if (tasks := by_name[name].tasks())}
    for slot in range(layout.slots + 1):
        if raised := _read_outbox(data[layout.outbox(slot) :]):
            pending.raised.append(raised)
    pending.schedules = read_schedules(data[layout.schedules : layout.segments])
    return pending


def _read_blocks(data: memoryview, layout: Layout) -> list[_Queue]:
    queues = [_Queue() for _ in range(layout.queues)]
    end = layout.segments + SEGMENT * _sealed(data, SEGMENTS)
    # Longer is sound: a master was killed between making room for a segment and counting it.
    if len(data) < end:
        raise ValueError("it is cut short")
    for at in range(layout.segments, end, BLOCK_BYTES):
        if count := _sealed(data, at):
            block = data[at : at + BLOCK_BYTES]
            queue, start = _read_place(block)
            if queue == PARCELS:
                _read_pieces(block[PAGE:], count, queues)
                continue
            if queue >= layout.queues:
                raise ValueError("one of its blocks is damaged")
            queues[queue].blocks.append((start, *_read_block(block, count)))
    for queue_ in queues:
        _check_order(queue_)
    return queues


def _sealed(data: memoryview, at: int) -> int:
    return unseal(int.from_bytes(data[at : at + 8], "little"))


def _read_place(block: memoryview) -> tuple[int, int]:
    place = bytes(block[8 : 8 + PLACE.size + 8])
    if not is_sound(place):
        raise ValueError("one of its blocks is damaged")
    queue, start = PLACE.unpack_from(place)
    return queue, start


def _read_pieces(body: memoryview, used: int, queues: list[_Queue]) -> None:
    at = 0
    while at < used:
        head, start = bytes(body[at + 1 : at + PIECE_HEAD]), at + PIECE_HEAD
        if used > len(body) or not is_sound(head):
            raise ValueError("one of its blocks is damaged")
        position, queue, offset, size, total, checksum = PIECE.unpack_from(head)
        piece, state = bytes(body[start : start + size]), body[at]
        at = start + size
        if zlib.crc32(piece) != checksum or queue >= len(queues) or state not in (0, BLOCK_DONE):
            raise ValueError("one of its blocks is damaged")
        if not state:
            queues[queue].parcels.add(position, offset, total, piece)


def _read_block(block: memoryview, count: int) -> tuple[bytes, bytearray]:
    if count > BLOCK:
        raise ValueError("one of its blocks is damaged")
    states = bytearray(block[PAGE + BLOCK :][:count])
    if states.count(0) + states.count(BLOCK_DONE) != count:
        raise ValueError("the marks of one of its blocks are damaged")
    return bytes(block[PAGE:][:count]), states


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


def _mark_finished(data: memoryview, layout: Layout, slot: int, queues: list[_Queue], retried: Collection[int]) -> None:
    """Take the marks of a process into account that the master had not read."""
    memory = slot_parts(data[layout.shared : layout.in_flight_logs], slot)
    log = data[layout.in_flight_log(slot) :][: layout.in_flight_bytes]
    finished = _finished_aside(memory)

    def settle(queue: _Queue, position: int, state: int | None) -> None:
        if state == MARK_DONE or (state == MARK_FAILED and queue.signum_at(position) not in retried):
            queue.mark(position)

    for number, position, queue, _ in _aside_entries(log):
        settle(queues[queue], position, finished.get(number))
    seen: set[int] = set()
    newest = -1
    for number, position, queue, count in _sent_entries(log):
        newest = max(newest, number + count - 1)
        for own in range(max(number, newest - WINDOW + 1), number + count):
            if own in seen:
                continue
            seen.add(own)
            settle(queues[queue], position + own - number, finished.get(own, memory.marks[own % WINDOW]))


def _finished_aside(memory: SlotMemory) -> dict[int, int]:
    """How async handlers ended, by number."""
    # By the entries alone: each is one store, and there are none of an earlier process.
    entries = set(memory.finished[:FINISHED].tolist()) - {0}
    if not all(map(is_sound_entry, entries)):
        raise ValueError("its list of finished handlers is damaged")
    return {number: state for number, state in map(read_entry, entries) if state in _FINISHED_STATES}


def _sent_entries(log: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The entries of the ring, the newest first: a number that was sent again stands for the newer signal."""
    written = _sealed(log, 0)
    # All but the oldest: the master may have been killed while it wrote the next one over it.
    for k in range(written - 1, max(-1, written - IN_FLIGHT_ENTRIES), -1):
        entry = _entry(log, k % IN_FLIGHT_ENTRIES)
        if not is_sound(entry):
            raise ValueError("its list of signals in flight is damaged")
        yield IN_FLIGHT.unpack_from(entry)


def _aside_entries(log: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """The async handlers that the master knew of; an entry that is not sound is empty, or was cut off."""
    for nth in range(_sealed(log, 8)):
        entry = _entry(log, IN_FLIGHT_ENTRIES + nth)
        if is_sound(entry):
            yield IN_FLIGHT.unpack_from(entry)


def _entry(log: memoryview, nth: int) -> bytes:
    return bytes(log[PAGE + nth * IN_FLIGHT_BYTES :][:IN_FLIGHT_BYTES])
