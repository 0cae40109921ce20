"""The monitor of one path: which watches it needs, and what their events mean to it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import trio

from trisig._linux.inotify import (
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
    IN_UNMOUNT,
    Event,
)

from .occurrences import Occurrence, Occurrences
from .path_walk import PathWalk
from .rules import Rules

ENTRIES = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO
GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT
# What uWSGI's file monitors ask for.
CHANGES = ENTRIES | IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF | IN_MOVE_SELF
ON_THE_WAY = ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR


class Place(NamedTuple):
    """A subscription: an entry of a watched directory, or with no name all that happens to the watched inode."""

    wd: int
    name: str = ""


class Watches(Protocol):
    """The watches of one inotify descriptor, which monitors share."""

    def read(self) -> None: ...
    def watch(self, path: str, mask: int) -> int | None: ...
    def subscribe(self, place: Place, monitor: Monitor) -> None: ...
    def unsubscribe(self, place: Place, monitor: Monitor) -> None: ...
    def touch(self, monitor: Monitor) -> None: ...


class Monitor(Occurrences):
    """One path, followed by name.

    Args:
        watches: made by the descriptor that the monitors share.
        path: absolute.
        rules: which changes count.

    Attributes:
        missing: the path led nowhere when it was last walked.
    """

    def __init__(self, watches: Watches, path: str, rules: Rules) -> None:
        self._watches = watches
        self._path = path
        self._rules = rules
        self._places: set[Place] = set()
        self._last: set[Place] = set()
        self._woken = trio.Event()
        self._changed = self._stale = False
        self._changed_path: str | None = None
        self._reported: str | None = None  # what was reported before the task in `next` ran
        self.missing = True

    @property
    def state(self) -> str:
        """`waiting` for a change, or `missing` while the path does not exist."""
        return "missing" if self.missing else "waiting"

    # What has changed

    async def next(self) -> Occurrence:
        """Wait for the next change; changes since the last one are reported at once, together.

        Raises:
            OSError: no inotify watch is left to follow the path with; the next call tries again.
        """
        while True:
            if self._has_work():  # after an error there is still something to do, which no event announces
                await trio.lowlevel.checkpoint()
            else:
                await self._woken.wait()
            self._woken = trio.Event()
            if self._reported is not None:
                path, self._reported = self._reported, None
                return Occurrence(path=path)
            await self._catch_up()
            if self._changed:
                break
        await self._settle()
        noticed = self.noticed
        self._take_change()
        return noticed

    @property
    def noticed(self) -> Occurrence:
        """What has changed so far; once that is reported, what has been."""
        return Occurrence(path=self._reported or self._changed_path or self._path)

    def _take_change(self) -> str:
        path, self._changed_path = self._changed_path, None
        self._changed = False
        return path or self._path

    def report(self) -> None:
        """Report a change before the task in `next` runs, if nothing has to be done first; else let that task run."""
        early = self._changed and self._is_covered() and not self._rules.settle and self._reported is None
        if early and self._notice(self._woken.set):
            # What happens from here on is another change: the signal of this one may be handled already.
            self._reported = self._take_change()
        else:
            self._woken.set()

    def _has_work(self) -> bool:
        return self._changed or self._reported is not None or not self._is_covered()

    def _is_covered(self) -> bool:
        """Whether all that has to be watched is watched."""
        return not self._stale

    async def _catch_up(self) -> None:
        """Watch what has to be watched by now. Only then may changes be reported: none is made unseen after that."""
        if self._stale:
            self._changed |= self._walk_again()

    async def _settle(self) -> None:
        """Wait until there is no more change for a while."""
        if not self._rules.settle:
            return
        latest = trio.current_time() + self._rules.longest_settle
        while (now := trio.current_time()) < latest:
            with trio.move_on_at(min(now + self._rules.settle, latest)):
                await self._woken.wait()
            if not self._woken.is_set():
                return
            self._woken = trio.Event()
            await self._catch_up()

    def note(self, *, changed: bool = False, stale: bool = False, path: str | None = None) -> None:
        """Take in news; the task in `next` acts on them.

        Args:
            changed: there is something to report.
            stale: the path has to be walked again.
            path: what has changed, if not the monitored path.
        """
        if changed:
            # The path of one change is worth telling; of several, only what they have in common.
            self._changed_path = path if not self._changed or path == self._changed_path else self._path
        self._changed |= changed
        self._stale |= stale
        if changed:
            self._watches.touch(self)
        else:
            self._woken.set()

    def note_entry(self, place: Place) -> None:
        """An entry on the way came, went or was replaced."""
        self.note(changed=place in self._last, stale=True)

    def note_inside(self, event: Event) -> None:
        """Something happened to the watched inode: the file, or the directory and what is in it."""
        if event.name:
            if self._rules.fits(event.name):
                self.note(changed=True, path=f"{self._path}/{event.name}")
        elif self._rules.match is None or event.mask & GONE:
            self.note(changed=True)

    def note_lost(self, event: Event) -> None:
        """A watched inode is gone, or has another name now."""
        del event
        self.note(stale=True)

    def note_overflow(self) -> None:
        """Events were dropped: anything may have happened."""
        self.note(changed=True, stale=True)

    # What is watched

    def begin(self) -> None:
        """Watch the path for the first time.

        Raises:
            OSError: no inotify watch is left.
        """
        self.arm()

    def arm(self) -> None:
        """Walk the path and watch it as it now is."""
        places: set[Place] = set()
        self._last = set()
        try:
            self._arm(places)
        finally:
            # After the new ones are in: a watch that both need must not be dropped and added again.
            for place in self._places - places:
                self._watches.unsubscribe(place, self)
            self._places = places
        self._stale = False

    def disarm(self) -> None:
        """Take every subscription back."""
        for place in self._places:
            self._watches.unsubscribe(place, self)
        self._places = set()

    def _arm(self, places: set[Place]) -> None:
        walk = PathWalk(self._path)
        for step in walk:
            place = self._subscribe(places, step.directory, ON_THE_WAY, step.name)
            if place and step.last:
                self._last.add(place)
        target = None if walk.target is None else self._subscribe(places, walk.target, CHANGES)
        self.missing = target is None
        self._arrive(walk.target or "", target)

    def _arrive(self, path: str, target: Place | None) -> None:
        """The path was walked; called with where it led."""

    def _subscribe(self, places: set[Place], path: str, mask: int, name: str = "") -> Place | None:
        wd = self._watches.watch(path, mask)
        if wd is None:
            return None
        place = Place(wd, name)
        self._watches.subscribe(place, self)
        places.add(place)
        return place

    def _walk_again(self) -> bool:
        was_missing = self.missing
        self.arm()
        return not (was_missing and self.missing)
