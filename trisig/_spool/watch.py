"""Noticing jobs as soon as anybody writes them into the directory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from trisig._linux.inotify import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE_SELF,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_MOVE_SELF,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
    Event,
    Inotify,
)

from .directory import JOB, Entry, SpoolDirectory

_WRITTEN = IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB  # uWSGI writes in place; `touch` changes when a job is due
_GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT
_WATCHED = _WRITTEN | IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK


class SpoolWatch:
    """Watches a spool from its creation on: what `scan` finds after that, and what `wait_changed` returns, is all.

    Args:
        directory: the spool.

    Raises:
        OSError: no inotify instance or watch is left; the message names the limit to raise.
    """

    def __init__(self, directory: SpoolDirectory) -> None:
        self._directory = directory
        self._inotify = Inotify()
        self._folders: dict[int, Path] = {}
        try:
            for folder in directory.folders():
                self._watch(folder)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop watching; a task in `wait_changed` gets `trio.ClosedResourceError`."""
        trio.lowlevel.notify_closing(self._inotify.fd)
        self._inotify.close()

    async def wait_changed(self) -> list[Entry]:
        """Wait until jobs are new or due at another time, and return them, the first to run first.

        Raises:
            OSError: the directory was removed, moved or unmounted.
        """
        while True:
            await trio.lowlevel.wait_readable(self._inotify.fd)
            if changed := await trio.to_thread.run_sync(self._changed):
                return changed

    def _changed(self) -> list[Entry]:
        return sorted({entry.path: entry for event in self._inotify.read() for entry in self._jobs_of(event)}.values())

    def _jobs_of(self, event: Event) -> Iterator[Entry]:
        if event.mask & IN_Q_OVERFLOW:  # the kernel had no room for all events: look at everything
            self._watch_new()
            yield from self._directory.scan()
            return
        folder = self._folders.get(event.wd)
        if folder is None:
            return
        if event.mask & (_GONE | IN_IGNORED):
            self._lost(event.wd, folder)
        elif event.name.startswith(JOB) and event.mask & _WRITTEN:
            if (entry := self._directory.entry(folder / event.name)) is not None:
                yield entry
        elif self._directory.is_priority(folder / event.name):
            # Watched first, then listed: what is written in between comes twice.
            self._watch(folder / event.name)
            yield from self._directory.jobs_in(folder / event.name)

    def _watch(self, folder: Path) -> None:
        try:
            wd = self._inotify.add(str(folder), _WATCHED)
        except FileNotFoundError:
            if folder == self._directory.path:
                raise
            return  # a directory of a priority that somebody has just removed
        self._folders[wd] = folder

    def _watch_new(self) -> None:
        for folder in self._directory.folders():
            self._watch(folder)

    def _lost(self, wd: int, folder: Path) -> None:
        if folder == self._directory.path:
            raise FileNotFoundError(errno.ENOENT, f"spool {folder}: it was removed, moved or unmounted")
        del self._folders[wd]


@contextmanager
def watching(directory: SpoolDirectory) -> Iterator[SpoolWatch]:
    """Watch a spool while a block runs."""
    watch = SpoolWatch(directory)
    try:
        yield watch
    finally:
        watch.close()
