"""What makes a job of a task: it is a file before `send` returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from trisig._model.backoff import Backoff
from trisig._model.errors import TargetError
from trisig._model.jobs import Retry
from trisig._model.targets import Target

MOST_URGENT, LEAST_URGENT = 0, 999_999_999


class JobWriter(Protocol):
    """Writes calls of tasks into the spool of the master; they are on the disk when it returns.

    A call has the name of the task, its arguments, its priority, and when it is due, in seconds since the epoch; 0 is
    at once.
    """

    async def write_call(self, task: str, arguments: bytes, priority: int | None, due: float) -> object: ...
    def write_call_now(self, task: str, arguments: bytes, priority: int | None, due: float) -> object: ...


class Durable(msgspec.Struct, frozen=True):
    """How the jobs of one task are kept.

    Attributes:
        retry: when one that has failed runs again.
        spool: writes them; gives None where there is no spool.
    """

    retry: Retry
    spool: Callable[[], JobWriter | None]

    @property
    def writer(self) -> JobWriter:
        """What writes them in this process."""
        writer = self.spool()
        assert writer is not None, "a master with durable tasks has a spool"
        return writer


def checked_priority(priority: int | None) -> int | None:
    """A priority.

    Raises:
        TypeError: not a whole number.
        ValueError: out of range.
    """
    if priority is not None and type(priority) is not int:
        raise TypeError(f"priority is a whole number, not {priority!r}")
    if priority is not None and not MOST_URGENT <= priority <= LEAST_URGENT:
        raise ValueError(f"priority is a number from {MOST_URGENT} to {LEAST_URGENT}, not {priority}")
    return priority


def checked_retry(retry: Backoff | None, target: Target, *, durable: bool) -> Retry | None:
    """When the jobs of a task run again; None if it is not durable.

    Raises:
        TypeError: not a `Backoff`.
        ValueError: a task that is not durable has one.
        TargetError: the target means several processes, or is in the cluster.
    """
    if retry is not None and not isinstance(retry, Backoff):
        raise TypeError(f"retry is a trisig.Backoff, for example trisig.Backoff(1, 60, attempts=5), not {retry!r}")
    if not durable and retry is not None:
        raise ValueError("only a durable task is tried again; write durable=True beside retry")
    if durable and target.node is not None:
        raise TargetError(
            f"target {target.text!r}: the cluster keeps its tasks itself, and the spool those of one master; "
            "leave durable=True out"
        )
    if durable and target.audience in ("all", "active"):
        raise TargetError(
            f"target {target.text!r}: a durable task runs in one process; write the first available one, or its number"
        )
    return Retry(retry) if durable else None
