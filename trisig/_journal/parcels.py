"""Contents of a journal that are longer than a byte: the arguments of tasks, and dead letters.

A content is stored in pieces, in blocks from the same pool as those of signals. A block is used from its beginning to
its end, and is free again when all in it has been let go. When only a quarter is left of a block that is full, that
quarter moves on to the block that is being filled: a task that waits for long does not keep a block for itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from .block import Block
from .layout import BLOCK_DONE, PARCELS, PIECE, PIECE_HEAD, checksummed

_Key = tuple[int, int, int]  # queue, position, and where in the content the piece begins


class Crate:
    """A block that holds pieces.

    Args:
        block: a free one.
    """

    __slots__ = ("_live", "_memory", "block", "left", "used")

    def __init__(self, block: Block) -> None:
        block.take(PARCELS, 0)
        self.block = block
        self._memory = block.body
        self._live: dict[_Key, tuple[int, int]] = {}  # where a piece begins, and how long it is
        self.used = 0
        self.left = 0  # bytes in pieces that were not let go

    @property
    def room(self) -> int:
        """How long the next piece may be; none or less if the block is full."""
        return len(self._memory) - self.used - PIECE_HEAD

    def add(self, key: _Key, total: int, piece: memoryview) -> None:
        """Store a piece of a content that is `total` bytes long."""
        at, start = self.used, self.used + PIECE_HEAD
        queue, position, offset = key
        fields = PIECE.pack(position, queue, offset, len(piece), total, zlib.crc32(piece))
        self._memory[at:start] = b"\0" + checksummed(fields)
        self._memory[start : start + len(piece)] = piece
        self._live[key] = at, len(piece)
        self.used = start + len(piece)
        self.left += len(piece)
        self.block.count_up(self.used)  # last: what it does not count is not there

    def let_go(self, key: _Key) -> None:
        """A piece is not needed any more."""
        at, size = self._live.pop(key)
        self._memory[at] = BLOCK_DONE
        self.left -= size

    def live(self) -> list[tuple[_Key, int, memoryview]]:
        """The pieces that are needed: key, the size of the whole content, and what the piece holds."""
        pieces = []
        for key, (at, size) in self._live.items():
            total = PIECE.unpack_from(self._memory, at + 1)[4]
            start = at + PIECE_HEAD
            pieces.append((key, total, self._memory[start : start + size]))
        return pieces


class Parcels:
    """The contents of all queues.

    Args:
        queues: how many queues there are.
        claim: gives a free block, or None if there is no room.
        release: takes it back.
    """

    def __init__(self, queues: int, claim: Callable[[], Block | None], release: Callable[[Block], object]) -> None:
        self._claim = claim
        self._release = release
        self._filling: Crate | None = None
        self._crates: set[Crate] = set()
        self._kept: list[dict[int, dict[int, Crate]]] = [{} for _ in range(queues)]  # by position, then by offset

    def keep(self, queue: int, position: int, content: bytes) -> bool:
        """Store a content; whether there was room.

        Args:
            queue: its number.
            position: there.
            content: not empty.
        """
        places = self._kept[queue].setdefault(position, {})
        rest = memoryview(content)
        while rest:
            crate = self._crate()
            if crate is None:
                self.done(queue, position, 1)
                return False
            offset, piece = len(content) - len(rest), rest[: crate.room]
            crate.add((queue, position, offset), len(content), piece)
            places[offset] = crate
            rest = rest[len(piece) :]
        return True

    def done(self, queue: int, start: int, count: int) -> None:
        """Let go of the contents at some positions, if there are any."""
        kept = self._kept[queue]
        if not kept:
            return
        end = start + count
        few = count <= len(kept)
        for position in range(start, end) if few else [at for at in kept if start <= at < end]:
            pieces = kept.pop(position, {})
            for offset, crate in pieces.items():
                crate.let_go((queue, position, offset))
            for crate in set(pieces.values()):  # all of them are let go by now: none of them moves
                self._tidy(crate)

    def _crate(self, least: int = 1) -> Crate | None:
        """Where the next piece goes; a new block if it has less room than that."""
        before = self._filling
        if before is not None and before.room >= least:
            return before
        block = self._claim()
        self._filling = Crate(block) if block is not None else None
        if self._filling is not None:
            self._crates.add(self._filling)
        if before is not None and not before.left:
            self._tidy(before)
        return self._filling

    def _tidy(self, crate: Crate) -> None:
        if crate is self._filling or 4 * crate.left > crate.used:
            return
        for key, total, piece in crate.live():
            if not self._move(key, total, piece):
                return
            crate.let_go(key)
        self._crates.remove(crate)
        self._release(crate.block)

    def _move(self, key: _Key, total: int, piece: memoryview) -> bool:
        """Store a piece once more, in a new block if need be; a next master may find it twice and take either."""
        crate = self._crate(len(piece))
        if crate is None:
            return False
        queue, position, offset = key
        crate.add(key, total, piece)
        self._kept[queue][position][offset] = crate
        return True

    def begin_anew(self) -> list[Block]:
        """Forget everything; returns the blocks that are free now."""
        blocks = [crate.block for crate in self._crates]
        self._filling = None
        self._crates.clear()
        for kept in self._kept:
            kept.clear()
        return blocks
