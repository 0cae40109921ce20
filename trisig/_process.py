"""Who a process is.

The identity travels in a context variable that a child sets before it runs anything: tasks, and threads
started with `trio.to_thread`, inherit it. Nothing has to be reset, and a master opened inside a worker
gives its own children their own identity.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Kind = Literal["master", "worker", "mule", "spooler"]


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process of the tree.

    Attributes:
        kind: `master`, `worker`, `mule` or `spooler`.
        number: from 1 within its kind; 0 in the master.
        pid: the process id.
        farms: the names of the farms that this mule belongs to, in the order they were given.
    """

    kind: Kind
    number: int
    pid: int
    farms: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What logs call it: `master`, `worker3`."""
        return f"{self.kind}{self.number or ''}"


identity: ContextVar[ProcessInfo] = ContextVar("trisig.identity")


def current_process() -> ProcessInfo:
    """Say which process of the tree the caller runs in.

    Outside any child this is the master, whether or not one is open yet. A bare `threading.Thread`
    starts with an empty context: run it in `contextvars.copy_context()`, or use `trio.to_thread`.
    """
    known = identity.get(None)
    return known or ProcessInfo("master", 0, os.getpid())
