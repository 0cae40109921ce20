"""Locks between the tasks of all processes: who holds one, who waits, and which waits would never end. Pure.

A claim is what one task wants or has of one lock. The claims of a lock stand in line; the first of them holds it. A
task waits for one lock at a time, so from a claim a single path leads on: to who holds its lock, to what that task
waits for in turn, and so forth. Only a new wait can close a circle of such paths: a task that is granted a lock waits
for nothing any more. So each wait is looked at once, when it begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from .errors import DeadlockError
from .lock_name import LockName
from .statistics import LockStatistics


class Claim(msgspec.Struct, frozen=True):
    """What one task wants of a lock.

    Attributes:
        process: the name of its process.
        key: of the claim, unique in that process.
        task: the number of the task in that process.
        lock: the name of the lock.
    """

    process: str
    key: int
    task: int
    lock: LockName

    @property
    def who(self) -> tuple[str, int]:
        """The task, among those of all processes."""
        return self.process, self.task


class Locks:
    """All locks of a master. A lock exists while it is held.

    Args:
        grant: called with (process, key) of a claim that waited, when it gets its lock.
    """

    def __init__(self, grant: Callable[[str, int], object]) -> None:
        self._grant = grant
        self._claims: dict[tuple[str, int], Claim] = {}
        self._lines: dict[LockName, deque[Claim]] = {}  # the first of each line holds the lock
        self._waits: dict[tuple[str, int], Claim] = {}  # by task

    def acquire(self, claim: Claim, *, wait: bool) -> bool:
        """Take a lock, or stand in line for it; returns whether the claim holds it now.

        Args:
            claim: who wants which lock.
            wait: whether to stand in line if somebody else holds it.

        Raises:
            DeadlockError: the wait would never end; nothing has changed.
        """
        if claim.lock in self._lines:
            self._refuse_circle(claim, wait=wait)
            if wait:
                self._enter(claim)
                self._waits[claim.who] = claim
            return False
        self._enter(claim)
        return True

    def _enter(self, claim: Claim) -> None:
        self._claims[claim.process, claim.key] = claim
        self._lines.setdefault(claim.lock, deque()).append(claim)

    def _refuse_circle(self, claim: Claim, *, wait: bool) -> None:
        """Follow the waits from a new claim on.

        Raises:
            DeadlockError: they lead back to its own task.
        """
        path = [claim]
        while (holder := self._lines[path[-1].lock][0]).who != claim.who:
            waits = self._waits.get(holder.who)
            if waits is None or not wait:  # the holder runs, or nobody is about to wait
                return
            path.append(waits)
        raise DeadlockError(_circle_text(path))

    def release(self, process: str, key: int) -> None:
        """Give up a claim, whether it holds its lock or waits. An unknown one is given up already."""
        claim = self._claims.pop((process, key), None)
        if claim is None:
            return
        line = self._lines[claim.lock]
        if line[0] is claim:
            line.popleft()
            self._pass_on(claim.lock, line)
        else:
            line.remove(claim)
            del self._waits[claim.who]

    def _pass_on(self, lock: LockName, line: deque[Claim]) -> None:
        if not line:
            del self._lines[lock]
            return
        first = line[0]
        del self._waits[first.who]
        self._grant(first.process, first.key)

    def is_locked(self, lock: LockName) -> bool:
        """Whether anybody holds a lock."""
        return lock in self._lines

    def process_ended(self, process: str) -> None:
        """Give up all claims of a process."""
        own = [claim for claim in self._claims.values() if claim.process == process]
        # Those that wait first: a lock that the process held must not be granted to the process itself.
        for claim in sorted(own, key=lambda claim: self._lines[claim.lock][0] is claim):
            self.release(process, claim.key)

    def statistics(self) -> tuple[LockStatistics, ...]:
        """Who holds which lock, and who waits for it."""
        return tuple(
            LockStatistics(lock, line[0].process, tuple(claim.process for claim in list(line)[1:]))
            for lock, line in self._lines.items()
        )


def _circle_text(path: list[Claim]) -> str:
    first, *others = path
    if not others:
        return (
            f"deadlock: this task of {first.process} holds lock {first.lock!r} already, and would wait for itself; "
            f"a lock is not reentrant"
        )
    through = "".join(f", which {claim.process} holds while it waits for lock {claim.lock!r}" for claim in others)
    return (
        f"deadlock: {first.process} would wait for lock {first.lock!r}{through}, which {first.process} holds; "
        f"acquire locks in the same order everywhere"
    )
