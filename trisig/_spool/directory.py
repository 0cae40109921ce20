"""The directory of a spool: its names, what waits in it, and in which order.

    uwsgi_spoolfile_on_…                a job
    7/uwsgi_spoolfile_on_…              a job of priority 7
    .new_uwsgi_spoolfile_on_…           a job that is being written
    .starts_uwsgi_spoolfile_on_…        how often the job was started, as the size of the file
    dead/uwsgi_spoolfile_on_…           a job that was given up
    dead/.reason_uwsgi_spoolfile_on_…   why

uWSGI reads the first two, and looks at no other name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from trisig._model.errors import reworded

JOB = "uwsgi_spoolfile_on_"
NEW = ".new_"
STARTS = ".starts_"
REASON = ".reason_"
DEAD = "dead"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A job in the directory. Entries sort in the order in which they run, once they are due.

    Attributes:
        rank: by priority: lower numbers first, then jobs without a number.
        due_ns: nanoseconds since the epoch, the file's time of modification.
        path: of the file.
        changed_ns: when anything about the file was changed, its mode and owner too.
    """

    rank: tuple[bool, int]
    due_ns: int
    path: Path
    changed_ns: int = field(default=0, compare=False)


class SpoolDirectory:
    """One directory.

    Args:
        path: made with mode 0750 if it does not exist, in a directory that does.

    Raises:
        OSError: it cannot be made, is no directory, or may not be read and written; the message says which.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.make()

    def make(self) -> None:
        """Make it if it does not exist.

        Raises:
            OSError: as the class.
        """
        try:
            self.path.mkdir(mode=0o750)
        except FileExistsError:
            self._check()
        except OSError as error:
            advice = f"make {self.path.parent} first" if error.errno == errno.ENOENT else "name another path"
            raise reworded(error, f"spool {self.path}: it cannot be made: {error.strerror}; {advice}") from None

    def _check(self) -> None:
        if not self.path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"spool {self.path}: this is not a directory; name another path")
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            owner = self.path.stat().st_uid
            raise PermissionError(
                errno.EACCES,
                f"spool {self.path}: it belongs to user {owner}, and user {os.geteuid()} may not read and write it",
            )

    def scan(self) -> list[Entry]:
        """All jobs in the order in which they run, those for later among them."""
        return sorted(self.jobs())

    def jobs(self) -> list[Entry]:
        """All jobs, in no order."""
        return [entry for folder in self.folders() for entry in self.jobs_in(folder)]

    def folders(self) -> list[Path]:
        """The directory, and those of priorities."""
        with os.scandir(self.path) as entries:
            folders = [Path(entry) for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [self.path, *sorted(folder for folder in folders if self.is_priority(folder))]

    def is_priority(self, path: Path) -> bool:
        """Whether a path is a directory of jobs in this one. uWSGI makes it of any word, and runs only numbers."""
        return path.parent == self.path and path.name != DEAD and path.name[0] != "." and _is_real_directory(path)

    def jobs_in(self, folder: Path) -> Iterator[Entry]:
        """The jobs in the directory, or in that of a priority."""
        rank = self._rank(folder)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(JOB) and (found := _status_of(entry)) is not None:
                        yield Entry(rank, found.st_mtime_ns, Path(entry.path), found.st_ctime_ns)
        except FileNotFoundError:
            return  # a directory of a priority that somebody has just removed

    def entry(self, path: Path) -> Entry | None:
        """The job at a path, or None if there is none: it has run meanwhile, or is no file."""
        try:
            found = path.lstat()
        except FileNotFoundError:
            return None
        if not path.name.startswith(JOB) or not stat.S_ISREG(found.st_mode):
            return None
        return Entry(self._rank(path.parent), found.st_mtime_ns, path, found.st_ctime_ns)

    def _rank(self, folder: Path) -> tuple[bool, int]:
        numbered = folder != self.path and folder.name.isascii() and folder.name.isdecimal()
        return (False, int(folder.name)) if numbered else (True, 0)

    def folder_of(self, priority: int | None) -> Path:
        """Where jobs of a priority belong."""
        return self.path if priority is None else self.path / str(priority)


def _is_real_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _status_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """What is known of a file; None if it is gone, or is none."""
    try:
        return entry.stat(follow_symlinks=False) if entry.is_file(follow_symlinks=False) else None
    except FileNotFoundError:
        return None
