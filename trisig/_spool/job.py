"""A job before it is a file."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .packet import TASK, Packet


class Job(msgspec.Struct, frozen=True):
    """What is to be written.

    Attributes:
        pairs: the job's keys and values.
        body: of any size.
        priority: lower ones run first, and jobs without one last, as in uWSGI; from 0.
        due: when it may run at the earliest, in seconds since the epoch; None for at once.
    """

    pairs: Mapping[bytes, bytes] = msgspec.field(default_factory=dict)
    body: bytes = b""
    priority: int | None = None
    due: float | None = None

    @classmethod
    def calling(cls, task: str, arguments: bytes, priority: int | None, due: float) -> Job:
        """The job that is a call of a task.

        Args:
            task: its name.
            arguments: encoded.
            priority: of the job.
            due: in seconds since the epoch; 0 for at once.
        """
        return cls({TASK: task.encode()}, arguments, priority, due or None)

    def __post_init__(self) -> None:
        if self.priority is not None and self.priority < 0:
            raise ValueError(f"the priority of a job is from 0, not {self.priority}")

    def packet(self) -> Packet:
        """The content of the file. uWSGI, too, keeps `priority` and `at` among the pairs."""
        extra = {}
        if self.priority is not None:
            extra[b"priority"] = str(self.priority).encode()
        if self.due is not None:
            extra[b"at"] = repr(float(self.due)).encode()
        return Packet({**self.pairs, **extra}, self.body)
