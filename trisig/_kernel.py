"""The prctl(2) and membarrier(2) calls which the standard library does not offer.

Each wrapper is one option of a call with its own types. Linux only; all of them act on the calling process, or thread
where the kernel says so.
"""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37

_libc = ctypes.CDLL(None, use_errno=True)
_libc_prctl = _libc.prctl
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
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_GLOBAL_EXPEDITED, _REGISTER_GLOBAL_EXPEDITED = 1 << 1, 1 << 2


def register_for_barriers() -> bool:
    """Let another process order this one's memory accesses with `global_barrier`; whether the kernel can."""
    return _membarrier(_REGISTER_GLOBAL_EXPEDITED)


def global_barrier() -> bool:
    """Make all running threads of registered processes pass a memory barrier; whether the kernel can.

    What this process stored before is seen by what they load afterwards, and what they stored before is seen by
    what this process loads afterwards, without a barrier in their code.
    """
    return _membarrier(_GLOBAL_EXPEDITED)


def _membarrier(command: int) -> bool:
    number = _MEMBARRIER.get(os.uname().machine)
    return number is not None and _libc.syscall(number, command, 0, 0) == 0
