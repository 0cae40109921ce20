"""`python -m tests.benchmarks`: measure, print the tables, write the figures and the plots.

Without options, everything is measured. `--rows`, `--growth`, `--peers`, `--tasks` and `--cluster` choose; each may
be `none`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from . import plot
from .cluster import cluster_table, grow_cluster, measure_cluster
from .figures import Outcome
from .growth import CURVES, Grown, grow
from .outside import MEASURES
from .peers import measure_peers, peers_table
from .report import rows_table
from .rows import ROWS, Row
from .sides import Ours, Result, Side, Theirs, TrioAlone, adopt_orphans, in_turn
from .tasks import measure_tasks, tasks_table

ROUNDS, FEWER_ROUNDS = 5, 3

T = TypeVar("T")
P = ParamSpec("P")


def main() -> None:
    """Run what was asked for."""
    asked = arguments()
    adopt_orphans()
    machine = describe_machine(asked.rounds)
    sides: list[Side] = [Ours(), Theirs(asked.uwsgi), TrioAlone()]
    print(machine, end="\n\n")
    outcomes = [told(row.name, measure, row, sides, asked.rounds) for row in asked.rows]
    rows = shown(rows_table(outcomes) if outcomes else "")
    grown = [told(f"growth of {curve.name}", grow, curve, FEWER_ROUNDS) for curve in asked.growth]
    growth = shown("\n\n".join(one.as_table() for one in grown))
    results = told("peers", measure_peers, FEWER_ROUNDS) if asked.peers else {}
    peers = shown(peers_table(results) if results else "")
    carried = told("tasks", measure_tasks, asked.rounds) if asked.tasks else {}
    tasks = shown(tasks_table(carried) if carried else "")
    shared = told("cluster", measure_cluster, FEWER_ROUNDS) if asked.cluster else {}
    nodes = shown(cluster_table(shared) if shared else "")
    settled = told("growth of a cluster", grow_cluster, FEWER_ROUNDS) if shared else []
    cluster = "\n\n".join([nodes, shown("\n\n".join(one.as_table() for one in settled))]) if shared else ""
    if asked.json:
        others = {"peers": results, "tasks": carried, "cluster": shared}
        write_json(asked.json, machine, outcomes, [*grown, *settled], others)
    if asked.docs:
        write_docs(
            asked.docs,
            {"machine": machine, "rows": rows, "growth": growth, "peers": peers, "tasks": tasks, "cluster": cluster},
            outcomes,
            grown,
        )


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--rows", type=chooser({row.name: row for row in ROWS}), help="names, with commas between them")
    parser.add_argument("--growth", type=chooser({curve.name: curve for curve in CURVES}), help="names of curves")
    parser.add_argument("--peers", choices=("all", "none"))
    parser.add_argument("--tasks", choices=("all", "none"))
    parser.add_argument("--cluster", choices=("all", "none"))
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of the rows, {ROUNDS} if not given")
    parser.add_argument("--uwsgi", default="uwsgi", help="path of the program")
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    parser.add_argument("--docs", type=Path, help="put the tables into a page, and the plots beside it")
    asked = parser.parse_args()
    everything = asked.rows is asked.growth is asked.peers is asked.tasks is asked.cluster is None
    asked.rows = ROWS if everything else asked.rows or []
    asked.growth = CURVES if everything else asked.growth or []
    asked.uwsgi = shutil.which(asked.uwsgi)
    if asked.rows and not asked.uwsgi:
        parser.error("there is no uWSGI to compare with: tell its path with --uwsgi, or choose others than --rows")
    asked.uwsgi = str(Path(asked.uwsgi or "").absolute())
    asked.peers = everything or asked.peers == "all"
    asked.tasks = everything or asked.tasks == "all"
    asked.cluster = everything or asked.cluster == "all"
    return asked


def chooser(known: dict[str, T]) -> Callable[[str], list[T]]:
    """What turns names into what they name."""

    def choose(text: str) -> list[T]:
        if text == "all":
            return list(known.values())
        if unknown := [name for name in text.split(",") if name not in known and name != "none"]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are all, none, {', '.join(known)}")
        return [known[name] for name in text.split(",") if name != "none"]

    return choose


def told(what: str, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it, and say how long it took."""
    begin = time.monotonic()
    result = do(*args, **kwargs)
    print(f"{what}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return result


def measure(row: Row, sides: Sequence[Side], rounds: int) -> Outcome:
    """Run a row, one side after the other."""
    results: dict[str, list[Result]] = {side.name: [] for side in sides}
    for side in in_turn([side for side in sides if row.floor or side.name != "trio"], rounds):
        job = {**row.job, **({} if side.name == "uwsgi" else row.ours)}
        job["ends"] = job["ends"] and side.name == "trisig"
        results[side.name].append(MEASURES[row.measure](side, job))
    return Outcome(row, results["trisig"], results["uwsgi"], results["trio"])


def shown(table: str) -> str:
    """Print a table as soon as it is known."""
    if table:
        print(table, end="\n\n", flush=True)
    return table


def describe_machine(rounds: int) -> str:
    """Where and when this was measured."""
    today = dt.datetime.now(dt.UTC).date()
    return (
        f"Measured on {today}: {os.cpu_count()} cores ({processor()}), Linux {platform.release()}, "
        f"{platform.python_implementation()} {platform.python_version()}, {rounds} rounds."
    )


def processor() -> str:
    """The name of the processor."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def write_json(
    path: Path, machine: str, outcomes: Iterable[Outcome], grown: Iterable[Grown], others: dict[str, Any]
) -> None:
    """Write every figure of every round."""
    figures = {
        "machine": machine,
        "rows": [outcome.as_json() for outcome in outcomes],
        "growth": [one.as_json() for one in grown],
        **others,
    }
    path.write_text(json.dumps(figures, indent=1) + "\n")


def replace_marked(text: str, name: str, table: str) -> str:
    """A page with another text between the markers of that name."""
    before, begin, rest = text.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- end of {name} -->")
    if not end:
        raise ValueError(f"the page has no lines <!-- {name} --> and <!-- end of {name} -->")
    return f"{before}{begin}\n{table}\n\n{end}{after}"


def write_docs(page: Path, tables: dict[str, str], outcomes: Sequence[Outcome], grown: Sequence[Grown]) -> None:
    """Replace what stands between the page's markers, and draw the plots beside it."""
    text = page.read_text()
    for name, table in tables.items():
        if table:
            text = replace_marked(text, name, table)
    page.write_text(text)
    if outcomes:
        page.with_name("performance-ratios.svg").write_text(plot.ratios(outcomes))
    if grown:
        page.with_name("performance-growth.svg").write_text(plot.curves(grown))


if __name__ == "__main__":
    main()
