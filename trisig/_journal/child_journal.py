"""The journal in a child that was not forked from its master, and so has not inherited the mapping."""

from __future__ import annotations

import os
from functools import partial

import msgspec

from trisig._linux.bus_error import BusErrorRepair
from trisig._linux.mmap_file import map_file

from .layout import Layout
from .lock import grow_again
from .outbox import Outbox


class JournalPlace(msgspec.Struct, frozen=True):
    """Where the parts of a journal are, for a process that is passed its descriptor.

    Attributes:
        slots, queues, names, shared: as `Layout` has them.
        size: bytes that the file has to have.
    """

    slots: int
    queues: int
    names: int
    shared: int
    size: int


class ChildJournal:
    """What a child uses of a journal.

    Args:
        fd: the file, which stays open: the lock on it ends with the last process of the tree.
        place: where its parts are.

    Attributes:
        shared: the memory that the master shares with its children.

    Raises:
        OSError: it cannot be mapped.
    """

    def __init__(self, fd: int, place: JournalPlace) -> None:
        layout = Layout(place.slots, place.queues, place.names, place.shared)
        self._memory = memory = map_file(fd, layout.segments)
        self.shared = memory[layout.shared : layout.in_flight_logs]
        self._layout = layout
        found = os.fstat(fd)
        identity = found.st_dev, found.st_ino
        self._bus_errors = BusErrorRepair(partial(grow_again, fd, identity, place.size))
        self._bus_errors.install()

    def outbox(self, slot: int) -> Outbox:
        """Where the process of a slot notes what it raises."""
        return Outbox(self._memory[self._layout.outbox(slot) :][: self._layout.outbox_bytes])
