"""Who this process is, what it was started with, and its log."""

from __future__ import annotations

import logging
import os
import resource
import time
from typing import Literal

from trisig import current_process
from trisig.uwsgi._runtime.processes import Processes

log = logging.getLogger("trisig")


class IdentityFunctions:
    """The functions that only look.

    Args:
        processes: who this is.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes

    def worker_id(self) -> int:
        """From 1; 0 in other processes."""
        return self._processes.number("worker")

    def mule_id(self) -> int:
        """From 1; 0 in other processes."""
        return self._processes.number("mule")

    def masterpid(self) -> int:
        """The pid of the master, everywhere."""
        return self._processes.master

    def in_farm(self, name: str | bytes | None = None, /) -> Literal[True] | None:
        """Whether this mule is in a farm, or in any; True or None."""
        farms = () if self._processes.in_master else current_process().farms
        wanted = os.fsdecode(name) if name is not None else None
        return True if (wanted in farms if wanted is not None else farms) else None

    def i_am_the_spooler(self) -> Literal[True] | None:
        """True or None."""
        return True if self._processes.number("spooler") else None

    def i_am_the_lord(self, name: str = "", /) -> bool:  # noqa: ARG002  there are no legions
        """Always false: there are no legions."""
        return False

    def log(self, message: str, /) -> Literal[True]:
        """Write a line to the log."""
        if not isinstance(message, str):
            raise TypeError(f"a message is text, not {message!r}")
        log.info("%s", message)
        return True

    def setprocname(self, name: str, /) -> None:
        """Change what `ps -o comm` and `top` show of this process."""
        with open("/proc/self/comm", "w", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            file.write(name[:15])

    def mem(self) -> tuple[int, int]:
        """Resident and virtual size, in bytes."""
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            size, resident, *_ = file.read().split()
        page = resource.getpagesize()
        return int(resident) * page, int(size) * page

    def micros(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def ready(self) -> Literal[True]:
        """True: code that asks runs after the start."""
        return True
