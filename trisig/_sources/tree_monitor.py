"""The monitor of a directory and all that is below it.

inotify watches directories, not trees, so each directory needs a watch of its own, and a directory that appears needs
one as soon as it is there. Its event comes too late for that: by then there may be more below it. So a new directory is
watched first and read then, and whatever is found in it is treated as new. Changes are reported only when all of that
is done. Thus each change either has a watch that sees it, or is older than a report.

A tree may be large, and reading it must not block the master. It is read in steps, with other tasks running between.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

import trio

from trisig._linux.inotify import (
    IN_CREATE,
    IN_DELETE,
    IN_DONT_FOLLOW,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    Event,
)

from .monitor import CHANGES, Monitor, Place, Watches
from .rules import Rules

_AT_ONCE = 1000  # directories that are read when the monitor is armed, which takes some 30 ms
_STEP = 100  # directories that are read without letting other tasks run
_DRAIN = 4096  # watches that are taken back before their last events are read: the kernel's queue holds 16,384
_TREE = CHANGES | IN_ONLYDIR | IN_DONT_FOLLOW


class _Directory:
    """A directory of the tree.

    Attributes:
        wd: its watch; -1 until it is watched, and after it is forgotten.
        is_new: it appeared while the tree was watched, so what is in it has changed.
        recheck: it is known, but events about it may be lost.
    """

    __slots__ = ("children", "is_new", "name", "parent", "recheck", "wd")

    def __init__(self, parent: _Directory | None, name: str, *, is_new: bool) -> None:
        self.parent = parent
        self.name = name
        self.children: dict[str, _Directory] = {}
        self.wd = -1
        self.is_new = is_new
        self.recheck = False

    @property
    def path(self) -> str:
        names, here = [self.name], self.parent
        while here is not None:  # not by recursion: a path has up to 2,000 names
            names.append(here.name)
            here = here.parent
        return "/".join(reversed(names))

    def is_in_tree(self) -> bool:
        return self.parent is None or self.parent.children.get(self.name) is self

    def subtree(self) -> Iterator[_Directory]:
        stack: list[_Directory] = [self]
        while stack:
            one = stack.pop()
            stack.extend(one.children.values())
            yield one


class TreeMonitor(Monitor):
    """One directory with all directories below it; symbolic links in it are not followed.

    Args:
        watches: made by the descriptor that the monitors share.
        path: absolute.
        rules: which changes count.
    """

    def __init__(self, watches: Watches, path: str, rules: Rules) -> None:
        super().__init__(watches, path, rules)
        self._root: _Directory | None = None
        self._by_wd: dict[int, _Directory] = {}
        self._unread: deque[_Directory] = deque()
        self._dropped: deque[int] = deque()  # watches of directories that have left the tree
        self._overflowed = self._begun_only = False

    def begin(self) -> None:
        """Watch the tree; of a large one, the rest is watched by and by, and the signal raised once it is."""
        self.arm()
        self._read_some(_AT_ONCE)
        self._begun_only = bool(self._unread)
        if self._unread:
            self._woken.set()

    def disarm(self) -> None:
        """Take every watch back."""
        super().disarm()
        self._drop_all(self._root)
        for count, wd in enumerate(self._dropped):
            self._watches.unsubscribe(Place(wd), self)
            if count % _DRAIN == _DRAIN - 1:
                self._watches.read()
        self._dropped.clear()

    # Reading the tree

    def _is_covered(self) -> bool:
        return super()._is_covered() and not self._unread and not self._dropped

    async def _catch_up(self) -> None:
        await super()._catch_up()
        while self._dropped or self._unread:
            # First these: a directory that was moved within the tree may have the same watch again.
            self._take_back_some(_STEP)
            if not self._dropped:
                self._read_some(_STEP)
            await trio.lowlevel.checkpoint()
            await super()._catch_up()
        if self._begun_only:  # anything may have changed before it was watched
            self._begun_only = False
            self.note(changed=True)

    def _arrive(self, path: str, target: Place | None) -> None:
        root = self._root
        if root is not None and (target is None or root.wd != target.wd):
            self._drop_all(root)
            self._root = root = None
        if target is not None and root is None:
            self._root = root = _Directory(None, path, is_new=self._stale)
            root.wd = target.wd
            self._by_wd[root.wd] = root
            self._unread.append(root)
        elif root is not None:
            root.name = path
            if self._overflowed:
                self._check_again(root)
        self._overflowed = False

    def _read_some(self, count: int) -> None:
        """Read so many of the directories that wait for it; one for which there is no watch goes on waiting."""
        for _ in range(count):
            if not self._unread:
                return
            directory = self._unread[0]
            if directory.is_in_tree() and self._watch(directory):
                self._read(directory)
            self._unread.popleft()

    def _take_back_some(self, count: int) -> None:
        for _ in range(min(count, len(self._dropped))):
            wd = self._dropped.popleft()
            if wd not in self._by_wd:
                self._watches.unsubscribe(Place(wd), self)

    def _watch(self, directory: _Directory) -> bool:
        """Watch a directory before it is read; whether it is there."""
        if directory.parent is None:
            return True  # its watch belongs to the walk of the path
        if directory.wd >= 0 and not directory.recheck:
            return True
        wd = self._watches.watch(directory.path, _TREE)
        if wd == directory.wd:
            return True
        if directory.wd >= 0:  # another directory has its name now
            self._by_wd.pop(directory.wd, None)
            self._dropped.append(directory.wd)
            directory.wd = -1
        if wd is None:
            self._drop(directory)
            return False
        other = self._by_wd.get(wd)
        if other is not None:  # it was moved here, and the event about its old place is still to come
            self._drop(other)
        directory.wd = wd
        self._by_wd[wd] = directory
        self._watches.subscribe(Place(wd), self)
        return True

    def _read(self, directory: _Directory) -> None:
        """Look which directories there are in one that is watched."""
        found: set[str] = set()
        try:
            with os.scandir(directory.path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        found.add(entry.name)
                        self._found(directory, entry.name)
                    if directory.is_new:
                        self._report(directory, entry.name)
        except OSError:
            return  # it has gone: the event about that is on its way
        for child in [child for name, child in directory.children.items() if name not in found]:
            self._drop(child)
        directory.recheck = directory.is_new = False

    def _found(self, directory: _Directory, name: str) -> None:
        child = directory.children.get(name)
        if child is None:
            self._add(directory, name, is_new=directory.is_new)
        elif directory.recheck:
            self._check_again(child)

    def _add(self, parent: _Directory, name: str, *, is_new: bool) -> None:
        child = parent.children[name] = _Directory(parent, name, is_new=is_new)
        self._unread.append(child)

    def _check_again(self, directory: _Directory) -> None:
        directory.recheck = True
        self._unread.append(directory)
        self._woken.set()

    def _drop(self, directory: _Directory) -> None:
        """A directory has left the tree, and with it all that is below."""
        if directory.parent is not None and directory.is_in_tree():
            del directory.parent.children[directory.name]
        self._drop_all(directory)

    def _drop_all(self, directory: _Directory | None) -> None:
        for one in directory.subtree() if directory is not None else ():
            # One that has its watch since another directory lost it keeps it.
            if one.wd >= 0 and self._by_wd.get(one.wd) is one:
                del self._by_wd[one.wd]
                if one.parent is not None:
                    self._dropped.append(one.wd)
            one.wd = -1
        self._woken.set()

    # What has changed

    def _report(self, directory: _Directory, name: str) -> None:
        """Note a change of an entry, if it is one that counts."""
        assert self._root is not None
        path = f"{directory.path}/{name}"
        if self._rules.fits(path[len(self._root.path) + 1 :]):
            self.note(changed=True, path=path)

    def note_inside(self, event: Event) -> None:
        """Something happened in a directory of the tree, or to the monitored one itself."""
        directory = self._by_wd.get(event.wd)
        if directory is None:
            if Place(event.wd) in self._places:
                super().note_inside(event)
            return
        if event.name:
            if event.mask & IN_ISDIR:
                self._note_directory(event, directory)
            self._report(directory, event.name)
        elif directory.parent is None:
            super().note_inside(event)

    def _note_directory(self, event: Event, parent: _Directory) -> None:
        """A directory came or went."""
        known = parent.children.get(event.name)
        if event.mask & (IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_MOVED_TO) and known is not None:
            self._drop(known)
        if event.mask & (IN_CREATE | IN_MOVED_TO):
            self._add(parent, event.name, is_new=True)
            self._woken.set()
        elif event.mask & IN_MOVED_FROM:
            # What was in it is gone without an event about it.
            self.note(changed=True, path=f"{parent.path}/{event.name}")

    def note_lost(self, event: Event) -> None:
        """A directory of the tree is gone or has another name, or something on the way to the tree has."""
        directory = self._by_wd.get(event.wd)
        if directory is None or directory.parent is None:
            if directory is not None or any(place.wd == event.wd for place in self._places):
                super().note_lost(event)
        elif event.mask & IN_MOVE_SELF:
            # It may have been found under its new name already: the kernel sends this after the entry's own events.
            self._check_again(directory)
        else:
            self._drop(directory)

    def note_overflow(self) -> None:
        """Events were dropped: the whole tree has to be read again."""
        self._overflowed = True
        super().note_overflow()
