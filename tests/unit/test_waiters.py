"""Signals without a handler, and those who wait for them."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.waiters import Waiters, _Ask

Grants = list[tuple[str, int, int]]


def make_waiters() -> tuple[Ledger, Waiters, Grants]:
    """Waiters that note what they grant."""
    grants: Grants = []
    ledger = Ledger()
    return ledger, Waiters(ledger, lambda *grant: grants.append(grant)), grants


def raised(ledger: Ledger, waiters: Waiters, *signums: int) -> None:
    """Signals without a handler arrive."""
    ledger.accept(waiters.queue, bytes(signums))
    waiters.match()


def queued(waiters: Waiters) -> list[int]:
    """What nobody was granted so far."""
    return [signum for _, signum in waiters.queue]


def test_the_first_who_asked_is_granted_first() -> None:
    """Two tasks wait; two signals go to them in the order in which they asked."""
    ledger, waiters, grants = make_waiters()
    waiters.ask("worker1", 1, None)
    waiters.ask("mule1", 1, None)
    raised(ledger, waiters, 5, 6, 7)
    assert grants == [("worker1", 1, 5), ("mule1", 1, 6)]
    assert queued(waiters) == [7]
    assert (waiters.waiting, waiters.in_flight, ledger.pending) == (0, 2, 3)


def test_signals_wait_in_order_for_whoever_comes() -> None:
    """Nobody waits when they arrive; each ask takes the oldest."""
    ledger, waiters, grants = make_waiters()
    raised(ledger, waiters, 5, 6)
    waiters.ask("worker1", 1, None)
    waiters.ask("worker1", 2, None)
    assert [signum for _, _, signum in grants] == [5, 6]


def test_a_number_is_waited_for_past_others() -> None:
    """Who wants 7 gets the first 7 and leaves the rest in order; it does not hold up who asked later."""
    ledger, waiters, grants = make_waiters()
    waiters.ask("worker1", 1, 7)
    waiters.ask("worker2", 1, None)
    raised(ledger, waiters, 5, 6, 7, 8, 7)
    assert grants == [("worker1", 1, 7), ("worker2", 1, 5)]
    assert queued(waiters) == [6, 8, 7]


def test_what_was_taken_is_done() -> None:
    """A `wait` that returned finishes its signal, once."""
    ledger, waiters, _ = make_waiters()
    waiters.ask("worker1", 1, None)
    raised(ledger, waiters, 5)
    waiters.end("worker1", 1, took=True)
    waiters.end("worker1", 1, took=True)
    assert (ledger.pending, ledger.done.total, waiters.in_flight) == (0, 1, 0)


def test_a_cancelled_wait_gives_its_signal_to_the_next() -> None:
    """The signal goes back to its place and from there to another who waits."""
    ledger, waiters, grants = make_waiters()
    waiters.ask("worker1", 1, None)
    raised(ledger, waiters, 5, 6)
    waiters.end("worker1", 1, took=False)
    assert queued(waiters) == [5, 6]
    waiters.ask("mule1", 9, None)
    assert grants[-1] == ("mule1", 9, 5)


def test_a_cancelled_ask_is_forgotten() -> None:
    """Nothing is granted to a task that has stopped waiting."""
    ledger, waiters, grants = make_waiters()
    waiters.ask("worker1", 1, None)
    waiters.end("worker1", 1, took=False)
    raised(ledger, waiters, 5)
    assert grants == []
    assert (waiters.waiting, queued(waiters)) == (0, [5])


def test_a_process_that_ends_gives_all_back_before_any_goes_on() -> None:
    """It held 7 and, granted later, 5, which stands before; the others who wait get 5 first."""
    ledger, waiters, grants = make_waiters()
    waiters.ask("worker1", 1, 7)
    raised(ledger, waiters, 5, 7)
    waiters.ask("worker1", 2, None)
    waiters.ask("worker1", 3, None)
    waiters.ask("mule1", 1, None)
    waiters.ask("mule1", 2, None)
    waiters.left("worker1")
    assert grants == [("worker1", 1, 7), ("worker1", 2, 5), ("mule1", 1, 5), ("mule1", 2, 7)]
    assert (waiters.in_flight, ledger.pending, waiters.waiting) == (2, 2, 0)


class WaitersMachine(RuleBasedStateMachine):
    """Any asks, ends and deaths, against a list and first-come-first-served."""

    desk_class = Waiters

    @initialize()
    def begin(self) -> None:
        self.ledger = Ledger()
        self.waiters = self.desk_class(self.ledger, self.granted)
        self.places: list[tuple[int, int]] = []
        self.asks: dict[tuple[str, int], int | None] = {}
        self.grants: dict[tuple[str, int], tuple[int, int]] = {}
        self.keys = self.positions = self.done = 0

    def granted(self, process: str, key: int, signum: int) -> None:
        """The waiters must grant what the oldest ask that can be served gets."""
        served = next(who for who, wanted in self.asks.items() if self.best(wanted) is not None)
        assert served == (process, key), "not the one who asked first"
        place = self.best(self.asks.pop(served))
        assert place is not None
        assert place[1] == signum, "not the first in order"
        self.places.remove(place)
        self.grants[served] = place

    def best(self, wanted: int | None) -> tuple[int, int] | None:
        return next((place for place in self.places if wanted in (None, place[1])), None)

    @rule(signums=st.lists(st.integers(0, 1), min_size=1, max_size=2))
    def arrive(self, signums: list[int]) -> None:
        self.places += enumerate(signums, self.positions)
        self.positions += len(signums)
        raised(self.ledger, self.waiters, *signums)

    @rule(process=st.sampled_from("ab"), wants=st.lists(st.none() | st.integers(0, 1), min_size=1, max_size=3))
    def ask(self, process: str, wants: list[int | None]) -> None:
        for wanted in wants:
            self.keys += 1
            self.asks[process, self.keys] = wanted
            self.waiters.ask(process, self.keys, wanted)

    @rule(choice=st.integers(0, 99), took=st.booleans())
    def end(self, choice: int, *, took: bool) -> None:
        known = [*self.asks, *self.grants]
        if not known:
            return
        who = known[choice % len(known)]
        self.forget(who, took=took)
        self.waiters.end(*who, took=took)

    def forget(self, who: tuple[str, int], *, took: bool) -> None:
        self.asks.pop(who, None)
        place = self.grants.pop(who, None)
        if place is not None and took:
            self.done += 1
        elif place is not None:
            self.places = sorted([*self.places, place])

    @rule(process=st.sampled_from("ab"))
    def leave(self, process: str) -> None:
        for who in [who for who in (*self.asks, *self.grants) if who[0] == process]:
            self.forget(who, took=False)
        self.waiters.left(process)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert list(self.waiters.queue) == self.places
        assert len(self.waiters.queue) == len(self.places)
        assert (self.waiters.in_flight, self.waiters.waiting) == (len(self.grants), len(self.asks))
        assert self.ledger.done.total == self.done
        assert self.ledger.pending == self.positions - self.done == len(self.places) + len(self.grants)

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        assert all(self.best(wanted) is None for wanted in self.asks.values())


BUDGET = settings(
    max_examples=150,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.too_slow],
)


@pytest.mark.thorough
def test_any_course_of_waits() -> None:
    """Nothing lost, order kept, first come first served, and nobody waits beside a signal that fits."""
    run_state_machine_as_test(WaitersMachine, settings=BUDGET)


class OneByOne(Waiters):
    """Grants again what one wait of a dead process gives back before the others have."""

    def left(self, process: str) -> None:
        for who in [*((ask.process, ask.key) for ask in self._asks), *self._granted]:
            if who[0] == process:
                self.end(*who, took=False)


class Forgetful(Waiters):
    """Forgets what a cancelled wait was granted."""

    def end(self, process: str, key: int, *, took: bool) -> None:
        super().end(process, key, took=True)


class Unfair(Waiters):
    """Serves who asked last."""

    def ask(self, process: str, key: int, wanted: int | None) -> None:
        self._asks.insert(0, _Ask(process, key, wanted))
        self._serve([self._asks[0]])


class Deaf(Waiters):
    """Does not look at the queue when somebody asks."""

    def ask(self, process: str, key: int, wanted: int | None) -> None:
        self._asks.append(_Ask(process, key, wanted))


@pytest.mark.thorough
@pytest.mark.parametrize("mutant", [OneByOne, Forgetful, Unfair, Deaf])
def test_a_planted_mistake_is_found(mutant: type[Waiters]) -> None:
    """The machine fails for waiters that is wrong in one way."""
    machine = type("Mutant", (WaitersMachine,), {"desk_class": mutant})
    with pytest.raises(AssertionError):
        # The rarest is met in one course of 200.
        run_state_machine_as_test(machine, settings=settings(BUDGET, max_examples=8000))


def test_what_is_kept_costs_nothing_to_those_who_want_another() -> None:
    """However much is kept and however many wait, a signal that comes is looked for by those who want it alone."""
    looked = 0

    class Counting(Queue):
        def take_first(self, signum: int) -> int | None:
            nonlocal looked
            looked += 1
            return super().take_first(signum)

    ledger, waiters, grants = make_waiters()
    waiters.queue = Counting("wait", shared=True)
    raised(ledger, waiters, *[1] * 1000)
    for key in range(1000):
        waiters.ask("mule1", key, 2)
    assert looked == 1000
    raised(ledger, waiters, *[1] * 1000)
    assert looked == 1000
    raised(ledger, waiters, 1, 2, 1)
    assert grants == [("mule1", 0, 2)]
    waiters.end("mule1", 0, took=False)
    assert grants == [("mule1", 0, 2), ("mule1", 1, 2)]
