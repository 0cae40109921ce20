"""Noticing what others do to the file of a journal while its master runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import trio

from trisig._linux.inotify import IN_ATTRIB, IN_DELETE_SELF, IN_MODIFY, IN_MOVE_SELF, Inotify
from trisig._model.errors import JournalError

from .lock import JournalLock

log = logging.getLogger("trisig")

# Names come and go (a rename, a link more or less), or the size changes. Stores to mapped memory are no events.
_EVENTS = IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_MODIFY


class JournalGuard:
    """Keeps a journal at its size and in its place.

    Args:
        lock: the file and its names.
        repair: gives the file its size back if it was cut short.

    Raises:
        OSError: no inotify instance or watch is left.
    """

    def __init__(self, lock: JournalLock, repair: Callable[[], bool]) -> None:
        self._lock = lock
        self._repair = repair
        self._in_place = True
        self._placeholder: JournalLock | None = None
        self._inotify = Inotify()
        try:
            self._inotify.add(f"/proc/self/fd/{lock.fd}", _EVENTS)
        except BaseException:
            self._inotify.close()
            raise

    async def next(self) -> None:
        """Wait until something was done to the file, and repair what can be repaired."""
        await trio.lowlevel.wait_readable(self._inotify.fd)
        self._inotify.read()
        self._repair()
        self._put_back()

    def close(self) -> None:
        """Stop looking."""
        trio.lowlevel.notify_closing(self._inotify.fd)
        self._inotify.close()
        if self._placeholder is not None:
            self._placeholder.close()

    def _put_back(self) -> None:
        path, before = self._lock.path, self._in_place
        if self._lock.is_in_place():
            return
        problem = self._try_to_put_back()
        if problem and before:
            log.error("master: journal %s was removed and cannot be put back: %s", path, problem)
            self._keep_others_out()
        elif self._in_place:
            log.warning("master: journal %s was removed or renamed; it is back in its place", path)
        elif before:
            log.error(
                "master: another file has taken the place of journal %s; what is pending is kept in %s",
                path,
                self._lock.name,
            )

    def _try_to_put_back(self) -> str:
        """Give the file its names; what is in the way, if anything is."""
        try:
            self._in_place = self._lock.put_back()
        except OSError as error:
            self._in_place = False
            return os.strerror(error.errno or 0)
        return ""

    def _keep_others_out(self) -> None:
        """Hold the lock of the path without a journal: the file has lost all its names, and its lock with them."""
        log.error("master: what is pending is delivered, but would not survive the master")
        try:
            self._placeholder = JournalLock(self._lock.path)
        except (OSError, trio.BusyResourceError, JournalError) as error:
            log.warning("master: another master may open the same journal: %s", error)
