"""Linux inotify: calls and records, nothing else."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from .libc import libc

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_UNMOUNT = 0x2000
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_DONT_FOLLOW = 0x2000000
IN_EXCL_UNLINK = 0x4000000
IN_MASK_ADD = 0x20000000
IN_ISDIR = 0x40000000

_HEADER = struct.Struct("iIII")
_ADVICE = {
    errno.ENOSPC: "no inotify watch is left: raise fs.inotify.max_user_watches",
    errno.EMFILE: "no inotify instance is left: raise fs.inotify.max_user_instances (or the open files limit)",
}


class Event(NamedTuple):
    """One record. `name` is the entry of a watched directory, empty when the event is about the watched inode."""

    wd: int
    mask: int
    name: str


class Inotify:
    """One inotify instance, non-blocking and closed on exec.

    Raises:
        OSError: none is left for this user.
    """

    def __init__(self) -> None:
        self.fd = self._call(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify")

    def add(self, path: str, mask: int) -> int:
        """Watch the inode that `path` now is, and return its watch descriptor.

        The same inode has the same descriptor whatever path led to it; the masks of all its users add up.

        Raises:
            OSError: no such path, no permission to read it, or no watch left.
        """
        wd = libc.inotify_add_watch(self.fd, os.fsencode(path), ctypes.c_uint32(mask | IN_MASK_ADD))
        return self._call(wd, path)

    def remove(self, wd: int) -> None:
        """Stop watching. The kernel may have stopped before, with the file or with `close`, which is no error."""
        if self.fd < 0:
            return
        if libc.inotify_rm_watch(self.fd, wd) < 0 and ctypes.get_errno() != errno.EINVAL:
            self._call(-1, f"inotify watch {wd}")

    def read(self) -> list[Event]:
        """What has happened since the last read; empty if nothing did."""
        try:
            return list(parse(os.read(self.fd, 65536)))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """End all watches; those who had them may still remove them, in any order."""
        os.close(self.fd)
        self.fd = -1

    @staticmethod
    def _call(result: int, subject: str) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, _ADVICE.get(code, os.strerror(code)), subject)
        return result


def parse(records: bytes) -> Iterator[Event]:
    """Split what one read returned. Names are padded with NULs to a length that each record states."""
    position = 0
    while position < len(records):
        wd, mask, _cookie, length = _HEADER.unpack_from(records, position)
        position += _HEADER.size
        name = records[position : position + length].rstrip(b"\0")
        position += length
        yield Event(wd, mask, os.fsdecode(name) if name else "")
