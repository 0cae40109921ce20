"""Any course of events for the locks, followed by a model that decides about deadlocks in another way.

The model lets every task that waits for nothing release all that it holds, over and over. A task that still waits in
the end would wait for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trisig._model.errors import DeadlockError
from trisig._model.lock_name import LockName
from trisig._model.locks import Claim, Locks

Task = tuple[str, int]

PROCESSES = ("worker1", "worker2", "mule1")
TASKS = 2  # of each process
NAMES: tuple[LockName, ...] = (0, 1, "db", "1")
CHOICE = st.integers(0, 1000)


@dataclass(frozen=True)
class Asked:
    """A claim as the model has it."""

    key: int
    task: Task
    lock: LockName


class LockMachine(RuleBasedStateMachine):
    """Three processes of two tasks each, and four locks."""

    locks_class = Locks

    @initialize()
    def open(self) -> None:
        self.granted: list[tuple[str, int]] = []
        self.expected: list[tuple[str, int]] = []
        self.locks = self.locks_class(lambda process, key: self.granted.append((process, key)))
        self.lines: dict[LockName, list[Asked]] = {name: [] for name in NAMES}
        self.keys = count()

    # What the model knows

    def waits_for(self, task: Task) -> LockName | None:
        lines = self.lines.items()
        return next((lock for lock, line in lines if any(asked.task == task for asked in line[1:])), None)

    def claims(self) -> list[Asked]:
        return [asked for line in self.lines.values() for asked in line]

    def would_end(self, asked: Asked) -> bool:
        """Whether a claim that enters its line is granted at last, if everybody who runs releases in the end."""
        left = {lock: list(line) for lock, line in self.lines.items()}
        left[asked.lock].append(asked)
        while any(asked in line for line in left.values()):
            stuck = {one.task for line in left.values() for one in line[1:]}
            after = {lock: [one for one in line if one.task in stuck] for lock, line in left.items()}
            if after == left:
                return False
            left = after
        return True

    # What happens

    @rule(
        process=st.sampled_from(PROCESSES),
        number=st.integers(1, TASKS),
        lock=st.sampled_from(NAMES),
        wait=st.booleans(),
    )
    def acquire(self, process: str, number: int, lock: LockName, *, wait: bool) -> None:
        task = (process, number)
        if self.waits_for(task) is not None:
            return  # it stands in `await`
        asked = Asked(next(self.keys), task, lock)
        line = self.lines[lock]
        reentrant = bool(line) and line[0].task == task
        try:
            holds = self.locks.acquire(Claim(process, asked.key, number, lock), wait=wait)
        except DeadlockError:
            assert reentrant or (wait and not self.would_end(asked)), "refused a wait that ends"
            return
        assert not reentrant
        assert holds == (not line), "held by two, or refused though free"
        if wait:
            assert self.would_end(asked), "a wait that never ends"
        if wait or holds:
            line.append(asked)

    @rule(choice=CHOICE)
    def release(self, choice: int) -> None:
        """A task gives up what it holds, or its wait is cancelled; a late notice of that changes nothing."""
        claims = self.claims()
        if claims:
            asked = claims[choice % len(claims)]
            self.give_up(asked)
            for _ in range(2):
                self.locks.release(asked.task[0], asked.key)

    def give_up(self, asked: Asked) -> None:
        line = self.lines[asked.lock]
        held = line[0] is asked
        line.remove(asked)
        if held and line:
            self.expected.append((line[0].task[0], line[0].key))

    @rule(process=st.sampled_from(PROCESSES))
    def die(self, process: str) -> None:
        for lock, line in self.lines.items():
            before = line[:1]
            self.lines[lock] = rest = [asked for asked in line if asked.task[0] != process]
            if rest and rest[:1] != before:
                self.expected.append((rest[0].task[0], rest[0].key))
        self.locks.process_ended(process)

    @rule()
    def ask_who(self) -> None:
        told = {one.lock: (one.holder, one.waiting) for one in self.locks.statistics()}
        lines = {lock: [asked.task[0] for asked in line] for lock, line in self.lines.items() if line}
        assert told == {lock: (names[0], tuple(names[1:])) for lock, names in lines.items()}

    @invariant()
    def granted_to_the_first_in_line(self) -> None:
        assert sorted(self.granted) == sorted(self.expected)
