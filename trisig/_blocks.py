"""The queues of a journal: blocks of 65,536 signals at consecutive positions, in segments that are added as needed.

Each queue keeps one block that is filled only in part. A disk can be full: while a journal is being made that is an
error. Later the part-filled blocks in which everything is done are used for other queues; if there is none, the master
goes on without, says so, and asks the disk again now and then.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from time import monotonic

from ._layout import BLOCK, BLOCK_BYTES, DONE, PAGE, PLACE, checksummed, seal

log = logging.getLogger("trisig")

_PAUSE = 1.0  # seconds until a full disk is asked again: some file systems take their time to say no
_CALM = 60.0  # seconds without a loss after which the next one is told
_ALL_DONE = bytes((DONE,)) * BLOCK


class _Block:
    """Up to 65,536 signals of one queue."""

    __slots__ = ("_place", "_word", "count", "data", "done", "start", "states")

    def __init__(self, memory: memoryview) -> None:
        self._word = memory[:8].cast("Q")
        self._place = memory[8 : 8 + PLACE.size + 8]
        self.data = memory[PAGE : PAGE + BLOCK]
        self.states = memory[PAGE + BLOCK :]
        self.start = self.count = self.done = 0
        self.free()

    def take(self, queue: int, start: int) -> None:
        """Begin anew; the block counts as empty, and the rest of it for nothing, until `add`."""
        self.start, self.count, self.done = start, 0, 0
        self.states[:] = bytes(BLOCK)
        self._place[:] = checksummed(PLACE.pack(queue, start))

    def add(self, data: memoryview) -> None:
        self.data[self.count : self.count + len(data)] = data
        self.count += len(data)
        self._word[0] = seal(self.count)  # last: what it does not count is not there

    def free(self) -> None:
        self._word[0] = seal(0)

    def has_room_at(self, position: int) -> bool:
        return self.count < BLOCK and self.start + self.count == position


class Blocks:
    """All of them, by queue.

    Args:
        queues: how many queues there are.
        word: says how many segments there are.
        allocate: makes room for the segment of a number, and returns its memory; raises OSError.

    Attributes:
        strict: whether a signal that finds no room is an error.
        reach: by queue, the position of the next signal.
        missed: how many signals found no room.

    Raises:
        OSError: there is no room for the first segment.
    """

    def __init__(self, queues: int, word: memoryview, allocate: Callable[[int], memoryview]) -> None:
        self.strict = True
        self.reach = array("Q", bytes(8 * queues))
        self.missed = 0
        self._word = word
        self._allocate = allocate
        self._segments = 0
        self._of: list[list[_Block]] = [[] for _ in range(queues)]
        self._free: list[_Block] = []
        self._refused = OSError()
        self._ask_again_at = self._calm_at = 0.0
        self._missed_before = 0  # the last segment was added
        self._grow()

    def append(self, queue: int, start: int, data: bytes) -> None:
        """A queue takes signals at consecutive positions.

        If there is no room for them they are not kept, and the log says so.

        Raises:
            OSError: there is no room, and that is an error.
        """
        rest = memoryview(data)
        while rest and (block := self._tail(queue, start)):
            part = rest[: BLOCK - block.count]
            block.add(part)
            start += len(part)
            rest = rest[len(part) :]
        self.reach[queue] = start + len(rest)
        if rest:
            self._miss(len(rest))

    def done(self, queue: int, start: int, count: int) -> None:
        """Signals are finished, or given up."""
        blocks = self._of[queue]
        for block in list(blocks):
            first, last = max(start, block.start), min(start + count, block.start + block.count)
            if first < last:
                block.states[first - block.start : last - block.start] = _ALL_DONE[: last - first]
                block.done += last - first
                if block.done == BLOCK:
                    self._release(blocks, block)
            if start + count <= block.start + block.count:
                return

    def _tail(self, queue: int, start: int) -> _Block | None:
        blocks = self._of[queue]
        if blocks and blocks[-1].has_room_at(start):
            return blocks[-1]
        if not self._free and not self._try_to_grow():
            self._reclaim()
        if not self._free:
            return None
        block = self._free.pop()
        block.take(queue, start)
        blocks.append(block)
        return block

    def _reclaim(self) -> None:
        """Take back the blocks that are filled only in part, and all of it done."""
        for blocks in self._of:
            for block in [block for block in blocks if block.done == block.count]:
                self._release(blocks, block)

    def _release(self, blocks: list[_Block], block: _Block) -> None:
        blocks.remove(block)
        block.free()
        self._free.append(block)

    def _grow(self) -> None:
        memory = self._allocate(self._segments)
        self._free += [_Block(memory[at : at + BLOCK_BYTES]) for at in range(0, len(memory), BLOCK_BYTES)]
        self._segments += 1
        self._word[0] = seal(self._segments)  # last: what it does not count is not there

    # A full disk

    def _try_to_grow(self) -> bool:
        if monotonic() < self._ask_again_at:
            return False
        try:
            self._grow()
        except OSError as error:
            if self.strict:
                raise
            self._refused, self._ask_again_at = error, monotonic() + _PAUSE
            return False
        if self.missed > self._missed_before:
            log.warning(
                "master: the journal has room again; %d signals were taken without it",
                self.missed - self._missed_before,
            )
        self._missed_before, self._calm_at = self.missed, 0.0
        return True

    def _miss(self, count: int) -> None:
        now = monotonic()
        if now >= self._calm_at:
            log.error(
                "master: the journal has no room, signals are delivered but would not survive the master: %s",
                self._refused,
            )
        self._calm_at = now + _CALM
        self.missed += count
