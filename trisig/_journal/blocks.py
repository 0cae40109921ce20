"""The queues of a journal: blocks of 65,536 signals at consecutive positions, in segments that are added as needed.

Each queue keeps one block that is filled only in part. A disk can be full. While a journal is being made, that is an
error. Later, part-filled blocks in which everything is done are used for other queues; if there are none, the master
goes on without the journal, says so in the log, and asks the disk again from time to time.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from time import monotonic

from .block import Block
from .layout import BLOCK, BLOCK_BYTES, BLOCK_DONE, seal
from .parcels import Parcels

log = logging.getLogger("trisig")

_QUIET_S = 60.0  # without a loss, after which the log reports the next one
_ALL_DONE = bytes((BLOCK_DONE,)) * BLOCK


class Blocks:
    """The blocks of all queues.

    Args:
        queues: how many queues there are.
        word: counts the segments in the file.
        allocate: makes room for the segment of a number, and returns its memory; raises OSError.
        retry_s: seconds until a full disk is asked again: some file systems take long to refuse.

    Attributes:
        strict: whether a signal that finds no room is an error.
        reach: by queue, the position of the next signal.
        missed: how many signals found no room.
        parcels: what is longer than a byte.

    Raises:
        OSError: there is no room for the first segment.
    """

    def __init__(
        self, queues: int, word: memoryview, allocate: Callable[[int], memoryview], retry_s: float = 1.0
    ) -> None:
        self.strict = True
        self.reach = array("Q", bytes(8 * queues))
        self.missed = 0
        self._word = word
        self._allocate = allocate
        self._segments = 0
        self._of: list[list[Block]] = [[] for _ in range(queues)]
        self._free: list[Block] = []
        self.parcels = Parcels(queues, self._claim, self._take_back)
        self._retry_s = retry_s
        self._refused = OSError()
        self._retry_at = self._report_at = 0.0
        self._missed_before = 0  # when the last segment was added
        self._grow()

    def append(self, queue: int, start: int, data: bytes) -> None:
        """Keep signals at consecutive positions of a queue.

        If there is no room for them they are not kept, and the log says so.

        Raises:
            OSError: there is no room, and the journal is `strict`.
        """
        rest = memoryview(data)
        while rest and (block := self._tail(queue, start)):
            part = rest[: BLOCK - block.count]
            block.add(part)
            start += len(part)
            rest = rest[len(part) :]
        self.reach[queue] = start + len(rest)
        if rest:
            self.miss(len(rest))

    def done(self, queue: int, start: int, count: int) -> None:
        """Mark signals as finished, or given up; those that were not kept are passed over."""
        self._mark_done(queue, start, count)
        self.parcels.done(queue, start, count)  # behind it: a task without arguments would be taken for signal 0

    def _mark_done(self, queue: int, start: int, count: int) -> None:
        blocks = self._of[queue]
        for block in list(blocks):
            first, last = max(start, block.start), min(start + count, block.start + block.count)
            if first < last:
                states = block.states[first - block.start : last - block.start]
                block.done += bytes(states).count(0)  # a task that found no room counts as done from the beginning
                states[:] = _ALL_DONE[: last - first]
                if block.done == BLOCK:
                    self._release(blocks, block)
            if start + count <= block.start + block.count:
                return

    def _tail(self, queue: int, start: int) -> Block | None:
        blocks = self._of[queue]
        if blocks and blocks[-1].has_room_at(start):
            return blocks[-1]
        block = self._claim()
        if block is not None:
            block.take(queue, start)
            blocks.append(block)
        return block

    def _claim(self) -> Block | None:
        if not self._free and not self._try_to_grow():
            self._reclaim()
        return self._free.pop() if self._free else None

    def _take_back(self, block: Block) -> None:
        block.free()
        self._free.append(block)

    def _reclaim(self) -> None:
        """Take back the blocks that are filled only in part, and all of it done."""
        for blocks in self._of:
            for block in [block for block in blocks if block.done == block.count]:
                self._release(blocks, block)

    def _release(self, blocks: list[Block], block: Block) -> None:
        blocks.remove(block)
        self._take_back(block)

    def _grow(self) -> None:
        memory = self._allocate(self._segments)
        self._free += [Block(memory[at : at + BLOCK_BYTES]) for at in range(0, len(memory), BLOCK_BYTES)]
        self._segments += 1
        self._word[0] = seal(self._segments)  # last: what it does not count is not there

    def begin_anew(self, lost: int) -> None:
        """Start with empty blocks, because the file has lost what was in them.

        Args:
            lost: how many signals were pending.
        """
        blocks = [*self._free, *self.parcels.begin_anew(), *(block for blocks in self._of for block in blocks)]
        for block in blocks:
            block.free()
        self._of = [[] for _ in self._of]
        self._free = blocks
        self._word[0] = seal(self._segments)
        self.missed += lost
        self._missed_before = self.missed

    # A full disk

    def _try_to_grow(self) -> bool:
        if monotonic() < self._retry_at:
            return False
        try:
            self._grow()
        except OSError as error:
            if self.strict:
                raise
            self._refused, self._retry_at = error, monotonic() + self._retry_s
            return False
        if self.missed > self._missed_before:
            log.warning(
                "master: the journal has room again; %d signals were accepted without it",
                self.missed - self._missed_before,
            )
        self._missed_before, self._report_at = self.missed, 0.0
        return True

    def miss(self, count: int) -> None:
        """So many signals or tasks found no room: say so, now and then."""
        now = monotonic()
        if now >= self._report_at:
            log.error(
                "master: the journal has no room: signals are delivered but would not survive the master: %s",
                self._refused,
            )
        self._report_at = now + _QUIET_S
        self.missed += count
