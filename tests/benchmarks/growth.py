"""How the cost of a signal changes as there is more of everything: trisig alone, one curve a quantity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

from .report import figure, table
from .rows import burst, job
from .sides import Job, Ours, Program, Result, Side, run

APP = Program("trisig", "ours_growth.py")
BACKLOGS = (10, 1_000, 100_000, 1_000_000, 10_000_000)
WORKERS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Line:
    """One figure of a curve: its name in a round's result, and in words."""

    key: str
    title: str


@dataclass(frozen=True)
class Curve:
    """One quantity that grows.

    Attributes:
        name: what `--growth` calls it.
        title: what grows.
        sizes: how far.
        job: the job for a size.
        lines: what is measured at each size.
        side: the program.
    """

    name: str
    title: str
    sizes: Sequence[int]
    job: Callable[[int], Job]
    lines: Sequence[Line]
    side: Side = APP


@dataclass(frozen=True)
class Grown:
    """A curve as measured: for each size, the median of each line."""

    curve: Curve
    points: Sequence[tuple[int, Mapping[str, float]]]

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "curve": self.curve.name,
            "title": self.curve.title,
            "points": [[size, dict(at)] for size, at in self.points],
        }

    def as_table(self) -> str:
        """A line a size."""
        headings = (self.curve.title, *(line.title for line in self.curve.lines))
        return table(
            headings, [(f"{size:,}", *(figure(at[line.key]) for line in self.curve.lines)) for size, at in self.points]
        )


def _grows(kind: str, size: int, **more: Any) -> Job:
    return job(kind, "mule1", size=size, **more)


PER_RUN = (Line("each", "us per handler run"),)
OF_ONE = (
    Line("raise", "us to send one of 100 bytes"),
    Line("drain", "us to run one"),
    Line("master", "us of the master's CPU for one"),
    Line("bytes", "bytes of the master's memory for one"),
)
CURVES = (
    Curve(
        "broadcast",
        "workers, a broadcast",
        WORKERS,
        lambda n: burst("workers", 64_000 // n, copies=n, workers=n),
        PER_RUN,
        Ours(),
    ),
    Curve(
        "pool",
        "workers, a pool",
        WORKERS,
        lambda n: burst("worker", 50_000, workers=n),
        PER_RUN,
        Ours(),
    ),
    Curve(
        "numbers",
        "registered numbers",
        (1, 4, 16, 64, 256),
        lambda n: burst("mule1", 50_000, numbers=n, ends=False),
        PER_RUN,
        Ours(),
    ),
    Curve(
        "timers",
        "timers of 1 s",
        (10, 100, 1_000, 10_000),
        lambda n: _grows("ticks", n),
        (
            Line("start", "us to start one"),
            Line("tick", "us of the master's CPU per tick"),
            Line("share", "ticks handled, of those due"),
        ),
    ),
    Curve(
        "monitors",
        "file monitors",
        (1, 10, 100, 1_000),
        lambda n: _grows("changes", n, signals=50),
        (
            Line("start", "us to start one"),
            Line("change", "us of the master's CPU per change"),
            Line("p50", "us from change to handler, p50"),
        ),
    ),
    Curve(
        "backlog",
        "signals raised while their process is stopped",
        BACKLOGS,
        lambda n: _grows("backlog", n, signals=n),
        (
            Line("raise", "us to raise one"),
            Line("drain", "us to handle one"),
            Line("master", "us of the master's CPU for one"),
            Line("bytes", "bytes of the master's memory for one"),
        ),
    ),
    Curve("tasks", "tasks sent while their process is stopped", (10, 1_000, 100_000), partial(_grows, "tasks"), OF_ONE),
    Curve("jobs", "jobs stored while their process is stopped", (10, 1_000, 10_000), partial(_grows, "jobs"), OF_ONE),
)


def grow(curve: Curve, rounds: int) -> Grown:
    """Measure a curve; the larger half of its sizes, which take long and vary little, in one round."""
    small = curve.sizes[: len(curve.sizes) // 2 + 1]
    return Grown(curve, [(size, _point(curve, size, rounds if size in small else 1)) for size in curve.sizes])


def _point(curve: Curve, size: int, rounds: int) -> dict[str, float]:
    results = [_each(run(curve.side, curve.job(size))) for _ in range(rounds)]
    return {line.key: median(result[line.key] for result in results) for line in curve.lines}


def _each(result: Result) -> Result:
    return {**result, "each": 1e6 / result["rate"]} if "rate" in result else result
