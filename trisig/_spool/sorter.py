"""Looking at jobs that are due, to know which task runs them. Blocks.

The file is not taken for that, and no lock of ours hides it from others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from trisig._linux.ofd_lock import is_locked_file

from .claim import claim, open_to_read
from .dead_jobs import DeadJobs
from .directory import Entry, SpoolDirectory
from .outcome import Fate, Outcome
from .packet import FUNCTION, HEADER_BYTES, PAIRS_BYTES, TASK, Packet, PacketError, decode


class Sorter:
    """Finds the tasks of jobs.

    Args:
        directory: where they are.
        dead: takes those that no task can run.
        tasks: the indices of the durable tasks, by name.
        functions: the same by the name of the function alone; those of two functions of one name are not in it.
    """

    def __init__(
        self, directory: SpoolDirectory, dead: DeadJobs, tasks: Mapping[bytes, int], functions: Mapping[bytes, int]
    ) -> None:
        self._directory = directory
        self._dead = dead
        self._tasks = tasks
        self._functions = functions

    def sort(self, entry: Entry) -> int | Outcome:
        """The task of a job that is due; or why it has none, after which it is in `dead`."""
        try:
            head = _head_of(entry)
            return Outcome(head) if isinstance(head, Fate) else self._task_of(head)
        except (PacketError, LookupError):
            return self._give_up(entry)
        except OSError as error:
            return Outcome(Fate.REFUSED, str(error))

    def _task_of(self, head: Packet) -> int:
        if (name := head.pairs.get(TASK)) is not None:
            kind, index = "task", self._tasks.get(name)
            if index is None:  # a function that was moved since, or whose module was run as a program
                index = self._functions.get(name.rpartition(b".")[2])
        elif (name := head.pairs.get(FUNCTION)) is not None:
            kind, index = "function", self._functions.get(name)
        else:
            raise LookupError(f"no task: it has neither {TASK.decode()} nor {FUNCTION.decode()} among its pairs")
        if index is None:
            raise LookupError(f"no durable task here has the {kind} {name.decode(errors='backslashreplace')}")
        return index

    def _give_up(self, entry: Entry) -> int | Outcome:
        """Look again while nobody else has the job: uWSGI may have been writing it."""
        try:
            taken = claim(entry.path)
            if isinstance(taken, Fate):
                return Outcome(taken)
            try:
                return self._task_of(taken.read())
            except (PacketError, LookupError) as error:
                self._dead.bury(entry.path, error.args[0])
                return Outcome(Fate.DEAD, error.args[0])
            finally:
                taken.close()
        except OSError as error:
            return Outcome(Fate.REFUSED, str(error))

    def again(self, entry: Entry) -> Entry | None:
        """The job as it is now; None if it is gone."""
        return self._directory.entry(entry.path)


def _head_of(entry: Entry) -> Packet | Fate:
    """The job without its body."""
    try:
        fd = open_to_read(entry.path)
    except FileNotFoundError:
        return Fate.GONE
    try:
        if is_locked_file(fd):
            return Fate.LOCKED
        data = os.pread(fd, HEADER_BYTES + PAIRS_BYTES, 0)
        return decode(data) if data else Fate.LOCKED  # uWSGI opens the file before it locks it
    finally:
        os.close(fd)
