"""How a journal is laid out in its file, and how damage is told from what a killed master leaves. Pure.

    header     what the file is; then three words: how many segments it has, whether it was published, whether it was
               cut short and repaired
    names      of the queues, as JSON
    shared     the memory that the master shares with its children, so that their marks outlive it too
    in flight  per process, which positions in the queues the numbers of its lane stand for (`in_flight`)
    outboxes   per process, what it has raised, from before it is written to the pipe until it was accepted (`outbox`)
    intent     how far every queue reached before the batch that is being accepted, or the signal that is being moved
    schedules  of timers and cron jobs, how far they have come (`schedules`)
    segments   of 8 blocks, each with 65,536 signals of one queue and a byte apiece that says whether it is done;
               or with pieces of longer contents: the arguments of tasks, and dead letters (`parcels`)

A SIGKILL may fall between any two stores. So each word that changes is stored by one machine instruction, and carries
its complement. Whatever takes more than one store carries a checksum, and counts only once a word says so, which is
stored after it. An entry in a list of finished handlers is one store with its checksum in it. The signals themselves
and the marks of the processes are a byte each, and have no room for a check.
"""

from __future__ import annotations

import struct
import zlib

from trisig._model.lane import FINISHED, WINDOW

MAGIC = b"trisig journal 5"
PAGE = 4096
HEADER = struct.Struct("<16s6Q")  # magic, slots, queues, bytes of names, bytes of shared memory, pid, start time
SEGMENTS = 512  # offset of the word that counts the segments
PUBLISHED = 520  # offset of the word that is sealed 1 once the file is a journal, whatever name it has
REPAIRED = 528  # offset of the word that is not 0 after the file was cut short, until its master has seen it
BLOCK = 65_536  # signals in a block
BLOCK_BYTES = PAGE + 2 * BLOCK
SEGMENT = 8 * BLOCK_BYTES
PLACE = struct.Struct("<QQ")  # of a block, behind its count: the queue, and the position of its first signal
PARCELS = 2**64 - 1  # as the queue of a block: it holds pieces of longer contents
PIECE = struct.Struct("<QIIIII")  # position, queue, offset, size, size of the whole content, its checksum
PIECE_HEAD = 1 + PIECE.size + 8  # a byte that says whether it was let go, and a checksum
BLOCK_DONE = 0xFF  # the byte beside a signal, which is 0 until then: no single bit makes one of the other
OUTBOX = 524_288  # twice the size of a pipe: the signals in the pipe, and those read and being accepted
IN_FLIGHT = struct.Struct("<QQII")  # number, position, queue, count
IN_FLIGHT_BYTES = IN_FLIGHT.size + 8
IN_FLIGHT_ENTRIES = WINDOW + 1024  # an entry stands for at least one number; some were taken back and sent again
ASIDE_ENTRIES = FINISHED
SCHEDULES = 1024  # entries
SCHEDULE_BYTES = 96  # two copies of 48

DEAD = "dead"  # the name of the queue of dead letters, which has no signals

LOW = 2**32 - 1  # the half of a sealed word that holds its number


def seal(number: int) -> int:
    """A number modulo 2**32 as a word, with its complement in the upper half."""
    low = number & LOW
    return low | (low ^ LOW) << 32


def opened(word: int) -> int:
    """The number in a sealed word, unverified: for the process that stored it."""
    return word & LOW


def unseal(word: int) -> int:
    """The number in a sealed word, verified: for recovery.

    Raises:
        ValueError: the word is damaged.
    """
    if word != seal(word):
        raise ValueError("a count in it is damaged")
    return word & LOW


def checksummed(fields: bytes) -> bytes:
    """Append a checksum of 8 bytes, which `is_sound` verifies."""
    return fields + zlib.crc32(fields).to_bytes(8, "little")


def is_sound(data: bytes) -> bool:
    """Whether bytes are what `checksummed` made."""
    return zlib.crc32(data[:-8]) == int.from_bytes(data[-8:], "little")


def pages(size: int) -> int:
    """Round a size up to whole pages."""
    return -(-size // PAGE) * PAGE


class Layout:
    """The offset of each part of the file.

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
        self.in_flight_logs = self.shared + pages(shared)
        self.in_flight_bytes = PAGE + pages((IN_FLIGHT_ENTRIES + ASIDE_ENTRIES) * IN_FLIGHT_BYTES)
        self.outboxes = self.in_flight_logs + slots * self.in_flight_bytes
        self.outbox_bytes = PAGE + OUTBOX
        self.intent = self.outboxes + (slots + 1) * self.outbox_bytes  # the last one is the master's own
        # A checksum, or 0; the slot, and how much of its outbox was accepted; the reach of each queue. For a move the
        # slot is `moves` plus the number of the queue that the signal leaves, and then comes its position there.
        self.intent_words = 3 + queues
        self.moves = slots + 1
        self.schedules = self.intent + pages(8 * self.intent_words)
        self.segments = self.schedules + pages(SCHEDULES * SCHEDULE_BYTES)

    def outbox(self, slot: int) -> int:
        """The offset of the outbox of a slot."""
        return self.outboxes + slot * self.outbox_bytes

    def in_flight_log(self, slot: int) -> int:
        """The offset of the in-flight log of a slot."""
        return self.in_flight_logs + slot * self.in_flight_bytes
