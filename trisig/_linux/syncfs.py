"""syncfs(2), which the standard library does not offer."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)


def syncfs(fd: int) -> None:
    """Write all that is dirty of a file system to its disk.

    Args:
        fd: open on any file of it. From Linux 5.8 on, errors of the disk since it was opened are reported.

    Raises:
        OSError: the disk failed or is full.
    """
    if _libc.syncfs(fd) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
