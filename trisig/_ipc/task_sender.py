"""A child's way to send tasks and answers: frames in the pipe of what it raises."""

from __future__ import annotations

import os
import select

from .bulk import BulkSender
from .raised_stream import ANSWER, INLINE, TASK, frame


class TaskSender:
    """Writes the frames of one process.

    Args:
        fd: the writing end of the pipe of what it raises, non-blocking.
        bulk: for long contents.
    """

    def __init__(self, fd: int, bulk: BulkSender) -> None:
        self._fd = fd
        self._bulk = bulk
        self._waiter = select.poll()
        self._waiter.register(fd, select.POLLOUT)

    def send(self, task: int, arguments: bytes, key: int, due: float, priority: int) -> None:
        """Send a task.

        Args:
            task: its index.
            arguments: encoded.
            key: of the call that waits for its answer; 0 for none.
            due: when it shall run, in seconds since the epoch; 0 for at once.
            priority: as in `Invocation`.

        Raises:
            BlockingIOError: no room. Long arguments wait for room instead: what is written of them stays.
            OSError: the master is gone.
        """
        data = frame(TASK, task, arguments, key, self._bulk.send, due, priority)
        if len(arguments) > INLINE:
            self._write(data)
        else:
            os.write(self._fd, data)

    def answer(self, outcome: int, content: bytes, reply: int) -> None:
        """Send the answer of a task that has run here; blocks while there is no room, as the master always reads."""
        try:
            self._write(frame(ANSWER, outcome, content, reply, self._bulk.send))
        except OSError:
            pass  # the master is gone, and the caller with it

    def _write(self, data: bytes) -> None:
        while True:
            try:
                os.write(self._fd, data)
            except BlockingIOError:
                self._waiter.poll()
            else:
                return
