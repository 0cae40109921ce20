"""Tasks against what carries arguments to other processes otherwise: how many, how large, how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from .figures import Spread
from .report import spread, table
from .sides import Program, Result, run

JOB = {"short": 100_000, "long": 500, "rounds": 2_000, "shared": True, "ends": True}
HEADINGS = ("", "unit", "trisig", "", "ratio", "to reach", "")


@dataclass(frozen=True)
class Contest:
    """One figure of trisig, and the same of a peer in the same round.

    Attributes:
        title: what the table calls it.
        unit: of both.
        key: its name in what trisig's program prints.
        peer: the script of the other.
        theirs: the name of the figure there.
        target: the ratio to reach: at least that if more is better, at most that if not.
        more: whether more is better.
        scale: what both are multiplied by before they are shown.
    """

    title: str
    unit: str
    key: str
    peer: str
    theirs: str
    target: float
    more: bool
    scale: float = 1.0


QUEUE, PARALLEL = "tasks_multiprocessing.py", "tasks_trio_parallel.py"
CONTESTS = (
    Contest(
        "100 bytes from one process to two, multiprocessing.Queue",
        "thousand/s",
        "short",
        QUEUE,
        "short",
        1.0,
        more=True,
        scale=1e-3,
    ),
    Contest("1 MiB from one process to two, multiprocessing.Queue", "MiB/s", "long", QUEUE, "long", 0.7, more=True),
    Contest("call in the master, p50, trio-parallel's run_sync", "us", "p50", PARALLEL, "p50", 1.3, more=False),
    Contest("call in a mule, p50, trio-parallel's run_sync", "us", "child_p50", PARALLEL, "p50", 1.3, more=False),
)
NEEDS = {QUEUE: "multiprocessing", PARALLEL: "trio_parallel"}


def measure_tasks(rounds: int) -> dict[str, list[Result]]:
    """Run all of them, round by round; what is not installed is left out."""
    scripts = ["tasks_trisig.py", *(script for script, module in NEEDS.items() if find_spec(module))]
    results: dict[str, list[Result]] = {script: [] for script in scripts}
    for number in range(rounds):
        for script in scripts if number % 2 == 0 else reversed(scripts):
            results[script].append(run(Program(script, script), dict(JOB)))
    return results


def tasks_table(results: dict[str, list[Result]]) -> str:
    """One line a figure."""
    ours = results["tasks_trisig.py"]
    return table(HEADINGS, [_line(one, ours, results[one.peer]) for one in CONTESTS if one.peer in results])


def _line(contest: Contest, ours: Sequence[Result], theirs: Sequence[Result]) -> Sequence[str]:
    mine = [result[contest.key] * contest.scale for result in ours]
    other = [result[contest.theirs] * contest.scale for result in theirs]
    ratio = Spread.of([one / two for one, two in zip(mine, other, strict=True)])
    reached = ratio.median >= contest.target if contest.more else ratio.median <= contest.target
    return (
        contest.title,
        contest.unit,
        spread(Spread.of(mine)),
        spread(Spread.of(other)),
        spread(ratio),
        f"{'at least' if contest.more else 'at most'} {contest.target:g}",
        "reached" if reached else "short",
    )
