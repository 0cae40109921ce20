"""Locks of an open file (Linux 3.15), in conflict with the record locks of POSIX that other programs take.

A record lock ends when its process closes any descriptor of the file. This one ends with the descriptor that took it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

_FLOCK = struct.Struct("hhqqi4x")  # type, whence, start, length, pid


def try_lock_file(fd: int) -> bool:
    """Lock a whole file that is open for writing; returns whether nobody else had it."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole(fcntl.F_WRLCK))
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def is_locked_file(fd: int) -> bool:
    """Whether somebody has locked a file for writing; it may be open for reading only."""
    found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole(fcntl.F_RDLCK))
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _whole(kind: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0)
