"""Monitors of paths, all on one inotify descriptor.

inotify watches inodes; people mean paths. Each `Monitor` therefore watches the inode that its path now leads to,
and every directory on the way to it for the one name that matters there. When an entry on the way changes the
monitor is *stale* and walks the way again, until it exists again if need be.

No change is missed while watches move, and no `stat` has to be compared for it. A walk watches each directory
before it looks an entry up in it. And a monitor that went stale re-arms first and reports afterwards: a change
made before the new watch was in place is older than the report. Only a path that was missing and still is
reports nothing.

The kernel gives one descriptor an inode, however many monitors want it, and the union of their masks. So
subscriptions are kept by descriptor and name, and each event is checked against what that subscription is for.
`stat` and its kin are called in the master here: local, and a few microseconds each.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from trisig._linux.inotify import IN_IGNORED, IN_Q_OVERFLOW, Event, Inotify
from trisig._util.ki_protection import ki_protected

from .monitor import ENTRIES, GONE, Monitor, Place
from .rules import Rules
from .tree_monitor import TreeMonitor

# The entry went away or may not be read: the watch on its directory tells when that changes.
_UNWATCHABLE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP}


@ki_protected
class Watcher:
    """Reads the descriptor and tells the monitors.

    Raises:
        OSError: no inotify instance is left.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._watches: dict[int, dict[str, set[Monitor]]] = {}
        self._monitors: set[Monitor] = set()
        self._touched: set[Monitor] = set()
        self._reports = False

    @contextmanager
    def monitor(self, path: str, *, rules: Rules = Rules(), recursive: bool = False) -> Iterator[Monitor]:  # noqa: B008
        """Watch an absolute path while the block runs.

        Args:
            path: a file or directory.
            rules: which changes count.
            recursive: watch what lies below a directory, too.

        Raises:
            OSError: no inotify watch is left.
        """
        # A directory that others watch too may have news waiting from before this monitor.
        self.read()
        monitor = TreeMonitor(self, path, rules) if recursive else Monitor(self, path, rules)
        self._monitors.add(monitor)
        try:
            monitor.begin()
            yield monitor
        finally:
            self._monitors.discard(monitor)
            self._touched.discard(monitor)
            monitor.disarm()

    async def drive(self) -> None:
        """Read events until cancelled; then close the descriptor."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._inotify.fd)
                self.read()
        finally:
            self._inotify.close()

    def watch(self, path: str, mask: int) -> int | None:
        """The watch descriptor of a path; None if it is not there or not readable."""
        try:
            wd = self._inotify.add(path, mask)
        except OSError as exc:
            if exc.errno in _UNWATCHABLE:
                return None
            raise
        self._watches.setdefault(wd, {})
        return wd

    def subscribe(self, place: Place, monitor: Monitor) -> None:
        self._watches[place.wd].setdefault(place.name, set()).add(monitor)

    def unsubscribe(self, place: Place, monitor: Monitor) -> None:
        """Take a subscription back, and the watch with its last one."""
        names = self._watches.get(place.wd, {})
        monitors = names.get(place.name, set())
        monitors.discard(monitor)
        if not monitors:
            names.pop(place.name, None)
        if not names and self._watches.pop(place.wd, None) is not None:
            self._inotify.remove(place.wd)

    def read(self) -> None:
        """Hand on what the kernel has reported."""
        for event in self._inotify.read():
            self._dispatch(event)
        if self._reports:
            return  # an instrument adds a monitor in the step that reports a change, which goes on after it
        # Only now: an event further on may be about a watch that has to move before the change is reported.
        self._reports = True
        while self._touched:
            self._touched.pop().report()
        self._reports = False

    def touch(self, monitor: Monitor) -> None:
        """Have a monitor report its change, once all that the kernel has reported is handed on."""
        self._touched.add(monitor)

    def _dispatch(self, event: Event) -> None:
        if event.mask & IN_Q_OVERFLOW:
            for monitor in self._monitors:  # anything may have happened to anyone
                monitor.note_overflow()
            return
        names = self._watches.get(event.wd)
        if names is None:
            return  # the last words of a watch that was taken back
        if event.name and event.mask & ENTRIES:
            for monitor in names.get(event.name, ()):
                monitor.note_entry(Place(event.wd, event.name))
        if not event.mask & IN_IGNORED:
            for monitor in names.get("", ()):
                monitor.note_inside(event)
        if not event.name and event.mask & GONE:
            self._lost(event, names)

    def _lost(self, event: Event, names: dict[str, set[Monitor]]) -> None:
        for monitor in set[Monitor]().union(*names.values()):
            monitor.note_lost(event)
        if event.mask & IN_IGNORED:
            self._watches.pop(event.wd, None)  # which a monitor may have taken back just now
