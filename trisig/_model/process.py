"""Who a process is.

A child is told once, before it runs anything, and it is the same in all its tasks and threads. (A context variable
was tried: a plain thread, such as one of `concurrent.futures`, starts without it and took itself for the master.)
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Kind = Literal["master", "worker", "mule", "spooler"]
MASTER: Kind = "master"
SPOOL = "spool"  # stands where a process does: who sends jobs
CLUSTER = "cluster"  # likewise, and the queue of what is raised for the cluster
MASTER_VARIABLE = "TRISIG_MASTER"  # in the environment of every process below a master: its pid
CHILD_KINDS: tuple[Kind, ...] = ("worker", "mule", "spooler")


def process_name(kind: Kind, number: int) -> str:
    """What logs and statistics call a process: `worker3`, and `master`, whose number is 0."""
    return f"{kind}{number or ''}"


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
        return process_name(self.kind, self.number)


class _Process:
    """The one thing that belongs to a process and not to somebody in it."""

    info: ProcessInfo | None = None


def become(info: ProcessInfo) -> None:
    """In a child, right after the fork: this is who the process is from now on."""
    _Process.info = info


def current_process() -> ProcessInfo:
    """Say which process of the tree the caller runs in.

    Outside any child this is the master, whether or not one is open yet.
    """
    return _Process.info or ProcessInfo("master", 0, os.getpid())
