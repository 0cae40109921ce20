"""The piece of a journal that is taken and let go as one."""

from __future__ import annotations

from .layout import BLOCK, PAGE, PLACE, checksummed, seal


class Block:
    """Up to 65,536 signals of one queue, or pieces of longer contents in `body`.

    Attributes:
        start: the position of the first one in the queue.
        count: how many it holds.
        done: how many of these are done.
        body: all that a block can hold: `data`, and `states` behind it.
    """

    __slots__ = ("_place", "_word", "body", "count", "data", "done", "start", "states")

    def __init__(self, memory: memoryview) -> None:
        self._word = memory[:8].cast("Q")
        self._place = memory[8 : 8 + PLACE.size + 8]
        self.body = memory[PAGE:]
        self.data = memory[PAGE : PAGE + BLOCK]
        self.states = memory[PAGE + BLOCK :]
        self.start = self.count = self.done = 0
        self.free()

    def take(self, queue: int, start: int) -> None:
        """Begin anew for a queue. The block counts as empty until `add`, so these stores may be cut off anywhere."""
        self.start, self.count, self.done = start, 0, 0
        self.states[:] = bytes(BLOCK)
        self._place[:] = checksummed(PLACE.pack(queue, start))

    def add(self, data: memoryview) -> None:
        """Append signals, for which there must be room."""
        self.data[self.count : self.count + len(data)] = data
        self.count_up(self.count + len(data))

    def count_up(self, count: int) -> None:
        """What stands up to here is in the journal."""
        self.count = count
        self._word[0] = seal(count)  # last: what it does not count is not there

    def free(self) -> None:
        """Count for nothing, until `take`."""
        self._word[0] = seal(0)

    def has_room_at(self, position: int) -> bool:
        """Whether the next signal of the block would be the one at a position of its queue."""
        return self.count < BLOCK and self.start + self.count == position
