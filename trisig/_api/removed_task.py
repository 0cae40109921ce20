"""A task that an earlier version of the application had: those that were sent before arrive yet."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from trisig._model.jobs import JobContent, Retry, Unusable
from trisig._model.targets import Target


class RemovedTask(msgspec.Struct):
    """Stands in the place of a task that the application does not have any more."""

    name: str
    target: Target
    is_durable: bool
    index: int = -1
    retry: Retry = msgspec.field(default_factory=Retry)

    def run(self, arguments: bytes | bytearray) -> NoReturn:  # noqa: ARG002  as a task
        """It cannot."""
        raise LookupError(f"there is no task {self.name} in this application any more")

    def run_job(self, job: JobContent) -> NoReturn:  # noqa: ARG002
        """It cannot."""
        raise Unusable(f"there is no task {self.name} in this application any more")

    def encode_result(self, result: object) -> NoReturn:
        """There is none."""
        raise AssertionError(result)
