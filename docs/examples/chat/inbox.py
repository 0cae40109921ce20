"""What waits to be shown to one client: a queue with a limit in characters.

A count would not do. A page of old messages is one thing to show, and may be a thousand times as large as another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio

from events import Shown

MOST = 1_000_000  # characters that a client may be behind
AHEAD = 64 * 1024  # characters above which a client's own requests wait, and that are shown in one go

Batch = Sequence[Shown]


def size_of(batch: Batch) -> int:
    """About how many characters there are in it."""
    return sum(shown.size for shown in batch)


class Inbox:
    """One client's inbox."""

    def __init__(self) -> None:
        self._waiting: deque[Shown] = deque()
        self._size = 0
        self._is_closed = False
        self._changed = trio.Event()

    def offer(self, batch: Batch, size: int) -> bool:
        """Add these, whose size is known; false if the inbox is full. Never waits."""
        if self._size > MOST:
            return False
        if not self._is_closed:
            self._waiting += batch
            self._size += size
            self._change()
        return True

    async def put(self, batch: Batch) -> None:
        """Add these one by one, each as soon as there is little before it."""
        for shown in batch:
            while self._size > AHEAD and not self._is_closed:
                await self._changed.wait()
            self.offer([shown], shown.size)

    async def take(self) -> list[Shown]:
        """Take what comes next, not more than can be shown in one go; waits until there is something.

        Raises:
            trio.EndOfChannel: it is closed, and nothing is left.
        """
        while not self._waiting:
            if self._is_closed:
                raise trio.EndOfChannel
            await self._changed.wait()
        batch = [self._waiting.popleft()]
        size = batch[0].size
        while self._waiting and size + self._waiting[0].size <= AHEAD:
            batch.append(self._waiting.popleft())
            size += batch[-1].size
        self._size -= size
        self._change()
        return batch

    def close(self) -> None:
        """Take nothing more in. What is there can still be taken out."""
        self._is_closed = True
        self._change()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
