"""Notices that source files of the application have changed: `py-autoreload`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from trisig import Master, Signals
from trisig._api.manifest import own_folders
from trisig.uwsgi._config.settings import Settings

from .probe import Notes

_SETTLE_S = 0.1  # without a further change; an editor or a checkout saves several files


class SourceWatch:
    """Watches the files `*.py` in the folders of the application's modules. Installed packages do not count.

    What is new in a folder does not count either: an application that writes such a file would begin anew for ever.

    Args:
        settings: the options.
        notes: what the application has asked for, where each process imports it.
    """

    def __init__(self, settings: Settings, notes: Notes) -> None:
        self._settings = settings
        self._notes = notes
        self._folders: set[str] = set()
        self._ignored: set[str] = set()
        self._times: dict[str, int] = {}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Watch what is imported in this process by the end of the block, however it ends."""
        try:
            yield
        finally:
            if self._settings.py_autoreload:
                self._look()

    def _look(self) -> None:
        folders = sorted({*own_folders(), *_folders_of(self._settings.files)})
        if home := self._settings.virtualenv:
            folders = [folder for folder in folders if not Path(folder).is_relative_to(Path(home).resolve())]
        ignored = _files_of(self._settings.py_autoreload_ignore)
        if not self._notes.takes("watch", folders, ignored):
            self.watch(folders, ignored)

    def watch(self, folders: Iterable[str], ignored: Iterable[str]) -> None:
        """Watch what is in these folders, but for some files."""
        self._folders.update(folders)
        self._ignored.update(ignored)
        self._times = self._read()

    def declare(self, signals: Signals, signum: int, begin_anew: Callable[[str], None]) -> None:
        """Have a master call a function when a file has changed.

        Args:
            signals: of the master.
            signum: a number that nobody else uses.
            begin_anew: the function, which is given the reason.
        """

        async def serve(_master: Master) -> None:
            """Begin anew when a source file changes."""
            while not (changed := await trio.to_thread.run_sync(self._changed)):
                await signals.wait(signum)
            begin_anew(f"{changed} has changed")

        for folder in sorted(self._folders):
            signals.add_file_monitor(signum, folder, match="*.py", settle=_SETTLE_S, missing_ok=True)
        signals.service("master")(serve)

    def _changed(self) -> str | None:
        """A file that was there, and is another one now. One that is away may be about to be replaced."""
        now = self._read()
        return next((path for path, before in self._times.items() if now.get(path, before) != before), None)

    def _read(self) -> dict[str, int]:
        files = (path for folder in self._folders for path in Path(folder).glob("*.py"))
        return {str(path): time for path in files if str(path) not in self._ignored and (time := _time_of(path))}


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # gone meanwhile


def _folders_of(files: Iterable[str]) -> set[str]:
    return {os.path.realpath(Path(file).parent) for file in files}


def _files_of(modules: Iterable[str]) -> list[str]:
    found = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
    return [os.path.realpath(file) for file in found if file]
