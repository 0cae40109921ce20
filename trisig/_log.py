"""Log lines on standard error that never make a process wait.

A reader of standard error that stops reading (a stuck pipe, a terminal after Ctrl-S) would block a plain write, and
the master must not block on a log, nor a child whose signals would wait with it. So all of them write through a
description of their own that is non-blocking: setting the flag on the inherited one would change it for every process
that shares it. What does not fit is counted, and the next line that fits says how many were dropped.

A thread with a queue was the alternative; it does not go with forking later.
"""

import logging
import os
import socket
import stat
from collections.abc import Callable
from functools import partial

from ._process import current_process

FORMAT = "%(asctime)s %(levelname)s %(subject)s%(message)s"
STANDARD_ERROR = 2


def configure(level: str) -> None:
    """Send the log of trisig and of the application to standard error, one line an event."""
    handler = DescriptorHandler(STANDARD_ERROR)
    handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
    handler.addFilter(_add_process_name)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _add_process_name(record: logging.LogRecord) -> bool:
    name = current_process().name
    record.subject = "" if record.getMessage().startswith(f"{name}: ") else f"{name} "
    return True


class DescriptorHandler(logging.Handler):
    """Writes whole lines to a file descriptor without ever waiting, in every process."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._owner = os.getpid()
        self._write_nowait, self._close_nowait = _open_nowait(fd)
        self._rest = b""
        self._dropped = 0

    def close(self) -> None:
        """Close what the handler opened; the descriptor itself stays open."""
        close, self._close_nowait = self._close_nowait, _nothing
        close()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or count it as dropped."""
        if os.getpid() != self._owner:  # forked: the rest of a line, and the count, are the parent's
            self._owner, self._rest, self._dropped = os.getpid(), b"", 0
        try:
            self._emit_nowait(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except Exception:  # noqa: BLE001  as in all of logging's handlers: a log line must not end the program
            self.handleError(record)

    def _emit_nowait(self, line: bytes) -> None:
        self._rest = self._rest[self._try_write(self._rest) :]
        if self._rest:
            self._dropped += 1
            return
        report = b"%d log lines were dropped: nobody read them\n" % self._dropped if self._dropped else b""
        written = self._try_write(report + line)
        if written:
            self._rest, self._dropped = (report + line)[written:], 0
        else:
            self._dropped += 1

    def _try_write(self, data: bytes) -> int:
        try:
            return self._write_nowait(data) if data else 0
        except BlockingIOError:
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
