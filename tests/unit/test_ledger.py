"""The accounting: queues, lanes and counters, case by case; any course of events is in test_ledger_machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trisig._model.dead_letter import DeadLetter
from trisig._model.lane import ASIDE, DONE, FAILED, FINISHED, RETURNED, STARTED, WINDOW, Lane, finished_entry
from trisig._model.ledger import Counts, Ledger
from trisig._model.queue import Queue


class Case:
    """A ledger, a queue of one process, a shared one, and the process."""

    def __init__(self, max_attempts: int = 3) -> None:
        self.ledger = Ledger(max_attempts)
        self.own = Queue("worker1")
        self.pool = Queue("worker", shared=True)
        self.restart()

    def restart(self) -> None:
        self.marks = bytearray(WINDOW)
        self.finished = [0] * (FINISHED + 1)
        self.lane = Lane(self.ledger, "worker1", self.marks, self.finished)

    def give(self, data: bytes, *, shared: bool = False) -> None:
        queue = self.pool if shared else self.own
        self.ledger.accept(queue, data)
        assert self.lane.send(queue, len(data)) == data

    def mark(self, number: int, *states: int) -> None:
        for k, state in enumerate(states):
            self.marks[(number + k) % WINDOW] = state

    def list_finished(self, number: int, state: int) -> None:
        listed = self.finished[FINISHED]
        self.finished[listed % FINISHED] = finished_entry(number, state)
        self.finished[FINISHED] = listed + 1

    def counts(self) -> tuple[int, int, int, int]:
        ledger = self.ledger
        return ledger.done.total, ledger.failed.total, ledger.dead_lettered.total, ledger.pending


def test_signals_are_done_in_order_as_far_as_they_are_marked() -> None:
    """A settle retires up to the first that has not passed; the rest stays in flight."""
    case = Case()
    case.give(b"abcde")
    case.mark(0, DONE, FAILED, STARTED)
    assert case.lane.read_marks() == 2
    assert case.counts() == (2, 1, 0, 3)
    assert (case.lane.done, case.lane.failed, case.lane.in_flight, case.lane.base) == (2, 1, 3, 2)
    assert case.lane.running() == [ord("c")]
    assert case.lane.read_marks() == 0


def test_the_ring_goes_round() -> None:
    """Numbers beyond the window use the marks again, and each is counted once."""
    case = Case()
    for round_ in range(5):
        case.give(bytes(1500))
        for k in range(1500):
            case.mark(round_ * 1500 + k, DONE)
        assert case.lane.read_marks() == 1500
        assert case.lane.room == WINDOW
    assert case.counts() == (7500, 0, 0, 0)
    assert not any(case.marks)


def test_a_process_holds_at_most_its_window() -> None:
    """What does not fit stays in the queue, and goes on when the oldest have passed."""
    case = Case()
    case.ledger.accept(case.own, bytes(WINDOW + 10))
    assert len(case.lane.send(case.own, 10**6)) == WINDOW
    assert (case.lane.room, len(case.own)) == (0, 10)
    case.mark(0, *[DONE] * 4)
    case.lane.read_marks()
    assert len(case.lane.send(case.own, 10**6)) == 4
    assert case.lane.room == 0


def test_async_handlers_finish_in_any_order_long_after() -> None:
    """One that was set aside leaves the window free and is counted when it is listed."""
    case = Case()
    case.give(b"abc")
    case.mark(0, ASIDE, DONE, ASIDE)
    assert case.lane.read_marks() == 3
    assert (case.lane.busy, case.lane.in_flight, case.lane.room) == (False, 2, WINDOW)
    assert sorted(case.lane.running()) == sorted(b"ac")
    case.list_finished(2, FAILED)
    case.lane.read_marks()
    assert case.counts() == (2, 1, 0, 1)
    assert case.ledger.failed.by_signum[ord("c")] == 1
    case.list_finished(0, DONE)
    case.lane.read_marks()
    assert case.counts() == (3, 1, 0, 0)


def test_the_list_of_the_finished_goes_round() -> None:
    """It has room for the window and as many set aside, again and again."""
    case = Case()
    for start in range(0, 3 * FINISHED, WINDOW):
        case.give(bytes(WINDOW))
        case.marks[:] = bytes((ASIDE,)) * WINDOW
        case.lane.read_marks()
        for number in reversed(range(start, start + WINDOW)):
            case.list_finished(number, DONE)
        case.lane.read_marks()
        assert case.lane.in_flight == 0
    assert case.ledger.done.total == 3 * FINISHED


def test_the_end_of_a_handler_may_be_read_before_its_start() -> None:
    """The process goes on between the two reads: the entry waits for the next settle."""
    case = Case()
    case.give(b"a")
    case.list_finished(0, DONE)
    case.lane.read_marks()
    assert case.counts() == (0, 0, 0, 1)
    case.mark(0, ASIDE)
    case.lane.read_marks()
    assert case.counts() == (1, 0, 0, 0)


def test_what_has_no_handler_comes_back_with_its_place() -> None:
    """It is neither done nor lost: whoever owns the lane puts it where somebody waits."""
    case = Case()
    case.give(b"ab")
    case.mark(0, RETURNED, DONE)
    case.lane.read_marks()
    assert case.lane.returned == [(case.own, 0, b"a")]
    assert case.counts() == (1, 0, 0, 1)


@pytest.mark.parametrize("shared", [False, True])
def test_a_death_keeps_what_is_done_and_puts_back_the_rest_in_its_place(*, shared: bool) -> None:
    """Only what was started is blamed; what came after it is in front of what was accepted later."""
    case = Case()
    case.give(b"abcd", shared=shared)
    queue = case.pool if shared else case.own
    case.ledger.accept(queue, b"xyz")
    case.mark(0, DONE, STARTED)
    assert case.lane.died() == []
    assert bytes(signum for _, signum in queue) == b"bcdxyz"
    assert [position for position, _ in queue] == list(range(1, 7))
    assert queue.attempts == {1: 1}
    assert case.counts() == (1, 0, 0, 6)
    assert case.ledger.redelivered == 3
    assert not any(case.marks)


def test_a_death_right_after_the_mark_is_no_reason_to_run_it_again() -> None:
    """The mark is read though no bell was rung, of plain and of async handlers."""
    case = Case()
    case.give(b"ab")
    case.mark(0, ASIDE, DONE)
    case.list_finished(0, FAILED)
    assert case.lane.died() == []
    assert case.counts() == (2, 1, 0, 0)


def test_an_async_handler_that_ran_is_blamed() -> None:
    """Its start has left the window; the death puts it back all the same."""
    case = Case()
    case.give(b"ab")
    case.mark(0, ASIDE, DONE)
    case.lane.read_marks()
    case.lane.died()
    assert list(case.own) == [(0, ord("a"))]
    assert case.own.attempts == {0: 1}


def test_a_signal_that_ends_its_process_too_often_is_given_up() -> None:
    """After max_attempts deaths it is a dead letter, and its neighbours go on without blame."""
    case = Case(max_attempts=3)
    case.ledger.accept(case.own, b"abc")
    for attempt in range(1, 4):
        case.restart()
        case.lane.send(case.own, 3)
        case.mark(0, STARTED)
        letters = case.lane.died()
        assert letters == ([] if attempt < 3 else [DeadLetter(ord("a"), "worker1", 3)])
    assert list(case.own) == [(1, ord("b")), (2, ord("c"))]
    assert case.own.attempts == {}
    assert case.counts() == (0, 0, 1, 2)


def test_blame_ends_when_the_signal_is_done() -> None:
    """A try that came to its end wipes the slate, whoever made it."""
    case = Case()
    case.give(b"a", shared=True)
    case.mark(0, STARTED)
    case.lane.died()
    assert case.pool.attempts == {0: 1}
    case.restart()
    case.lane.send(case.pool, 1)
    case.mark(0, DONE)
    case.lane.read_marks()
    assert case.pool.attempts == {}


def test_two_lanes_of_one_queue_put_back_between_each_other() -> None:
    """The order is that of the places, whichever process dies first."""
    case, other = Case(), Case()
    other.lane = Lane(case.ledger, "worker2", other.marks, other.finished)
    case.ledger.accept(case.pool, b"abcdef")
    for lane in (case.lane, other.lane, case.lane):
        lane.send(case.pool, 2)
    other.lane.died()
    assert list(case.pool) == [(2, ord("c")), (3, ord("d"))]
    case.lane.died()
    assert bytes(signum for _, signum in case.pool) == b"abcdef"


def test_a_full_window_goes_back_in_one_step() -> None:
    """What was not started stays in one piece; byte by byte the master would stand still for a second."""
    case = Case()
    case.give(bytes(k % 7 for k in range(WINDOW)))
    case.mark(0, STARTED)
    case.lane.died()
    assert len(case.own) == WINDOW
    assert len(case.own._chunks) == 2


def test_robbing_takes_shared_signals_and_leaves_what_the_process_counts_on() -> None:
    """Of its own signals it may read several at a time: these are written again."""
    case = Case()
    case.give(b"abc")
    case.give(b"pq", shared=True)
    assert (case.lane.free_until, case.lane.shared, case.lane.waiting()) == (3, 2, 2)
    assert case.lane.unsend(4) == b"bc"
    assert (case.lane.sent, case.lane.shared, case.lane.waiting()) == (3, 0, 0)
    assert list(case.pool) == [(0, ord("p")), (1, ord("q"))]
    assert len(case.own) == 0


def test_own_signals_behind_shared_ones_are_not_counted_on() -> None:
    """The process reads them one by one, and they too can be taken back."""
    case = Case()
    case.give(b"p", shared=True)
    case.give(b"ab")
    assert case.lane.free_until == 0
    assert case.lane.unsend(2) == b""
    assert list(case.own) == [(0, ord("a")), (1, ord("b"))]
    assert (case.lane.sent, case.lane.shared, case.lane.waiting()) == (1, 1, 1)


def test_own_signals_are_counted_on_again_when_the_shared_have_passed() -> None:
    """The next of its own are all read at once."""
    case = Case()
    case.give(b"p", shared=True)
    case.give(b"a")
    case.mark(0, DONE)
    case.lane.read_marks()
    case.give(b"bc")
    assert (case.lane.shared, case.lane.free_until) == (0, 4)


class Claim:
    """A row of the cluster."""

    def ended(self, letter: object) -> None: ...
    def withdrawn(self) -> None: ...


def test_what_came_from_the_cluster_is_not_counted_on() -> None:
    """Another node may run it: it can be taken back, and what was sent with it or behind it."""
    case = Case()
    case.give(b"a")
    case.ledger.accept(case.own, b"bc")
    case.own.note(2).claim = Claim()
    assert case.lane.send(case.own, 2) == b"bc"
    case.give(b"d")
    assert (case.lane.free_until, case.lane.claimed, case.lane.shared, case.lane.waiting()) == (1, 2, 0, 0)
    assert case.lane.unsend(4) == b"a"
    assert list(case.own) == [(1, ord("b")), (2, ord("c")), (3, ord("d"))]
    assert (case.lane.sent, case.lane.claimed) == (1, 0)
    assert [case.lane.send(case.own, 3) for _ in range(2)] == [b"bc", b"d"]
    case.mark(0, DONE, DONE)
    case.lane.read_marks()
    assert (case.lane.claimed, case.lane.free_until) == (1, 1), "as long as any of those sent together is on its way"
    case.mark(2, DONE, DONE)
    case.lane.read_marks()
    case.give(b"e")
    assert (case.lane.claimed, case.lane.free_until) == (0, 5)


def test_what_was_never_written_goes_back() -> None:
    """A pipe that takes less than it was given: the rest is not in flight, and not counted on."""
    case = Case()
    case.give(b"abc")
    case.give(b"pq", shared=True)
    case.lane.unwritten(4)
    assert (case.lane.sent, case.lane.free_until, case.lane.shared) == (1, 1, 0)
    assert list(case.own) == [(1, ord("b")), (2, ord("c"))]
    assert list(case.pool) == [(0, ord("p")), (1, ord("q"))]
    assert case.ledger.redelivered == 0


def test_a_started_shared_signal_is_not_waiting() -> None:
    """What the process has begun cannot be given to another."""
    case = Case()
    case.give(b"pqr", shared=True)
    case.mark(0, DONE, STARTED)
    assert (case.lane.shared, case.lane.waiting()) == (3, 1)


def test_counting_by_number() -> None:
    """Runs of one number and of several are counted the same."""
    counts = Counts()
    for data in (b"\x00", b"\xff" * 3, b"\x00\xff\x01"):
        counts.add(data)
    assert (counts.total, counts.by_signum[0], counts.by_signum[1], counts.by_signum[255]) == (7, 2, 1, 4)


# A queue against a list

steps = st.one_of(
    st.tuples(st.just("append"), st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("take"), st.integers(1, 12)),
    st.tuples(st.just("put_back"), st.integers(0, 99)),
    st.tuples(st.just("take_first"), st.integers(0, 3)),
)


@given(st.lists(steps, max_size=60), st.sampled_from([1, 4, 65536]))
def test_a_queue_is_a_list_with_places(course: list[tuple[str, int | bytes]], sealed: int) -> None:
    """Whatever is taken and put back, in whatever order, the rest stands in order and nothing else is there."""
    follow(course, sealed)


def follow(course: list[tuple[str, int | bytes]], chunk: int) -> None:
    """Do the same to a queue and to a list."""
    queue, there, taken = Queue("q", chunk=chunk), list[tuple[int, int]](), list[tuple[int, bytes]]()
    reach = 0
    for verb, value in course:
        if isinstance(value, bytes):
            data = bytes(byte % 4 for byte in value)
            queue.append(data)
            there += enumerate(data, reach)
            reach += len(data)
        elif verb == "take" and there:
            start, data = queue.take(value)
            assert 0 < len(data) <= value
            assert there[: len(data)] == list(enumerate(data, start))
            del there[: len(data)]
            taken.append((start, data))
        elif verb == "put_back" and taken:
            start, data = taken.pop(value % len(taken))
            queue.put_back(start, data)
            there = sorted([*there, *enumerate(data, start)])
        elif verb == "take_first":
            want = next((position for position, signum in there if signum == value), None)
            assert queue.take_first(value) == want
            if want is not None:
                there.remove((want, value))
                taken.append((want, bytes((value,))))
        assert list(queue) == there
        assert len(queue) == len(there)
        assert queue.reach == reach
