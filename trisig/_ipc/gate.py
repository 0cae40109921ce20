"""The gate: a word in shared memory and an eventfd, which keep raisers waiting while too much is queued."""

from __future__ import annotations

import os

import trio


class Gate:
    """Paused and resumed by the master, seen by every process.

    Raisers read the word before each signal, which costs no system call. The eventfd is readable unless the gate is
    paused, and wakes those who wait.

    Args:
        word: not zero while the gate is paused.
        fd: the eventfd of a gate that another process has made; None to make one.
    """

    def __init__(self, word: memoryview, fd: int | None = None) -> None:
        self.word = word
        self.fd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if fd is None else fd

    @property
    def paused(self) -> bool:
        """Whether raisers have to wait."""
        return bool(self.word[0])

    def pause(self) -> None:
        """Let nobody raise more signals for now."""
        # The word first: between the two a raiser is woken once too often, and looks at the word again.
        self.word[0] = 1
        os.eventfd_read(self.fd)

    def resume(self) -> None:
        """Let everybody raise signals again."""
        # The word first: whoever is woken finds it cleared.
        self.word[0] = 0
        os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """Close the descriptor, in the process that made the gate; tasks that wait for it get ClosedResourceError."""
        trio.lowlevel.notify_closing(self.fd)
        os.close(self.fd)
