"""The membarrier(2) call, which the standard library does not offer."""

from __future__ import annotations

import os

from .libc import libc

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
    return number is not None and libc.syscall(number, command, 0, 0) == 0
