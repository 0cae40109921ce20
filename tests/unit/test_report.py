"""What a master says of signals that are left when it ends."""

from __future__ import annotations

from trisig import MasterStatistics, SignalStatistics, TaskStatistics
from trisig._master.report import undelivered_report


def a_signal(signum: int, target: str | None, accepted: int, done: int, dead_lettered: int) -> SignalStatistics:
    """The counts of one number."""
    return SignalStatistics(
        signum=signum, target=target, owner=None, accepted=accepted, done=done, failed=0, dead_lettered=dead_lettered
    )


def test_every_count_has_its_numbers() -> None:
    """Signals without a handler, and those given up, are named by number, and no others; tasks are counted apart."""
    signals = (a_signal(1, "worker", 9, 2, 4), a_signal(77, None, 3, 1, 0), a_signal(78, None, 1, 1, 0))
    left = MasterStatistics(
        accepted=17,
        done=4,
        failed=0,
        queued=7,
        in_flight=0,
        dead_lettered=6,
        redelivered=0,
        waiting=0,
        processes={},
        signals={one.signum: one for one in signals},
        tasks={"run": TaskStatistics(task="run", target="mule", accepted=4, done=1, failed=0, dead_lettered=2)},
        sources=(),
        locks=(),
        unjournaled=0,
    )
    assert list(undelivered_report(left, journaled=False)) == [
        "stopped with 6 signals and 1 task undelivered",
        "2 signals have no handler: 77 (2)",
        "4 signals and 2 tasks were dead-lettered: 1 (4)",
    ]
