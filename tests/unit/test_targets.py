"""The words that say which processes run a handler."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trisig._model.errors import TargetError
from trisig._model.targets import Target, Topology, parse, parse_fixed

FIVE = Topology(workers=3, mules=4, spoolers=2, farms={"busy": (1, 2), "lone": (4,), "7": (3, 1)})

WORKERS = (("worker", 1), ("worker", 2), ("worker", 3))
MULES = (("mule", 1), ("mule", 2), ("mule", 3), ("mule", 4))
SPOOLERS = (("spooler", 1), ("spooler", 2))

# word: kind, audience, the processes it can reach
WORDS = {
    "": ("worker", "first", WORKERS),
    "worker": ("worker", "first", WORKERS),
    "worker0": ("worker", "first", WORKERS),
    "worker1": ("worker", "one", WORKERS[:1]),
    "worker3": ("worker", "one", WORKERS[2:]),
    "workers": ("worker", "all", WORKERS),
    "active-workers": ("worker", "active", WORKERS),
    "mule": ("mule", "first", MULES),
    "mule0": ("mule", "first", MULES),
    "mule2": ("mule", "one", MULES[1:2]),
    "mules": ("mule", "all", MULES),
    "farm1": ("mule", "first", MULES[:2]),
    "farm3": ("mule", "first", (("mule", 3), ("mule", 1))),
    "farm_busy": ("mule", "first", MULES[:2]),
    "farm_7": ("mule", "first", (("mule", 3), ("mule", 1))),
    "spooler": ("spooler", "first", SPOOLERS),
    "spooler2": ("spooler", "one", SPOOLERS[1:]),
    "spoolers": ("spooler", "all", SPOOLERS),
}
FIXED = {"worker1", "worker3", "workers", "active-workers", "mule2", "mules", "spooler2", "spoolers"}
FARMS = {"farm1", "farm3", "farm_busy", "farm_7"}

NOT_WORDS = [
    " worker", "worker ", "Worker", "worker-1", "worker01", "worker1.0", "worker+1", "worker1\n", "workers1",
    "active-worker", "active-mules", "active-workers1", "all", "master", "mule00", "mules0", "farm", "farms", "farm_",
    "farm0", "farm01", "farm-1", "spooler0", "spoolers1", "worker\u0661", "\uff57orker", "worker" + "9" * 5000,
]  # fmt: skip


@pytest.mark.parametrize(("word", "meaning"), WORDS.items())
def test_a_word_reaches_its_processes(word: str, meaning: tuple[str, str, object]) -> None:
    """Each word of the page gives the kind, the audience and the processes that it stands for."""
    target = parse(word)
    assert (target.kind, target.audience, FIVE.members(target)) == meaning
    assert target.text == word


@pytest.mark.parametrize("word", NOT_WORDS)
def test_what_is_not_a_word_is_refused_where_it_is_written(word: str) -> None:
    """A malformed target is TargetError, which names it, without any topology."""
    with pytest.raises(TargetError) as refused:
        parse(word)
    assert repr(word) in str(refused.value)


@pytest.mark.parametrize("word", [None, 1, b"worker", ("worker",), True])
def test_a_target_is_text(word: object) -> None:
    """Another type is TypeError with an example of what to write."""
    with pytest.raises(TypeError, match="'workers'"):
        parse(word)  # type: ignore[arg-type]  # the mistake


@given(st.text(st.sampled_from(string.ascii_lowercase + string.digits + "_-")) | st.text())
def test_any_text_is_a_target_or_a_target_error(word: str) -> None:
    """Reading never fails in another way, and what it accepts resolves or is refused by the topology."""
    try:
        target = parse(word)
    except TargetError:
        return
    assert isinstance(target, Target)
    try:
        members = FIVE.members(target)
    except TargetError:
        return
    assert members
    assert set(members) <= set(FIVE.processes())


@given(st.sampled_from(["worker", "mule", "spooler"]), st.integers(1, 10**9 - 1))
def test_a_numbered_process_exists_or_is_refused(kind: str, number: int) -> None:
    """`workerN` is the Nth worker and nobody else; a number beyond the topology says how many there are."""
    target = parse(f"{kind}{number}")
    assert (target.kind, target.number) == (kind, number)
    if (kind, number) in FIVE.processes():
        assert FIVE.members(target) == ((kind, number),)
    else:
        with pytest.raises(TargetError, match=f"there are only {kind}1 to {kind}{FIVE.count(target.kind)}"):
            FIVE.members(target)


@pytest.mark.parametrize("word", WORDS)
def test_fixed_targets(word: str) -> None:
    """Services and start hooks take what names the same processes every time, a farm as all its members."""
    if word in FIXED | FARMS:
        assert parse_fixed(word) == parse(word)
    else:
        with pytest.raises(TargetError, match="available first"):
            parse_fixed(word)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("worker2", "there is only worker1; open the master with workers=2"),
        ("mule", "there are no mules; open the master with mules=1"),
        ("mules", "there are no mules"),
        ("mule1", "there are no mules; open the master with mules=1"),
        ("spoolers", "spoolers=1 or more"),
        ("farm_busy", r"no such farm \(farms: none\)"),
        ("farm1", "no such farm"),
    ],
)
def test_a_target_that_the_topology_lacks(word: str, says: str) -> None:
    """The refusal names the target and what there is instead."""
    with pytest.raises(TargetError, match=says) as refused:
        Topology().members(parse(word))
    assert repr(word) in str(refused.value)


def test_an_unknown_farm_is_told_the_known_ones() -> None:
    """A wrong farm, by name or by number, is answered with the names."""
    for word in ("farm_bsy", "farm4", "farm_busy "):
        with pytest.raises(TargetError, match="farms: busy, lone, 7"):
            FIVE.members(parse(word))


def test_the_topology_lists_its_processes_in_starting_order() -> None:
    """Workers, mules, spoolers, each from 1; a mule knows the farms that it is in, in the order given."""
    assert tuple(FIVE.processes()) == WORKERS + MULES + SPOOLERS
    assert FIVE.farms_of("mule", 1) == ("busy", "7")
    assert FIVE.farms_of("mule", 4) == ("lone",)
    assert FIVE.farms_of("worker", 1) == ()
    assert Topology(workers=0).processes() == []


def test_a_farm_names_each_mule_once() -> None:
    """A mule that is written twice is one member."""
    assert Topology(mules=2, farms={"a": (2, 1, 2)}).farms == {"a": (2, 1)}


@pytest.mark.parametrize("field", ["workers", "mules", "spoolers"])
@pytest.mark.parametrize(("count", "error"), [(-1, ValueError), (True, TypeError), ("2", TypeError), (1.0, TypeError)])
def test_a_count_is_a_whole_number_from_0(field: str, count: object, error: type[Exception]) -> None:
    """A wrong count names the argument."""
    with pytest.raises(error, match=field):
        Topology(**{field: count})  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    ("farms", "error", "says"),
    [
        ({"busy": ()}, TargetError, "has no mules"),
        ({"busy": (3,)}, TargetError, "mule3, but there are only mule1 to mule2"),
        ({"busy": (0,)}, TargetError, "mule0"),
        ({"busy": ("1",)}, TypeError, "by its number"),
        ({"busy": (True,)}, TypeError, "by its number"),
        ({"busy": "12"}, TypeError, r"for example \(1, 2\)"),
        ({"busy": 1}, TypeError, r"for example \(1, 2\)"),
        ({"": (1,)}, ValueError, "name"),
        ({1: (1,)}, ValueError, "name"),
    ],
)
def test_a_wrong_farm_is_refused(farms: object, error: type[Exception], says: str) -> None:
    """A farm is a name with numbers of mules that exist."""
    with pytest.raises(error, match=says):
        Topology(mules=2, farms=farms)  # type: ignore[arg-type]  # the mistake
