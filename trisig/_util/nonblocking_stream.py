"""Whole lines to a file descriptor, without ever waiting for whoever reads them.

A reader of standard error that stops reading (a stuck pipe, a terminal after Ctrl-S) would block a plain write. So
lines go through a description of their own that is non-blocking: setting the flag on the inherited one would change
it for every process that shares it. What does not fit is counted, and the next line that fits says how many were
dropped.

A thread with a queue was the alternative; it does not go with forking later.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from functools import partial


class NonBlockingStream:
    """Writes lines to a descriptor, in every process that inherits it.

    Args:
        fd: stays open when the writer is closed.
    """

    def __init__(self, fd: int) -> None:
        self._owner = os.getpid()
        self._write_nowait, self._close_nowait = _open_nowait(fd)
        self._rest = b""
        self._dropped = 0

    def close(self) -> None:
        """Close what was opened beside the descriptor itself."""
        close, self._close_nowait = self._close_nowait, _nothing
        close()

    def write(self, lines: str) -> None:
        """Write one line or several that belong together, or count them as one that was dropped."""
        if os.getpid() != self._owner:  # forked: the rest of a line, and the count, are the parent's
            self._owner, self._rest, self._dropped = os.getpid(), b"", 0
        self._rest = self._rest[self._try_write(self._rest) :]
        if self._rest:
            self._dropped += 1
            return
        report = b"%d log lines were dropped: nobody read them\n" % self._dropped if self._dropped else b""
        data = report + lines.encode(errors="backslashreplace")
        written = self._try_write(data)
        if written:
            self._rest, self._dropped = data[written:], 0
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Nothing is buffered."""

    def _try_write(self, data: bytes) -> int:
        try:
            return self._write_nowait(data) if data else 0
        except OSError:  # full, or its reader is gone
            return 0


def _nothing() -> None:
    pass


def _open_nowait(fd: int) -> tuple[Callable[[bytes], int], Callable[[], None]]:
    """A write to what `fd` is open on that never waits, as far as the kernel knows one for it, and how to close it."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            peer = socket.socket(fileno=os.dup(fd))
            return lambda data: peer.send(data, socket.MSG_DONTWAIT), peer.close
        # A file opened anew would have an offset of its own, and overwrite what the children write.
        if stat.S_ISFIFO(mode) or os.isatty(fd):
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            return partial(os.write, own), partial(os.close, own)
    except OSError:  # after a change of user the kernel may refuse to open it again
        pass
    return partial(os.write, fd), _nothing
