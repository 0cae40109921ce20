"""Locks without a process: order, deadlocks, and the proof that a mistake would be found."""

from __future__ import annotations

from collections import deque

import pytest
from course_budget import budget
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test
from lock_machine import LockMachine

from trisig._model.errors import DeadlockError
from trisig._model.lock_name import LockName, check_lock_name
from trisig._model.locks import Claim, Locks


@pytest.mark.thorough
def test_any_course_of_events() -> None:
    """One holder, first come first served, freed by death and cancellation, and no wait that would never end."""
    run_state_machine_as_test(LockMachine, settings=budget(300, Phase.generate, Phase.shrink))


class LastComeFirstServed(Locks):
    def _pass_on(self, lock: LockName, line: deque[Claim]) -> None:
        line.rotate(1)
        super()._pass_on(lock, line)


class KeepsWhatTheDeadHeld(Locks):
    def process_ended(self, process: str) -> None:
        for claim in list(self._waits.values()):
            if claim.process == process:
                self.release(process, claim.key)


class GrantsToTheDead(Locks):
    def process_ended(self, process: str) -> None:
        for claim in [claim for claim in self._claims.values() if claim.process == process]:
            self.release(process, claim.key)


class GrantsTheCancelled(Locks):
    """Takes no notice when a wait is cancelled."""

    def release(self, process: str, key: int) -> None:
        claim = self._claims.get((process, key))
        if claim is None or self._waits.get(claim.who) is not claim:
            super().release(process, key)


class SeesTwoOnly(Locks):
    """Looks no further than the holder of the lock."""

    def _refuse_circle(self, claim: Claim, *, wait: bool) -> None:
        waits = self._waits.get(self._lines[claim.lock][0].who)
        if self._lines[claim.lock][0].who == claim.who or (
            wait and waits and self._lines[waits.lock][0].who == claim.who
        ):
            raise DeadlockError(claim.process)


class SeesNoCircle(Locks):
    def _refuse_circle(self, claim: Claim, *, wait: bool) -> None:
        pass


class TakesProcessesForTasks(Locks):
    """Takes two tasks of one process for one."""

    def _refuse_circle(self, claim: Claim, *, wait: bool) -> None:
        if self._lines[claim.lock][0].process == claim.process:
            raise DeadlockError(claim.process)
        super()._refuse_circle(claim, wait=wait)


class RefusesToTry(Locks):
    """Takes an `acquire_nowait` for a wait."""

    def _refuse_circle(self, claim: Claim, *, wait: bool) -> None:
        super()._refuse_circle(claim, wait=True)


class TwoHolders(Locks):
    def acquire(self, claim: Claim, *, wait: bool) -> bool:
        return super().acquire(claim, wait=wait) or wait


class TryStandsInLine(Locks):
    """Leaves an `acquire_nowait` that failed in the line."""

    def acquire(self, claim: Claim, *, wait: bool) -> bool:
        self._refuse_circle(claim, wait=wait) if claim.lock in self._lines else None
        return super().acquire(claim, wait=True)


class OneNameForTwo(Locks):
    """Takes lock "1" for lock 1."""

    def acquire(self, claim: Claim, *, wait: bool) -> bool:
        lock: LockName = 1 if claim.lock == "1" else claim.lock
        return super().acquire(Claim(claim.process, claim.key, claim.task, lock), wait=wait)


MUTANTS = [kind for kind in Locks.__subclasses__() if kind.__module__ == __name__]


@pytest.mark.thorough
@pytest.mark.parametrize("kind", MUTANTS, ids=lambda kind: kind.__name__)
def test_a_planted_mistake_is_found(kind: type[Locks]) -> None:
    """The same machine fails for locks that are wrong in one way."""
    machine = type(kind.__name__, (LockMachine,), {"locks_class": kind})
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(machine, settings=budget(2000, Phase.generate))


def claim(process: str, lock: LockName, key: int = 0) -> Claim:
    """What the only task of a process wants."""
    return Claim(process, key, 1, lock)


def test_a_deadlock_names_all_who_hold_and_wait() -> None:
    """The wait that closes a circle is refused, with every holder of the circle and what it waits for."""
    locks = Locks(lambda process, key: None)
    for process, lock in (("worker1", 1), ("worker2", "db"), ("mule1", 3)):
        assert locks.acquire(claim(process, lock), wait=True)
    assert not locks.acquire(claim("worker1", "db", 1), wait=True)
    assert not locks.acquire(claim("worker2", 3, 1), wait=True)
    with pytest.raises(DeadlockError) as raised:
        locks.acquire(claim("mule1", 1, 1), wait=True)
    assert str(raised.value) == (
        "deadlock: mule1 would wait for lock 1, which worker1 holds while it waits for lock 'db', which worker2 holds "
        "while it waits for lock 3, which mule1 holds; acquire locks in the same order everywhere"
    )
    assert not locks.acquire(claim("mule1", 1, 2), wait=False), "to try is no wait"


def test_a_lock_is_not_reentrant() -> None:
    """A task that acquires what it holds is told so, waiting or not."""
    locks = Locks(lambda process, key: None)
    locks.acquire(claim("worker1", 0), wait=True)
    for wait in (True, False):
        with pytest.raises(DeadlockError, match="holds lock 0 already, and would wait for itself"):
            locks.acquire(claim("worker1", 0, 1), wait=wait)
    assert not locks.acquire(Claim("worker1", 2, 2, 0), wait=True), "another task of the same process may wait"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (True, "named by a number or a text"),
        (1.0, "named by a number or a text"),
        (None, "named by a number or a text"),
        (-1, "from 0 to"),
        (2**64, "from 0 to"),
        ("", "1 to 200 characters"),
        ("x" * 201, "1 to 200 characters"),
    ],
)
def test_what_is_no_name_of_a_lock(name: object, error: str) -> None:
    """A number from 0 or a short text, and nothing else."""
    with pytest.raises((TypeError, ValueError), match=error):
        check_lock_name(name)


def test_names_of_locks() -> None:
    """Numbers and texts are different names, also where they look alike."""
    assert [check_lock_name(name) for name in (0, 2**64 - 1, "1", "\ud800")] == [0, 2**64 - 1, "1", "\ud800"]
