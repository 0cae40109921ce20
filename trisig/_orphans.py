"""What dead children leave behind: processes that a handler started, which the kernel hands to the master.

The master is the subreaper of its tree, so an orphan becomes its child, and a zombie when it ends, until somebody
asks for it. Each child has a process group of its own, which its descendants share unless they leave it; the
number of a group is not given to anybody else while it has a member. So the orphans of a dead child are the
members of its group that are children of this process. They are watched by pidfd and reaped by pidfd: nothing
here ever waits for "any child", which would steal the exit status of a subprocess that the application started
in the master. A descendant that made a session of its own has left its group, and cannot be told from those.
"""

from __future__ import annotations

import os

import trio

from ._interrupt import uninterrupted


@uninterrupted
class Orphans:
    """Reaps what dead children left behind, when it ends."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._watched: set[int] = set()
        self._more = trio.Event()

    def left_by(self, group: int) -> None:
        """A child has been reaped, and its group may have other members."""
        if _has_children(group):
            self._groups.add(group)
            self._more.set()

    async def watch(self) -> None:
        """Watch until cancelled; what has ended by then is reaped."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    self._more = trio.Event()
                    for group in self._groups:
                        self._watch_members(nursery, group)
                    await self._more.wait()
        finally:
            for group in self._groups:
                _reap_dead(group)

    def _watch_members(self, nursery: trio.Nursery, group: int) -> None:
        for pid in _children_in(group) - self._watched:
            try:
                pidfd = os.pidfd_open(pid)
            except OSError:
                continue  # out of descriptors: it is looked at again with the next one that ends
            self._watched.add(pid)
            nursery.start_soon(self._watch_one, pid, pidfd)

    async def _watch_one(self, pid: int, pidfd: int) -> None:
        try:
            await trio.lowlevel.wait_readable(pidfd)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)  # noqa: ASYNC222  it is dead, the pidfd says so
        finally:
            os.close(pidfd)
            self._watched.discard(pid)
        # What it left behind in turn has become a child of this process when it died.
        self._groups = {group for group in self._groups if _has_children(group)}
        self._more.set()


def _has_children(group: int) -> bool:
    """Whether this process has a child in a group, dead or alive."""
    try:
        os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children_in(group: int) -> set[int]:
    """This process's children in a group."""
    entries = os.listdir("/proc")  # noqa: PTH208  a lazy listing would find processes twice
    return {int(entry) for entry in entries if entry.isdecimal() and _is_child_in(int(entry), group)}


def _is_child_in(pid: int, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            _state, parent, its_group = file.read().rpartition(b") ")[2].split()[:3]
    except OSError:
        return False  # gone meanwhile
    return int(parent) == os.getpid() and int(its_group) == group


def _reap_dead(group: int) -> None:
    try:
        while os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG):
            pass
    except ChildProcessError:
        pass
