"""Durable jobs, as tasks know them: what is in one, when it runs again, and when it never can. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from .backoff import Backoff


class Unusable(ValueError):  # noqa: N818  a word for what the job is, as for dead letters
    """A job that cannot run, however often it is tried."""


class JobContent(Protocol):
    """What is in the file of a job."""

    @property
    def pairs(self) -> Mapping[bytes, bytes]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def is_call(self) -> bool: ...


class Retry(msgspec.Struct, frozen=True):
    """When a job runs again.

    Attributes:
        backoff: after each start that failed; None for never after an error, and after a few deaths of its process.
    """

    backoff: Backoff | None = None

    def after_error(self, starts: int) -> float | None:
        """Seconds to wait after so many starts, the last of which has raised; None to give up."""
        return None if self.backoff is None else self.backoff.pause(starts)

    def after_death(self, starts: int) -> float | None:
        """The same if the last one has ended its process."""
        return (self.backoff or Backoff(0.5, 30, attempts=3)).pause(starts)
