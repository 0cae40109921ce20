"""Jobs that were given up, each with its reason, in the directory `dead` of a spool."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from .committer import sync_folder
from .directory import DEAD, JOB, REASON, SpoolDirectory
from .packet import FUNCTION, TASK, PacketError, decode
from .starts import read_starts, starts_path


class DeadJob(msgspec.Struct, frozen=True):
    """One of them.

    Attributes:
        name: of its file.
        reason: why it was given up; empty if nobody wrote it down.
        task: the name of its task or function; empty if it cannot be read.
        at: when it was given up, in seconds since the epoch.
        attempts: how often it was started.
    """

    name: str
    reason: str
    task: str
    at: float
    attempts: int


class DeadJobs:
    """The jobs in `dead`.

    Args:
        directory: the spool.
    """

    def __init__(self, directory: SpoolDirectory) -> None:
        self._directory = directory
        self._dead = directory.path / DEAD

    def bury(self, path: Path, reason: str) -> None:
        """Give up a job of the spool.

        Raises:
            OSError: it cannot be moved.
        """
        self._dead.mkdir(mode=0o750, exist_ok=True)
        # The reason first: a kill in between leaves the job where it was, and the next try writes the reason again.
        with suppress(OSError):  # the disk is full: better a job without a reason than one that is tried for ever
            self._reason_of(path.name).write_text(reason, "utf-8", "backslashreplace")
        path.rename(self._dead / path.name)
        with suppress(OSError):  # it was never started; after a kill in between they count as none
            starts_path(path).rename(starts_path(self._dead / path.name))
        sync_folder(self._dead)

    def list(self) -> list[DeadJob]:
        """All of them, by name."""
        try:
            names = sorted(name for name in os.listdir(self._dead) if name.startswith(JOB))  # noqa: PTH208  names
        except FileNotFoundError:
            return []
        return [self._found(name) for name in names]

    def _found(self, name: str) -> DeadJob:
        path = self._dead / name
        buried = path.stat().st_ctime
        return DeadJob(name, self._read_reason(name), _task_of(path), buried, read_starts(path).count)

    def find(self, name: str) -> DeadJob | None:
        """The one whose file has this name; None if there is none."""
        return self._found(name) if name.startswith(JOB) and (self._dead / Path(name).name).is_file() else None

    def requeue(self, name: str) -> Path:
        """Let a job run again, with all its attempts; returns its file.

        Raises:
            FileNotFoundError: there is no such job.
        """
        path = self._path_of(name)
        folder = self._directory.folder_of(_priority_of(path))
        folder.mkdir(mode=0o750, exist_ok=True)
        again = path.rename(folder / name)
        self._forget(path)
        sync_folder(folder)
        return again

    def drop(self, name: str) -> None:
        """Remove a job for good.

        Raises:
            FileNotFoundError: there is no such job.
        """
        path = self._path_of(name)
        path.unlink()
        self._forget(path)

    def _forget(self, path: Path) -> None:
        self._reason_of(path.name).unlink(missing_ok=True)
        starts_path(path).unlink(missing_ok=True)

    def _path_of(self, name: str) -> Path:
        path = self._dead / name
        if "/" in name or not name.startswith(JOB) or not path.is_file():
            raise FileNotFoundError(f"spool {self._directory.path}: there is no dead job {name!r}")
        return path

    def _reason_of(self, name: str) -> Path:
        return self._dead / f"{REASON}{name}"

    def _read_reason(self, name: str) -> str:
        try:
            return self._reason_of(name).read_text("utf-8", "replace")
        except FileNotFoundError:
            return ""


def _pairs_of(path: Path) -> Mapping[bytes, bytes]:
    try:
        return decode(path.read_bytes()).pairs
    except PacketError:
        return {}


def _task_of(path: Path) -> str:
    pairs = _pairs_of(path)
    return pairs.get(TASK, pairs.get(FUNCTION, b"")).decode(errors="backslashreplace")


def _priority_of(path: Path) -> int | None:
    priority = _pairs_of(path).get(b"priority", b"")
    return int(priority) if priority.isdigit() else None
