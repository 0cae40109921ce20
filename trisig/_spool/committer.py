"""Jobs become files, so that a kill or a power failure at any moment leaves each of them whole or absent. Blocks.

    write under another name -> sync the files -> rename -> sync the directories

Several jobs share their syncs. Above a few, one `syncfs` takes the place of a sync of each file: it writes whatever
else is dirty on that file system too, which costs less than many syncs.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import TypeAlias

import msgspec

from trisig._linux.syncfs import syncfs
from trisig._model.errors import reworded

from .directory import JOB, NEW, SpoolDirectory
from .job import Job

Outcome: TypeAlias = Path | Exception

_SYNC_EACH = 4  # so many files are synced one by one
_WHY = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "this user may not write there",
    errno.ENOENT: "the directory is gone",
}


class _Draft(msgspec.Struct):
    """A job on its way into the directory."""

    job: Job
    folder: Path
    name: str
    fd: int = -1
    exists: bool = False
    published: bool = False
    error: Exception | None = None

    @property
    def new(self) -> Path:
        return self.folder / f"{NEW}{self.name}"

    @property
    def final(self) -> Path:
        return self.folder / self.name

    def write(self) -> None:
        self.folder.mkdir(mode=0o750, exist_ok=True)
        self.fd = os.open(self.new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        self.exists = True
        rest = memoryview(self.job.packet().encode())
        while rest:
            rest = rest[os.write(self.fd, rest) :]
        if self.job.due is not None:
            due_ns = round(self.job.due * 1e9)
            os.utime(self.fd, ns=(due_ns, due_ns))

    def publish(self) -> None:
        self.new.rename(self.final)
        self.published = True

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        if self.error is not None and self.exists:
            # Once published it may have begun to run; then the sender, who is told that it failed, may send it twice.
            (self.final if self.published else self.new).unlink(missing_ok=True)


class Committer:
    """Writes jobs into one directory.

    Args:
        directory: where.
        sync_each: up to how many jobs are synced file by file.
    """

    def __init__(self, directory: SpoolDirectory, sync_each: int = _SYNC_EACH) -> None:
        self.directory = directory
        self._sync_each = sync_each
        self._host = socket.gethostname().replace("/", "_")
        self._numbers = count(1)

    def commit(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Write jobs, and return the file of each, or the error because of which it was not written."""
        drafts = [_Draft(job, self.directory.folder_of(job.priority), self._new_name()) for job in jobs]
        try:
            _each(drafts, _Draft.write)
            _together(drafts, self._sync)
            _each(drafts, _Draft.publish)
            _together(drafts, self._sync_folders)
        finally:
            for draft in drafts:
                draft.close()
        return [draft.final if draft.error is None else self._explained(draft.error) for draft in drafts]

    def _new_name(self) -> str:
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        tail = f"{os.getpid()}_{next(self._numbers)}_{random.getrandbits(31)}_{seconds}_{nanoseconds // 1000:06}"
        return f"{JOB}{self._host}_{tail}"

    def _sync(self, drafts: Sequence[_Draft]) -> None:
        if len(drafts) > self._sync_each:
            syncfs(drafts[0].fd)
        else:
            for draft in drafts:
                os.fsync(draft.fd)

    def _sync_folders(self, drafts: Sequence[_Draft]) -> None:
        folders = {draft.folder for draft in drafts}
        # A directory of a priority may be new: then its own entry has to reach the disk as well.
        for folder in sorted(folders | {self.directory.path} if folders else folders):
            sync_folder(folder)

    def _explained(self, error: Exception) -> Exception:
        if not isinstance(error, OSError):
            return error
        why = _WHY.get(error.errno or 0, error.strerror or str(error))
        return reworded(error, f"spool {self.directory.path}: {why}; the job was not written")


def _each(drafts: Iterable[_Draft], step: Callable[[_Draft], object]) -> None:
    for draft in drafts:
        if draft.error is None:
            try:
                step(draft)
            except Exception as error:  # noqa: BLE001  whatever it is, it is the outcome of this job
                draft.error = error


def _together(drafts: Iterable[_Draft], step: Callable[[Sequence[_Draft]], object]) -> None:
    """A step that fails for one of the jobs fails for all: nobody knows which of them are on the disk."""
    going = [draft for draft in drafts if draft.error is None]
    try:
        if going:
            step(going)
    except Exception as error:  # noqa: BLE001  whatever it is, it is the outcome of these jobs
        for draft in going:
            draft.error = error


def sync_folder(folder: Path) -> None:
    """Have the names in a directory on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
