"""From signal numbers to queues."""

from collections import defaultdict

from hypothesis import example, given
from hypothesis import strategies as st

from trisig._model.routes import Routes

QUEUES = ("worker", "worker1", "worker2", "mule1", "wait")


def delivered(routes: Routes[str], signals: bytes) -> dict[str, bytes]:
    """What each queue gets of a run."""
    queues: dict[str, bytes] = defaultdict(bytes)
    for names, part in routes.part(signals):
        assert part, "a part of nothing"
        assert not set(names) & set(queues), "a queue in two parts of one run"
        for name in names:
            queues[name] += part
    return queues


@given(
    st.lists(st.lists(st.sampled_from(QUEUES), unique=True).map(tuple), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), min_size=1).map(bytes),
)
@example([("worker1",), ("worker1", "worker2"), (), (), (), ()], bytes((0, 1, 0, 1)))
def test_each_queue_gets_its_signals_in_order(table: list[tuple[str, ...]], signals: bytes) -> None:
    """Every queue gets exactly the signals whose route names it, once each, in the order of the run."""
    routes = Routes(lambda signum: table[signum % 6])
    want = {name: bytes(signum for signum in signals if name in table[signum]) for name in QUEUES}
    assert delivered(routes, signals) == {name: part for name, part in want.items() if part}


def test_two_routes_that_share_a_queue_keep_its_order() -> None:
    """`worker1` and `workers` meet in worker1's queue, and what was raised first arrives first."""
    routes = Routes(lambda signum: ("worker1",) if signum % 2 else ("worker1", "worker2"))
    assert delivered(routes, bytes((1, 2, 3, 4, 1))) == {
        "worker1": bytes((1, 2, 3, 4, 1)),
        "worker2": bytes((2, 4)),
    }


def test_a_run_of_one_route_is_passed_on_as_it_is() -> None:
    """No byte is copied when all go the same way, be they of one number or of several."""
    routes = Routes(lambda signum: ("mule1", "mule2"))
    for run in (b"\x05", b"\x05" * 9, bytes(range(9))):
        ((names, part),) = routes.part(run)
        assert names == ("mule1", "mule2")
        assert part is run


def test_every_number_has_a_route_of_its_own() -> None:
    """All 256 can differ, the highest byte included."""
    routes = Routes(lambda signum: (f"queue{signum}",))
    run = bytes(range(256)) * 2
    assert delivered(routes, run) == {f"queue{signum}": bytes((signum,)) * 2 for signum in range(256)}


def test_a_change_counts_from_the_refresh_on() -> None:
    """The table may change at any time; the routes follow when they are told."""
    table: dict[int, tuple[str, ...]] = {}
    routes = Routes(lambda signum: table.get(signum, ("wait",)))
    table[7] = ("mule1",)
    assert routes[7] == ("wait",)
    routes.refresh()
    assert routes[7] == ("mule1",)
    assert delivered(routes, bytes((7, 8, 7))) == {"mule1": bytes((7, 7)), "wait": bytes((8,))}


def test_a_signal_for_nobody_does_not_hold_up_the_others() -> None:
    """An empty route, as `active-workers` has when all are cheaped, takes its signals out of the run."""
    routes = Routes(lambda signum: () if signum == 3 else ("worker1",))
    assert delivered(routes, bytes((3, 4, 3))) == {"worker1": bytes((4,))}
    assert delivered(routes, b"\x03\x03") == {}
