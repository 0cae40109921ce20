"""Tasks against what carries arguments to other processes otherwise: how many, how large, how soon."""

from __future__ import annotations

from importlib.util import find_spec

from .contests import Contest, contests_table
from .sides import Program, Result, in_turn, run

JOB = {"short": 100_000, "long": 500, "rounds": 2_000, "shared": True, "ends": True}
OURS, QUEUE, PARALLEL = "tasks_trisig.py", "tasks_multiprocessing.py", "tasks_trio_parallel.py"
CONTESTS = (
    Contest(
        "100 bytes from one process to two, multiprocessing.Queue",
        "thousand/s",
        "short",
        QUEUE,
        "short",
        1.0,
        more=True,
        ours=OURS,
        scale=1e-3,
    ),
    Contest(
        "1 MiB from one process to two, multiprocessing.Queue",
        "MiB/s",
        "long",
        QUEUE,
        "long",
        0.7,
        more=True,
        ours=OURS,
    ),
    Contest(
        "call in the master, p50, trio-parallel's run_sync", "us", "p50", PARALLEL, "p50", 1.3, more=False, ours=OURS
    ),
    Contest(
        "call in a mule, p50, trio-parallel's run_sync", "us", "child_p50", PARALLEL, "p50", 1.3, more=False, ours=OURS
    ),
)
NEEDS = {QUEUE: "multiprocessing", PARALLEL: "trio_parallel"}


def measure_tasks(rounds: int) -> dict[str, list[Result]]:
    """Run all of them, round by round; what is not installed is left out."""
    scripts = [OURS, *(script for script, module in NEEDS.items() if find_spec(module))]
    results: dict[str, list[Result]] = {script: [] for script in scripts}
    for script in in_turn(scripts, rounds):
        results[script].append(run(Program(script, script), dict(JOB)))
    return results


def tasks_table(results: dict[str, list[Result]]) -> str:
    """One line a figure."""
    return contests_table(CONTESTS, results)
