"""What dead children leave behind: processes that a handler started, which the kernel hands to the master.

The master is the subreaper of its tree, so an orphan becomes its child, and a zombie when it ends, until somebody
asks for it. Two things tell an orphan from a subprocess that the application started in the master, and that is
never touched:

- its process group. Each child has one of its own, which its descendants share unless they leave it, and the number
  of a group is not given to anybody else while it has a member;
- its environment. Programs that a child starts find the pid of the master in `TRISIG_MASTER`, so one that made a
  session of its own is known too.

Orphans are watched by pidfd and reaped by pidfd: nothing here ever waits for "any child", which would steal the exit
status of such a subprocess. They are looked for when a child or an orphan has ended. What has a session of its own
and had ended before its child did is a zombie without an environment, and stays one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import trio

from ._interrupt import uninterrupted

MARK = "TRISIG_MASTER"


@uninterrupted
class Orphans:
    """Reaps what dead children left behind, when it ends."""

    def __init__(self) -> None:
        self._mark = f"{MARK}={os.getpid()}".encode()
        self._groups: set[int] = set()
        self._watched: set[int] = set()
        self._more = trio.Event()

    def left_by(self, group: int) -> None:
        """A child has been reaped, and may have left something."""
        if _has_children(group):
            self._groups.add(group)
        self._more.set()

    async def watch(self) -> None:
        """Watch until cancelled; what has ended by then is reaped."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    self._more = trio.Event()
                    for pid in [*self._orphans()]:
                        self._watch_soon(nursery, pid)
                    await self._more.wait()
        finally:
            for pid in [*self._orphans()]:
                _reap_dead(os.P_PID, pid)
            for group in self._groups:
                _reap_dead(os.P_PGID, group)

    def _orphans(self) -> Iterator[int]:
        for pid in _own_children() - self._watched:
            if _group_of(pid) in self._groups or self._mark in _environment_of(pid):
                yield pid

    def _watch_soon(self, nursery: trio.Nursery, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return  # out of descriptors: it is looked at again with the next one that ends
        self._watched.add(pid)
        nursery.start_soon(self._watch_one, pid, pidfd)

    async def _watch_one(self, pid: int, pidfd: int) -> None:
        try:
            await trio.lowlevel.wait_readable(pidfd)
            _reap_dead(os.P_PIDFD, pidfd)
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


def _own_children() -> set[int]:
    """The processes that this one has to reap, as far as it can be asked for them without descriptors."""
    try:
        tasks = os.listdir("/proc/self/task")  # noqa: PTH208  short, and pathlib is slow
    except OSError:
        return set()
    return {int(pid) for task in tasks for pid in _read(f"/proc/self/task/{task}/children").split()}


def _group_of(pid: int) -> int:
    """The process group of a child; 0 if it is gone."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    return int(fields[2]) if fields else 0


def _environment_of(pid: int) -> list[bytes]:
    """What its program was started with; nothing if it has ended."""
    return _read(f"/proc/{pid}/environ").split(b"\0")


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return b""  # gone meanwhile, not ours to read, or out of descriptors


def _reap_dead(idtype: int, ident: int) -> None:
    try:
        while os.waitid(idtype, ident, os.WEXITED | os.WNOHANG):
            pass
    except ChildProcessError:
        pass  # another master of this process was faster
