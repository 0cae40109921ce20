"""What makes a job of a task: it is a file before `send` returns."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from trisig._model.backoff import Backoff
from trisig._model.errors import TargetError
from trisig._model.targets import Target
from trisig._spool.attempts import Retry
from trisig._spool.job import Job
from trisig._spool.packet import TASK
from trisig._spool.writer import SpoolWriter

MOST_URGENT, LEAST_URGENT = 0, 999_999_999


class Durable(msgspec.Struct, frozen=True):
    """How the jobs of one task are kept.

    Attributes:
        retry: when one that has failed runs again.
        spool: writes them; gives None where there is no spool.
    """

    retry: Retry
    spool: Callable[[], SpoolWriter | None]

    @property
    def writer(self) -> SpoolWriter:
        """What writes them in this process."""
        writer = self.spool()
        assert writer is not None, "a master with durable tasks has a spool"
        return writer


def job_of(task: str, arguments: bytes, priority: int | None, due: float) -> Job:
    """The job that is a call of a task.

    Args:
        task: its name.
        arguments: encoded.
        priority: of the job.
        due: in seconds since the epoch; 0 for at once.
    """
    return Job({TASK: task.encode()}, arguments, priority, due or None)


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
