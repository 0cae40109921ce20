"""`python -m tests.benchmarks`: measure, print the tables, write the figures and the plots."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .figures import Outcome
from .outside import MEASURES
from .report import rows_table
from .rows import ROWS, Row
from .sides import Ours, Side, Theirs, adopt_orphans


def main() -> None:
    """Run what was asked for."""
    asked = arguments()
    adopt_orphans()
    outcomes = [measure(row, [Ours(), Theirs(asked.uwsgi)], asked.rounds) for row in asked.rows]
    print(rows_table(outcomes))
    if asked.json:
        asked.json.write_text(json.dumps([outcome.as_json() for outcome in outcomes], indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = {row.name: row for row in ROWS}
    parser.add_argument("--rows", type=lambda text: [names[name] for name in text.split(",")], default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--uwsgi", default=shutil.which("uwsgi") or "uwsgi", help="path of the program")
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    return parser.parse_args()


def measure(row: Row, sides: Sequence[Side], rounds: int) -> Outcome:
    """Run a row, one side after the other, each round beginning with the other one."""
    results: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
    begin = time.monotonic()
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            job = {**row.job, **(row.ours if side.name == "trisig" else {"ends": False})}
            results[side.name].append(MEASURES[row.measure](side, job))
    print(f"{row.name}: {rounds} rounds in {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return Outcome(row, results["trisig"], results["uwsgi"])


if __name__ == "__main__":
    main()
