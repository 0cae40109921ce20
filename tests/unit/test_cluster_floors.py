"""Where a node looks for free rows: behind what it has seen, unless somebody has said otherwise."""

from __future__ import annotations

from trisig._cluster.engine import Claimed
from trisig._cluster.postgres.floors import Floors
from trisig._model.invocation import UNRANKED

LOWEST, END = -(2**31) - 1, 2**31


def claimed(*ids: int, priority: int = UNRANKED, node: str = "") -> list[tuple[Claimed, str]]:
    """What a look has found."""
    return [(Claimed(one, 1, 1, priority=priority), node) for one in ids]


def floors_of(floors: Floors, node: str = "") -> dict[int, int]:
    """Behind which id the next look goes on, by priority."""
    starts = [start[1:] for start in floors.starts() if start[0] == node]
    assert [start[0] for start in starts[1:]] == [end for *_, end in starts[:-1]], "no priority is left out"
    assert (starts[0][0], starts[-1][2]) == (LOWEST, END)
    return {priority: floor for priority, floor, _ in starts}


def test_a_look_goes_on_behind_what_was_claimed() -> None:
    """For each node and priority by itself."""
    floors = Floors("a", "")
    assert floors_of(floors) == {LOWEST: 0, UNRANKED: 0}
    floors.looked([*claimed(5, 7), *claimed(9, node="a"), *claimed(3, priority=2)], ended=False)
    assert floors_of(floors) == {LOWEST: 0, 2: 3, UNRANKED: 7}
    assert floors_of(floors, "a") == {LOWEST: 0, UNRANKED: 9}


def test_what_was_said_is_looked_at_once() -> None:
    """The look after that begins behind all again, if there was nothing else."""
    floors = Floors("")
    floors.starts()
    floors.looked(claimed(100), ended=True)
    floors.say(42)
    floors.say(50)
    assert floors_of(floors)[UNRANKED] == 41
    floors.looked(claimed(42), ended=True)
    assert floors_of(floors)[UNRANKED] == 100


def test_a_look_that_was_cut_off_goes_on_where_it_was() -> None:
    """With what lay behind its limit, at all priorities."""
    floors = Floors("")
    floors.starts()
    floors.looked([*claimed(100), *claimed(90, priority=3)], ended=True)
    floors.say(0)
    assert floors_of(floors) == {LOWEST: 0, 3: 0, UNRANKED: 0}
    floors.looked(claimed(40, priority=3), ended=False)
    assert floors_of(floors) == {LOWEST: 0, 3: 40, UNRANKED: 0}


def test_what_is_said_during_a_look_is_for_the_next() -> None:
    """Whatever that look finds."""
    floors = Floors("")
    floors.starts()
    floors.say(7)
    floors.looked(claimed(100), ended=True)
    assert floors_of(floors)[UNRANKED] == 6


def test_who_claims_nothing_goes_on_as_well() -> None:
    """Behind an id that was given before its look began."""
    floors = Floors("")
    floors.top = 1000
    floors.starts()
    floors.looked([], ended=True)
    assert floors_of(floors)[UNRANKED] == 1000


def test_of_many_priorities_some_are_kept_apart() -> None:
    """What is in between is looked at from its beginning."""
    floors = Floors("")
    floors.starts()
    floors.looked([one for priority in range(100) for one in claimed(priority + 1, priority=priority)], ended=True)
    assert floors_of(floors) == {LOWEST: 0, **{priority: priority + 1 for priority in range(93, 100)}, UNRANKED: 0}
