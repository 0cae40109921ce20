"""What children leave behind: processes that a handler started, which the kernel hands to the master.

The master is the subreaper of its tree, so an orphan becomes its child, and a zombie when it ends, until somebody
asks for it. Three things tell an orphan from a subprocess that the application started in the master, and that is
never touched:

- its process group. Each child has one of its own, which its descendants share unless they leave it, and the number
  of a group is not given to anybody else while it has a member;
- its environment. Programs that a child starts find the pid of the master in `TRISIG_MASTER`, so one that made a
  session of its own is known too;
- its session. One that the master has started is in the master's, or leads its own. Whoever is in a third one has lost
  a parent that was between them. So the first process of a container reaps what a shell leaves that was started there.

They are looked for at SIGCHLD, which the kernel sends when an orphan ends, and when a child has ended. Nothing here
ever waits for "any child", which would steal the exit status of such a subprocess.

A zombie has no environment any more. So one that leads its own session stays until the master's process ends, unless it
was seen alive. So does what the application itself leaves to the subreaper in the master's session: it cannot be told
from its children.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import trio

from trisig._model.process import MASTER_VARIABLE
from trisig._util.ki_protection import ki_protected

# Between two looks where SIGCHLD cannot be had: in a thread, or under a handler that Python did not set. Nothing else
# tells of an orphan there. It falls to this process when its parent dies, which is no child of ours, so no pidfd can be
# open yet. signalfd needs SIGCHLD blocked in every thread. A thread in waitid(P_ALL, WNOWAIT) would spin as long as the
# application has a zombie, and one in waitid(P_PGID) for each child could not be cancelled. The kernel's process events
# (netlink) need CAP_NET_ADMIN.
_LOOK_SECONDS = 60.0


@ki_protected
class Orphans:
    """Reaps what children left behind, when it ends."""

    def __init__(self) -> None:
        self._mark = f"{MASTER_VARIABLE}={os.getpid()}".encode()
        self._living: set[int] = set()  # groups whose leader is a child that the keeper reaps
        self._left: set[int] = set()  # groups whose leader has been reaped, and which have members
        self._watched: set[int] = set()
        self._more = trio.Event()

    def watch_group(self, group: int) -> None:
        """A child lives, and its programs may leave something."""
        self._living.add(group)

    def left_by(self, group: int) -> None:
        """A child has been reaped, and may have left something."""
        self._living.discard(group)
        if _has_children(group):
            self._left.add(group)
        self._more.set()

    async def watch(self) -> None:
        """Watch until cancelled; what has ended by then is reaped."""
        try:
            with self._woken_by_sigchld() as woken:
                async with trio.open_nursery() as nursery:
                    while True:
                        self._more = trio.Event()
                        self._look(nursery)
                        with trio.move_on_after(float("inf") if woken else _LOOK_SECONDS):
                            await self._more.wait()
        finally:
            self._reap_dead()

    def _look(self, nursery: trio.Nursery) -> None:
        self._reap_dead()
        for pid in self._orphans():
            self._watch_soon(nursery, pid)

    def _reap_dead(self) -> None:
        for group in self._living:
            _reap_members(group)
        for group in list(self._left):
            _reap_dead(os.P_PGID, group)
            if not _has_children(group):
                self._left.discard(group)

    def _orphans(self) -> list[int]:
        """Those that live on after their parent, dead ones with the mark included."""
        others = _own_children() - self._watched - self._living
        groups = self._living | self._left
        return [
            pid
            for pid in others
            if _group_of(pid) in groups or self._mark in _environment_of(pid) or _is_of_a_third_session(pid)
        ]

    def _watch_soon(self, nursery: trio.Nursery, pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return  # gone, or out of descriptors: then it is looked at again with the next one that ends
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
        self._more.set()

    @contextmanager
    def _woken_by_sigchld(self) -> Iterator[bool]:
        """Look at each SIGCHLD; the application's own handler runs as before. Tells whether that works here."""
        before = signal.getsignal(signal.SIGCHLD)
        if threading.current_thread() is not threading.main_thread() or before is None:
            yield False
            return
        token = trio.lowlevel.current_trio_token()

        def look_soon(number: int, frame: FrameType | None) -> None:
            try:
                token.run_sync_soon(self._wake, idempotent=True)
            except trio.RunFinishedError:
                pass  # the application has kept this handler, below one of its own
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGCHLD, look_soon)
        signal.siginterrupt(signal.SIGCHLD, False)  # or C code that has never seen EINTR would meet it
        try:
            yield True
        finally:
            if signal.getsignal(signal.SIGCHLD) is look_soon:  # else the application has set its own meanwhile
                # Blocked: Python calls it an error if a signal comes just before its handler is taken away.
                blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
                signal.signal(signal.SIGCHLD, before)
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _wake(self) -> None:
        self._more.set()


def _reap_members(group: int) -> None:
    """Reap the dead in the group of a living child, and not the child, whose status its keeper wants."""
    try:
        while dead := os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if dead.si_pid == group:
                return  # it has just died too: the rest is reaped with what it left
            _reap_dead(os.P_PID, dead.si_pid)
    except ChildProcessError:
        pass


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
    fields = _stat_of(pid)
    return int(fields[2]) if fields else 0


def _is_of_a_third_session(pid: int) -> bool:
    """Whether a child is neither in the session of this process nor the leader of its own."""
    fields = _stat_of(pid)
    return bool(fields) and int(fields[3]) not in (os.getsid(0), pid)


def _stat_of(pid: int) -> list[bytes]:
    """Its state, parent, group, session and more, dead or alive; nothing if it is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()


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
        pass  # something else in this process was faster
