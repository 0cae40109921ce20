"""File monitors: a signal whenever a file or a directory changes."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from typing import Any

import trio

from trisig._signum import check_signum

from ._checks import check_iterations, rounds
from ._engines import BuiltinSource, Engines
from ._watcher import Monitor
from .base import Send


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

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range, an empty path or one with a NUL.
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
    ) -> None:
        self.signum = check_signum(signum)
        self.path = _absolute(path)
        self.iterations = check_iterations(iterations)
        self.missing_ok = missing_ok
        self._armed = ExitStack()
        self._monitor: Monitor | None = None
        _check_readable(self.path, missing_ok=missing_ok)

    @property
    def name(self) -> str:
        """What logs and statistics call it."""
        return f"file {self.path}"

    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` makes an equal source of."""
        return {
            "kind": "file",
            "signum": self.signum,
            "path": self.path,
            "iterations": self.iterations,
            "missing_ok": self.missing_ok,
        }

    async def run_on(
        self, engines: Engines, send: Send, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Raise the signal at each change until the iterations are used up, or until cancelled."""
        monitor = self._monitor or self.arm(engines)
        try:
            task_status.started()
            if monitor.missing and not self.missing_ok:
                monitor.note(changed=True)  # it was there when the source was made
            for _ in rounds(self.iterations):
                await monitor.wait_changed()
                await send(self.signum)
        finally:
            self.disarm()

    def arm(self, engines: Engines) -> Monitor:
        """Watch from now on, so that whoever adds the source need not wait for its task to begin.

        Raises:
            OSError: no inotify watch or instance is left.
        """
        self._monitor = self._armed.enter_context(engines.watcher.monitor(self.path))
        return self._monitor

    def disarm(self) -> None:
        """Watch no more."""
        self._monitor = None
        self._armed.close()


def _absolute(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    """The path from /, with links and `..` as they are: only the kernel's walk gives them their meaning."""
    text = os.fsdecode(path)
    if not text:
        raise ValueError("path is empty; write '.' for the current directory")
    if "\0" in text:
        raise ValueError(f"path has a NUL character in it: {text!r}")
    return os.path.join(os.getcwd(), text)


def _check_readable(path: str, *, missing_ok: bool) -> None:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if missing_ok:
            return
        raise FileNotFoundError(
            errno.ENOENT, "no such file to monitor; missing_ok=True waits for it to appear", path
        ) from None
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, "a monitored path must be readable", path)
