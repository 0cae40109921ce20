"""The prctl(2) calls that the standard library does not offer.

Each wrapper is one option of a call with its own types. Linux only; all of them act on the calling process, or thread
where the kernel says so.
"""

from __future__ import annotations

import ctypes
import os

from .libc import last_error, libc

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37

_libc_prctl = libc.prctl
_libc_prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc_prctl.restype = ctypes.c_int


def set_child_subreaper(*, on: bool = True) -> None:
    """Make orphaned descendants of this process its own children, instead of children of init, or no longer so.

    Raises:
        OSError: the kernel refused.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, int(on))


def is_child_subreaper() -> bool:
    """Whether orphaned descendants of this process become its children.

    Raises:
        OSError: the kernel refused.
    """
    answer = ctypes.c_int()
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer))
    return bool(answer.value)


def set_parent_death_signal(signal_number: int) -> None:
    """Have the kernel send a signal to this process when its parent ends.

    The parent is the *thread* whose child this process is, and a parent which is gone already is not noticed: compare
    ``os.getppid()`` with the expected pid afterwards. A change of credentials clears the setting.

    Args:
        signal_number: the Unix signal, 0 for none.

    Raises:
        OSError: the kernel refused, ``EINVAL`` when there is no such signal.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def set_name(name: str) -> None:
    """Set the name of the calling thread, which ``ps`` and ``top`` show as the command of a process.

    Args:
        name: the kernel keeps its first 15 bytes.

    Raises:
        OSError: the kernel refused.
    """
    buffer = ctypes.create_string_buffer(os.fsencode(name))
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer))


def _prctl(option: int, argument: int) -> None:
    if _libc_prctl(option, argument, 0, 0, 0) != 0:
        raise last_error()
