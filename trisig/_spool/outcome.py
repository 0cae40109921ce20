"""What became of a job that was looked at, or of one attempt to run it."""

from __future__ import annotations

import struct
from enum import IntEnum

import msgspec

_HEADER = struct.Struct("<BQ")


class Fate(IntEnum):
    """What became of it.

    DONE: it has run, and its file is gone.
    AGAIN: it is still there; its file says when it is due.
    LOCKED: somebody else runs or writes it.
    GONE: somebody else has run or moved it.
    DEAD: it was given up, and is in `dead`.
    REFUSED: its file may not be read, written or moved; it is left where it is.
    """

    DONE = 0
    AGAIN = 1
    LOCKED = 2
    GONE = 3
    DEAD = 4
    REFUSED = 5


class Outcome(msgspec.Struct, frozen=True):
    """A fate, why, and how often the job was started."""

    fate: Fate
    reason: str = ""
    starts: int = 0

    def encode(self) -> bytes:
        """The bytes of it, for the way to the master."""
        return _HEADER.pack(self.fate, self.starts) + self.reason.encode(errors="backslashreplace")

    @classmethod
    def decode(cls, data: bytes | bytearray) -> Outcome:
        """What those bytes say."""
        fate, starts = _HEADER.unpack_from(data)
        return cls(Fate(fate), data[_HEADER.size :].decode(), starts)
