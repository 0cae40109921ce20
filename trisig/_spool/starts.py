"""How often a job was started, and whether its last start has ended: kept as the size of an empty file.

    0       never
    1, 3 …  (size + 1) / 2 times, and the last start has not ended
    2, 4 …  size / 2 times, and each of them has failed

A size takes no block, so a full disk stops no job; and a kill leaves either the one before or the one after.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from .directory import STARTS


class Starts(msgspec.Struct, frozen=True):
    """What is known of one job's starts."""

    size: int = 0

    @property
    def count(self) -> int:
        """How many there were."""
        return (self.size + 1) // 2

    @property
    def unfinished(self) -> bool:
        """Whether the last one has neither succeeded nor raised: its process has ended."""
        return self.size % 2 == 1


def starts_path(job: Path) -> Path:
    """Where the starts of a job are counted."""
    return job.with_name(f"{STARTS}{job.name}")


def read_starts(job: Path) -> Starts:
    """The starts of a job."""
    try:
        return Starts(starts_path(job).lstat().st_size)
    except FileNotFoundError:
        return Starts()


def write_starts(job: Path, starts: Starts) -> None:
    """Keep the starts of a job. They are not synced: after a power failure it may be tried once more."""
    fd = os.open(starts_path(job), os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, starts.size)
    finally:
        os.close(fd)
