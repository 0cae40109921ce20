"""Where the memory is that a master shares with its children: in the journal, or in a file that has no name."""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack

from trisig._ipc.gate import Gate
from trisig._ipc.measurements import Measurements, measured_bytes
from trisig._ipc.shared_memory import Shared, shared_bytes
from trisig._linux.mmap_file import map_file

from .extras import Journal

MORE_TASKS = 1024  # that reloads may add, each with a row of measurements


class MasterMemory:
    """The memory, and the descriptors by which another interpreter finds it.

    Args:
        slots: how many children there can be.
        tasks: how many tasks the application has.
        journal: keeps it; None for a file in memory.

    Attributes:
        shared: how it is laid out.
        gate: which is in it.
        fd: of the file.
        measured_fd: of the file of the measurements, with rows for `task_rows` tasks. Both are -1 if the limit of
            file sizes has no room for them: then there can be no reload.

    Raises:
        OSError: there is no room for it, or no descriptor.
    """

    def __init__(self, slots: int, tasks: int, journal: Journal | None) -> None:
        self.task_rows = tasks + MORE_TASKS
        with ExitStack() as undo:
            self.measured_fd, measured = self._file(undo, measured_bytes(slots, self.task_rows))
            if journal is not None:
                self.fd, view = journal.fd, journal.shared
            else:
                self.fd, view = self._file(undo, shared_bytes(slots))
            self.shared = Shared(slots, view, Measurements(slots, self.task_rows, measured))
            self.gate = Gate(self.shared.gate)
            undo.callback(self.gate.close)
            self._opened = undo.pop_all()

    @staticmethod
    def _file(undo: ExitStack, size: int) -> tuple[int, memoryview]:
        fd = os.memfd_create("trisig")
        try:
            os.ftruncate(fd, size)
        except OSError:  # the limit of file sizes counts for files in memory too
            os.close(fd)
            return -1, memoryview(mmap.mmap(-1, size))
        undo.callback(os.close, fd)
        return fd, map_file(fd, size)

    def close(self) -> None:
        """Let go of the descriptors; the memory stays as long as somebody looks at it."""
        self._opened.close()
