"""How a journal is laid out in its file, and how damage is told from what a killed master leaves. Pure.

    header    what the file is; then, in a word of its own, how many segments of blocks it has
    names     of the queues, as JSON
    memory    what the master shares with its children (`_shared`), so that their marks outlive it too
    flights   per process, which places in the queues the numbers of its lane stand for (`_flights`)
    outboxes  per process, what it has raised, from before it is written to the pipe until it was accepted (`_outbox`)
    intent    how far every queue reached before the batch that is being accepted, or the signal that is being moved
    segments  of 8 blocks, each with 65,536 signals of one queue and a byte apiece that says whether it is done

Words that change are stored by one machine instruction, which a SIGKILL cannot divide, and carry their complement.
What takes more than one store carries a checksum, and counts only once a word says so, which is stored after it.
An entry in a list of finished handlers is one store, and carries its checksum in it.
The signals themselves and the marks of the processes are a byte each, and have no room for a check.
"""

from __future__ import annotations

import struct
import zlib

from ._ledger import FINISHED, WINDOW

MAGIC = b"trisig journal 3"
PAGE = 4096
HEADER = struct.Struct("<16s6Q")  # magic, slots, queues, bytes of names, bytes of shared memory, pid, start time
SEGMENTS = 512  # where the number of segments is
BLOCK = 65_536  # signals in a block
BLOCK_BYTES = PAGE + 2 * BLOCK
SEGMENT = 8 * BLOCK_BYTES
PLACE = struct.Struct("<QQ")  # of a block, behind its count: the queue, and the position of its first signal
DONE = 0xFF  # the byte beside a signal, which is 0 until then: no single bit makes one of the other
OUTBOX = 524_288  # the pipe's size twice: what is in the pipe, and what was read and is being accepted
FLIGHT = struct.Struct("<QQII")  # number, position, queue, count
FLIGHT_BYTES = FLIGHT.size + 8
FLIGHTS = WINDOW + 1024  # a flight holds one number at least, and some were taken back and sent again
ASIDES = FINISHED

LOW = 2**32 - 1  # the half of a sealed word that holds its number


def seal(number: int) -> int:
    """A number modulo 2**32 as a word, with its complement in the upper half."""
    low = number & LOW
    return low | (low ^ LOW) << 32


def opened(word: int) -> int:
    """The number in a sealed word; for those who trust it."""
    return word & LOW


def unseal(word: int) -> int:
    """The number in a sealed word.

    Raises:
        ValueError: it is damaged.
    """
    if word != seal(word):
        raise ValueError("a count in it is damaged")
    return word & LOW


def checksummed(fields: bytes) -> bytes:
    """The bytes, and 8 more."""
    return fields + zlib.crc32(fields).to_bytes(8, "little")


def is_sound(data: bytes) -> bool:
    """Whether bytes are what `checksummed` made."""
    return zlib.crc32(data[:-8]) == int.from_bytes(data[-8:], "little")


def pages(size: int) -> int:
    """As many bytes in whole pages."""
    return -(-size // PAGE) * PAGE


class Layout:
    """Where everything is in the file.

    Args:
        slots: how many child processes there are.
        queues: how many queues.
        names: bytes of their names.
        shared: bytes of memory that the master shares with its children.
    """

    def __init__(self, slots: int, queues: int, names: int, shared: int) -> None:
        self.slots = slots
        self.queues = queues
        self.names = PAGE
        self.shared = self.names + pages(names)
        self.flights = self.shared + pages(shared)
        self.flight_bytes = PAGE + pages((FLIGHTS + ASIDES) * FLIGHT_BYTES)
        self.outboxes = self.flights + slots * self.flight_bytes
        self.outbox_bytes = PAGE + OUTBOX
        self.intent = self.outboxes + (slots + 1) * self.outbox_bytes  # the last one is the master's own
        # A checksum, or 0; the slot, and how much of its outbox was accepted; the reach of each queue. Of a move:
        # `moves` and the number of the queue that is left, and the position there.
        self.intent_words = 3 + queues
        self.moves = slots + 1
        self.segments = self.intent + pages(8 * self.intent_words)

    def outbox(self, slot: int) -> int:
        return self.outboxes + slot * self.outbox_bytes

    def flight(self, slot: int) -> int:
        return self.flights + slot * self.flight_bytes
