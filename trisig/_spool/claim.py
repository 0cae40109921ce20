"""Taking a job: nobody else runs it meanwhile, neither a process of this master nor another master nor uWSGI.

The lock belongs to the process that runs the job, not to its master: so a job is never run twice at once, whichever of
the two is killed first.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from trisig._linux.ofd_lock import is_locked_file, try_lock_file
from trisig._model.errors import reworded

from .outcome import Fate
from .packet import Packet, decode
from .starts import Starts, read_starts, starts_path, write_starts


class Claim:
    """A job that this process has, until `close`.

    Attributes:
        path: its file.
        starts: those before.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.starts = read_starts(path)
        self._fd = fd

    @property
    def due(self) -> bool:
        """Whether it may run now."""
        return os.fstat(self._fd).st_mtime_ns <= time.time_ns()

    def read(self) -> Packet:
        """The content of the file.

        Raises:
            PacketError: it holds no job.
        """
        data = bytearray()
        while part := os.pread(self._fd, 1 << 20, len(data)):
            data += part
        return decode(bytes(data))

    def begin(self) -> None:
        """The job is about to start."""
        self._note(self.starts.size + 1)

    def failed(self) -> None:
        """The start has failed, or has ended its process."""
        self._note(self.starts.size + 1)

    def excuse(self) -> None:
        """The start was cut off because its process ends: it does not count."""
        self._note(self.starts.size - 1)

    def _note(self, size: int) -> None:
        self.starts = Starts(size)
        write_starts(self.path, self.starts)

    def postpone(self, seconds: float) -> None:
        """Let it run again after so many seconds, in this process or in another."""
        due_ns = time.time_ns() + round(seconds * 1e9)
        os.utime(self._fd, ns=(due_ns, due_ns))

    def done(self) -> None:
        """The job has run: remove it. After a power failure at this moment it may run again."""
        # The job first: its count alone is litter, and the job alone would be counted from the start again.
        self.path.unlink()
        starts_path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Let others have the job, if it still exists."""
        os.close(self._fd)


def claim(path: Path) -> Claim | Fate:
    """Take a job; `LOCKED` or `GONE` if it cannot be had.

    Raises:
        OSError: the file may not be read and written; the message names its owner.
    """
    # A look before: whoever closes a file that is open for writing wakes all that watch the directory, this process's
    # own master among them, which would try again, for ever.
    if (fate := look(path)) is not None:
        return fate
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return Fate.GONE
    except PermissionError as error:
        raise not_ours(path, error) from None
    try:
        fate = _lock(path, fd)
        if fate is None:
            return Claim(path, fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return fate


def look(path: Path) -> Fate | None:
    """Why a job cannot be had, as far as one can see without taking it.

    Raises:
        OSError: the file may not be read; the message names its owner.
    """
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        return Fate.GONE
    try:
        return Fate.LOCKED if is_locked_file(fd) else None
    finally:
        os.close(fd)


def open_to_read(path: Path) -> int:
    """Open the file of a job, without being noticed by those who watch.

    Raises:
        FileNotFoundError: it is gone.
        OSError: it may not be read; the message names its owner.
    """
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise not_ours(path, error) from None


def _lock(path: Path, fd: int) -> Fate | None:
    if not try_lock_file(fd):
        return Fate.LOCKED  # it is being run, or being written by uWSGI, which writes in place under a lock
    opened = os.fstat(fd)
    # uWSGI opens the file before it locks it: an empty one is not written yet, and `IN_CLOSE_WRITE` says when it is.
    if not opened.st_size:
        return Fate.LOCKED
    try:
        same = os.path.samestat(opened, path.lstat())  # who had it before may have removed it
    except FileNotFoundError:
        same = False
    return None if same else Fate.GONE


def not_ours(path: Path, error: OSError) -> OSError:
    """The same error, naming the owner of the file."""
    owner = path.lstat().st_uid
    text = f"job {path}: it belongs to user {owner}, and user {os.geteuid()} may not read and write it"
    if error.errno == errno.EPERM:
        text = f"job {path}: the file system does not let user {os.geteuid()} write it"
    return reworded(error, text)
