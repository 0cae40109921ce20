"""The agenda of a spool: what is due, what is held, what is looked at again."""

from __future__ import annotations

from pathlib import Path

from trisig._spool.agenda import REFUSED_LOOK_NS, SECOND_LOOK_NS, Agenda
from trisig._spool.directory import Entry


def entry(name: str, due_ns: int = 0, rank: int | None = None, changed_ns: int = 0) -> Entry:
    """A job."""
    return Entry((rank is None, rank or 0), due_ns, Path(name), changed_ns)


def test_what_is_due_is_held_until_it_is_released() -> None:
    """Twice noted, a job is there once; noted while it is held, it has changed."""
    agenda = Agenda()
    for one in (entry("b", 5), entry("a", 3), entry("a", 3), entry("c", 9)):
        agenda.note(one)
    assert (agenda.next_due_ns, agenda.waiting) == (3, 3)
    due = agenda.take_due(5, 9)
    assert due == [entry("a", 3), entry("b", 5)]
    assert (agenda.take_due(5, 9), agenda.next_due_ns, agenda.waiting) == ([], 9, 3)
    agenda.note(entry("a", 3))
    assert [agenda.release(one) for one in due] == [True, False]
    agenda.note(entry("b", 5))
    assert agenda.take_due(5, 9) == [entry("b", 5)]


def test_a_job_that_is_postponed_is_due_once() -> None:
    """At its new time."""
    agenda = Agenda()
    agenda.note(entry("a", 3))
    agenda.note(entry("a", 8))
    assert agenda.take_due(7, 9) == []
    assert agenda.take_due(8, 9) == [entry("a", 8)]


def test_a_destination_gets_the_most_urgent_and_no_more_than_it_runs() -> None:
    """Each destination has its own line."""
    agenda = Agenda()
    jobs = [entry("plain"), entry("second", rank=2), entry("first", rank=1)]
    for one in (*jobs, entry("other")):
        agenda.note(one)
        agenda.take_due(0, 9)
        agenda.route(one, 7, "mule1" if one == entry("other") else "spooler")
    assert sorted(agenda.destinations()) == ["mule1", "spooler"]
    assert list(agenda.hand_out("spooler", 2)) == [(jobs[2], 7), (jobs[1], 7)]
    assert list(agenda.hand_out("spooler", 2)) == []
    assert (agenda.running, agenda.waiting) == (2, 2)
    agenda.returned("spooler")
    assert list(agenda.hand_out("spooler", 2)) == [(jobs[0], 7)]


def test_a_job_that_another_has_is_looked_at_twice() -> None:
    """Then it waits for the next event; and after that twice again."""
    agenda, one = Agenda(), entry("a")
    for _ in range(2):
        agenda.note(one)
        for now in (0, SECOND_LOOK_NS):
            assert agenda.take_due(now, 9) == [one]
            agenda.release(one)
            agenda.locked(one, now)
        assert agenda.take_due(10**18, 9) == []


def test_a_job_that_is_refused_is_told_once_and_tried_again() -> None:
    """After a minute, or when something about its file has changed; not because we tried to open it."""
    agenda, one = Agenda(), entry("a", changed_ns=1)
    agenda.note(one)
    news = []
    for now in (0, REFUSED_LOOK_NS):
        assert agenda.take_due(now, 9) == [one]
        agenda.release(one)
        news.append(agenda.refused(one, "not ours", now))
        agenda.note(one)
        assert agenda.take_due(now, 9) == []
    assert news == [True, False]
    changed = entry("a", 1, changed_ns=2)
    agenda.note(changed)
    assert agenda.take_due(REFUSED_LOOK_NS, 9) == [changed]
    agenda.release(changed)
    agenda.had(changed)
    assert agenda.take_due(10**18, 9) == []


def test_of_many_that_are_due_the_most_urgent_are_taken_first() -> None:
    """As many as are asked for; the others are due at once."""
    agenda = Agenda()
    for rank in (3, 1, 2):
        agenda.note(entry(str(rank), due_ns=rank, rank=rank))
    assert [one.rank[1] for one in agenda.take_due(5, 2)] == [1, 2]
    assert agenda.next_due_ns == 0
    assert [one.rank[1] for one in agenda.take_due(5, 2)] == [3]
    assert agenda.next_due_ns == float("inf")
