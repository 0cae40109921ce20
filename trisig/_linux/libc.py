"""The C library of this process, through which the system calls of this folder are made."""

from __future__ import annotations

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def last_error() -> OSError:
    """The error of the call that has just failed, as the standard library would raise it."""
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))
