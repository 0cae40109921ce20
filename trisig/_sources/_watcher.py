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
from typing import NamedTuple

import trio

from trisig._interrupt import uninterrupted

from ._inotify import (
    IN_ATTRIB,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
    Event,
    Inotify,
)
from ._trail import Trail

ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT
# What uWSGI's file monitors ask for.
CHANGES = ENTRIES | IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF
ON_THE_WAY = ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR

# The entry went away or may not be read: the watch on its directory tells when that changes.
_UNWATCHABLE = {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP}


class Place(NamedTuple):
    """A subscription: an entry of a watched directory, or with no name all that happens to the watched inode."""

    wd: int
    name: str = ""


@uninterrupted
class Watcher:
    """Reads the descriptor and tells the monitors.

    Raises:
        OSError: no inotify instance is left.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._watches: dict[int, dict[str, set[Monitor]]] = {}
        self._monitors: set[Monitor] = set()

    @contextmanager
    def monitor(self, path: str) -> Iterator[Monitor]:
        """Watch an absolute path for the length of the block.

        Raises:
            OSError: no inotify watch is left.
        """
        # A directory that others watch too may have news waiting from before this monitor.
        self._read()
        monitor = Monitor(self, path)
        self._monitors.add(monitor)
        try:
            monitor.arm()
            yield monitor
        finally:
            self._monitors.discard(monitor)
            monitor.disarm()

    async def drive(self) -> None:
        """Read events until cancelled; then close the descriptor."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self._inotify.fd)
                self._read()
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

    def _read(self) -> None:
        for event in self._inotify.read():
            self._dispatch(event)

    def _dispatch(self, event: Event) -> None:
        if event.mask & IN_Q_OVERFLOW:
            # Anything may have happened to anyone.
            _tell(self._monitors, changed=True, stale=True)
            return
        names = self._watches.get(event.wd)
        if names is None:
            return  # the last words of a watch that was taken back
        if event.name and event.mask & ENTRIES:
            for monitor in names.get(event.name, ()):
                monitor.note_entry(Place(event.wd, event.name))
        if not event.mask & IN_IGNORED:
            _tell(names.get("", ()), changed=True)
        if not event.name and event.mask & GONE:
            self._lost(event, names)

    def _lost(self, event: Event, names: dict[str, set[Monitor]]) -> None:
        for monitors in names.values():
            _tell(monitors, stale=True)
        if event.mask & IN_IGNORED:
            del self._watches[event.wd]


class Monitor:
    """One path. `Watcher.monitor` makes it.

    Attributes:
        missing: the path led nowhere when it was last walked.
    """

    def __init__(self, watcher: Watcher, path: str) -> None:
        self._watcher = watcher
        self._path = path
        self._places: set[Place] = set()
        self._last: set[Place] = set()
        self._woken = trio.Event()
        self._changed = self._stale = False
        self.missing = True

    async def next(self) -> int:
        """Wait for the next change; changes since the last one are reported at once, together.

        Raises:
            OSError: no inotify watch is left to follow the path with; the next call tries again.
        """
        while True:
            await self._woken.wait()
            if self._stale:
                self._changed |= self._walk_again()
            self._woken = trio.Event()
            changed, self._changed = self._changed, False
            if changed:
                return 0

    def note(self, *, changed: bool = False, stale: bool = False) -> None:
        """Take in news; the task in `next` acts on them."""
        self._changed |= changed
        self._stale |= stale
        self._woken.set()

    def note_entry(self, place: Place) -> None:
        """An entry on the way came, went or was replaced."""
        self.note(changed=place in self._last, stale=True)

    def arm(self) -> None:
        """Walk the path and watch it as it now is."""
        places: set[Place] = set()
        self._last = set()
        try:
            self._arm(places)
        finally:
            # After the new ones are in: a watch that both need must not be dropped and added again.
            for place in self._places - places:
                self._watcher.unsubscribe(place, self)
            self._places = places
        self._stale = False

    def disarm(self) -> None:
        """Take every subscription back."""
        for place in self._places:
            self._watcher.unsubscribe(place, self)
        self._places = set()

    def _arm(self, places: set[Place]) -> None:
        trail = Trail(self._path)
        for step in trail:
            place = self._subscribe(places, step.directory, ON_THE_WAY, step.name)
            if place and step.last:
                self._last.add(place)
        self.missing = trail.target is None or not self._subscribe(places, trail.target, CHANGES)

    def _subscribe(self, places: set[Place], path: str, mask: int, name: str = "") -> Place | None:
        wd = self._watcher.watch(path, mask)
        if wd is None:
            return None
        place = Place(wd, name)
        self._watcher.subscribe(place, self)
        places.add(place)
        return place

    def _walk_again(self) -> bool:
        was_missing = self.missing
        self.arm()
        return not (was_missing and self.missing)


def _tell(monitors: set[Monitor] | tuple[()], *, changed: bool = False, stale: bool = False) -> None:
    for monitor in monitors:
        monitor.note(changed=changed, stale=stale)
