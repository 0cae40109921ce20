"""uWSGI's packet, the content of a file of its spooler.

    byte 0        modifier1, 17 for the spooler
    bytes 1, 2    size of the pairs, little-endian
    byte 3        modifier2, 0
    then          the pairs: size of the key (2 bytes, little-endian), key, size of the value, value
    then          the body, to the end of the file

The pairs take 64 KiB at most; the body has no limit.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

import msgspec

_HEADER = struct.Struct("<BHB")
HEADER_BYTES = _HEADER.size
_SIZE = struct.Struct("<H")
_SPOOLER = 17  # modifier1
PAIRS_BYTES = 0xFFFF

TASK = b"trisig_task"  # the pair that names the task of a job which trisig has written
FUNCTION = b"ud_spool_func"  # the pair that names the function of a job which uWSGI's decorators have written


class PacketError(ValueError):
    """Bytes that are no packet of a spooler."""


class Packet(msgspec.Struct, frozen=True):
    """The pairs of a job, and its body."""

    pairs: Mapping[bytes, bytes] = msgspec.field(default_factory=dict)
    body: bytes = b""

    @property
    def is_call(self) -> bool:
        """Whether the body has the arguments of a task, as trisig writes them; else the pairs have them."""
        return TASK in self.pairs

    def encode(self) -> bytes:
        """The bytes of the file.

        Raises:
            ValueError: an empty key, or more pairs than 64 KiB.
        """
        pairs = b"".join(_encoded(self.pairs.items()))
        if len(pairs) > PAIRS_BYTES:
            raise ValueError(f"the pairs of a job take {len(pairs)} bytes of {PAIRS_BYTES}; put the rest into its body")
        return _HEADER.pack(_SPOOLER, len(pairs), 0) + pairs + self.body


def _encoded(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for key, value in pairs:
        if not key:
            raise ValueError("a key of a job is not empty")
        for part in (key, value):
            if len(part) > PAIRS_BYTES:
                raise ValueError(f"a key or value of a job takes {len(part)} bytes of {PAIRS_BYTES}; use the body")
            yield _SIZE.pack(len(part)) + part


def decode(data: bytes) -> Packet:
    """The packet that a file holds. Of a key that comes twice, the last value counts, as in uWSGI's Python.

    Raises:
        PacketError: it is none, or is cut off.
    """
    if len(data) < _HEADER.size:
        raise PacketError(f"cut off: {len(data)} bytes, and the header alone takes {_HEADER.size}")
    modifier, size, _ = _HEADER.unpack_from(data)
    if modifier != _SPOOLER:
        raise PacketError(f"not a job: it begins with {modifier}, and a job with {_SPOOLER}")
    end = _HEADER.size + size
    if len(data) < end:
        raise PacketError(f"cut off: {len(data)} bytes of {end} at least")
    return Packet(dict(_decoded(data[_HEADER.size : end])), data[end:])


def _decoded(pairs: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(pairs):
        key, position = _part(pairs, position)
        if not key:
            raise PacketError("a pair has an empty key")
        value, position = _part(pairs, position)
        yield key, value


def _part(pairs: bytes, position: int) -> tuple[bytes, int]:
    start = position + _SIZE.size
    if start > len(pairs):
        raise PacketError("the last pair is cut off")
    end = start + int(_SIZE.unpack_from(pairs, position)[0])
    if end > len(pairs):
        raise PacketError("the last pair is cut off")
    return pairs[start:end], end
