"""File monitors: a signal whenever a file or a directory changes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trisig._model.signum import check_signum
from trisig._model.text import printable

from .checks import check_bool, check_delay, check_iterations
from .engines import Engines
from .monitor import Monitor
from .rules import Rules
from .source_run import BuiltinSource


class FileSource(BuiltinSource):
    """A signal when a path changes: the file, the entries of the directory, or what the path leads to.

    Follows uWSGI's `add_file_monitor` in what counts as a change: content, attributes, and entries created, deleted or
    moved. Unlike there it is the path that is monitored: a file that is replaced, removed or comes back, and
    directories and links on the way to it, are followed.

    Args:
        signum: the signal to raise.
        path: file or directory; a relative one is meant from the current directory of now.
        iterations: how many signals to raise; 0 is no limit.
        missing_ok: wait for a path that does not exist yet.
        recursive: of a directory, monitor all that is below it, too.
        match: a glob for the names of what changes in a directory, for example `*.py`; None for everything.
        settle: seconds without a further change before the signal is raised; at most ten times that.
        there: whether the path exists; None looks now.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range, an empty path, one with a NUL or one that cannot be a file name.
        FileNotFoundError: the path does not exist, and `missing_ok` is not set.
        PermissionError: the path may not be read, which inotify needs.
    """

    def __init__(
        self,
        signum: int,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        *,
        iterations: int = 0,
        missing_ok: bool = False,
        recursive: bool = False,
        match: str | None = None,
        settle: float = 0.0,
        there: bool | None = None,
    ) -> None:
        self.signum = check_signum(signum)
        self.path = _absolute(path)
        self.iterations = check_iterations(iterations)
        self.missing_ok = check_bool(missing_ok, "missing_ok")
        self.recursive = check_bool(recursive, "recursive")
        self.rules = Rules(_check_match(match), check_delay(settle, "settle"))
        self._there = _is_there(self.path, missing_ok=missing_ok) if there is None else there

    @property
    def name(self) -> str:
        """What logs and statistics call the monitor."""
        tree = ", recursively" if self.recursive else ""
        match = f", {printable(self.rules.match)}" if self.rules.match else ""
        return f"file monitor of signal {self.signum} on {printable(self.path)}{tree}{match}"

    def parts(self) -> dict[str, Any]:
        """The arguments that make an equal one."""
        return {
            "kind": "file",
            "signum": self.signum,
            "path": self.path,
            "iterations": self.iterations,
            "missing_ok": self.missing_ok,
            "recursive": self.recursive,
            "match": self.rules.match,
            "settle": self.rules.settle,
            "there": self._there,
        }

    @contextmanager
    def arm(self, engines: Engines) -> Iterator[Monitor]:
        """Watch the path; if it has come or gone since the source last knew, that is the first change."""
        with engines.watcher.monitor(self.path, rules=self.rules, recursive=self.recursive) as monitor:
            if monitor.missing == self._there:
                monitor.note(changed=True)
            try:
                yield monitor
            finally:
                self._there = not monitor.missing


def _absolute(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """The path from /, with links and `..` as they are: only the kernel's walk gives them their meaning."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"path must be a str, bytes or os.PathLike, not {path!r}")
    text = os.fsdecode(path)
    if not text:
        raise ValueError("path is empty; write '.' for the current directory")
    if "\0" in text:
        raise ValueError(f"path has a NUL character in it: {text!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(f"path has a surrogate in it, which no file name can have: {text!r}") from None
    return os.path.join(os.getcwd(), text)


def _check_match(match: object) -> str | None:
    if match is not None and not isinstance(match, str):
        raise TypeError(f"match must be a str such as '*.py', or None for everything, not {match!r}")
    if match == "":
        raise ValueError("match is empty and fits no name; write None for everything")
    return match


def _is_there(path: str, *, missing_ok: bool) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if missing_ok:
            return False
        raise FileNotFoundError(
            errno.ENOENT, "no such file to monitor; missing_ok=True waits for it to appear", path
        ) from None
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, "a monitored path must be readable", path)
    return True
