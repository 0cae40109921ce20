"""Contents that a killed master has left in pieces, put together. Pure."""

from __future__ import annotations


class Contents:
    """The contents of one queue.

    Attributes:
        kept: those that are whole, by position.
    """

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}
        self._pieces: dict[int, dict[int, bytes]] = {}

    def add(self, position: int, offset: int, total: int, piece: bytes) -> None:
        """A piece was found; one that is found twice was being moved.

        Args:
            position: of the content in the queue.
            offset: where in the content the piece begins.
            total: how long the content is.
            piece: it.
        """
        pieces = self._pieces.setdefault(position, {})
        pieces[offset] = piece
        if sum(map(len, pieces.values())) == total:
            self.kept[position] = b"".join(pieces[offset] for offset in sorted(pieces))

    def cut(self, reach: int) -> None:
        """Forget what stands at `reach` and behind it."""
        self.kept = {position: content for position, content in self.kept.items() if position < reach}
