"""How much memory a process has."""

from __future__ import annotations

import os


def resident_bytes(pid: int | str = "self") -> int:
    """The resident memory of a process, in bytes; 0 if there is no such process, or /proc is not mounted."""
    return _pages(pid, 1) * os.sysconf("SC_PAGESIZE")


def virtual_bytes(pid: int | str = "self") -> int:
    """The address space of a process, in bytes; 0 in the same cases."""
    return _pages(pid, 0) * os.sysconf("SC_PAGESIZE")


def _pages(pid: int | str, field: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123  a third of the time of a Path
            return int(file.read().split()[field])
    except OSError:
        return 0
