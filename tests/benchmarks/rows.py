"""The rows of the comparison: what is done, what is measured, and the ratio to reach. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MULE1 = 101  # slot of the first mule in `apps/work.py`


@dataclass(frozen=True)
class Metric:
    """One figure of a row.

    Attributes:
        key: its name in what a round's program prints.
        unit: what it is shown in.
        better: whether more or less of it is better.
        target: the ratio to uWSGI's figure that trisig is to reach.
        scale: what the figure is multiplied by before it is shown.
    """

    key: str
    unit: str
    better: Literal["more", "less"]
    target: float
    scale: float = 1.0
    label: str = ""

    def reached(self, ratio: float) -> bool:
        """Whether a ratio is as good as the target, or better."""
        return ratio >= self.target if self.better == "more" else ratio <= self.target


@dataclass(frozen=True)
class Row:
    """One thing that is compared.

    Attributes:
        name: what `--rows` calls it.
        title: what the table calls it.
        job: what the programs of both sides are told.
        metrics: the figures.
        measure: who measures: the `program` itself, on all CPUs or `pinned` to one, or the harness from outside
            (`memory`, `idle`).
        ours: what only our side is told, and what trio alone is.
        floor: whether trio alone is measured, too.
    """

    name: str
    title: str
    job: Mapping[str, Any]
    metrics: tuple[Metric, ...]
    measure: Literal["program", "pinned", "memory", "idle"] = "program"
    ours: Mapping[str, Any] = field(default_factory=dict)
    floor: bool = False


def job(kind: str, target: str, **more: Any) -> dict[str, Any]:
    """A complete job.

    By default there are one worker, one mule that handles, and one that raises.
    """
    base = {
        "kind": kind,
        "target": target,
        "handler": "sync",
        "numbers": 1,
        "workers": 1,
        "raisers": 1,
        "watched": MULE1,
    }
    told = {**base, "handling_mules": 0 if target.startswith(("worker", "active")) else 1, "ends": True, **more}
    told["mules"] = told["handling_mules"] + told["raisers"]
    told["first"] = MULE1 + told["handling_mules"]
    return told


def burst(target: str, signals: int, *, copies: int = 1, raisers: int = 1, **more: Any) -> dict[str, Any]:
    """A burst: each of the raisers raises so many signals, each runs in so many processes."""
    return job("burst", target, signals=signals, expected=signals * raisers * copies, raisers=raisers, **more)


def rate(target: float) -> tuple[Metric, ...]:
    """Handled signals, or handler runs, per second of the burst."""
    return (Metric("rate", "thousand/s", "more", target, 1e-3, "handled"),)


def delay(p50: float, p99: float | None = None) -> tuple[Metric, ...]:
    """Delays in microseconds."""
    metrics = (Metric("p50", "us", "less", p50, label="p50"),)
    return metrics if p99 is None else (*metrics, Metric("p99", "us", "less", p99, label="p99"))


ROWS = (
    Row("burst-mule", "burst of 200,000 to a mule", burst("mule1", 200_000), rate(14)),
    Row("burst-pool", "burst of 200,000 to a pool of 2 workers", burst("worker", 200_000, workers=2), rate(10)),
    Row(
        "broadcast-2",
        "100,000 to all of 2 workers, handler runs",
        burst("workers", 100_000, copies=2, workers=2),
        rate(6),
    ),
    Row(
        "broadcast-8",
        "50,000 to all of 8 workers, handler runs",
        burst("workers", 50_000, copies=8, workers=8),
        rate(6),
    ),
    Row(
        "raisers-4",
        "four raisers, 50,000 each, to a pool of 2",
        burst("worker", 50_000, raisers=4, workers=2),
        rate(24),
    ),
    Row(
        "latency", "raise to handler, one at a time", job("latency", "mule1", signals=3000), delay(1.0, 1.0), floor=True
    ),
    Row(
        "latency-pinned",
        "the same, all on one CPU",
        job("latency", "mule1", signals=3000),
        delay(1.6),
        measure="pinned",
        floor=True,
    ),
    Row(
        "latency-async",
        "raise to handler, our handler async",
        job("latency", "mule1", signals=3000),
        delay(1.25),
        ours={"handler": "async"},
        floor=True,
    ),
    Row(
        "latency-async-pinned",
        "the same, all on one CPU",
        job("latency", "mule1", signals=3000),
        delay(2.1),
        measure="pinned",
        ours={"handler": "async"},
        floor=True,
    ),
    Row(
        "timers",
        "60 timers of 1 s: lateness of a tick",
        job("timers", "mule1", handler="note", timers=60, seconds=3.0),
        delay(1.1, 1.2),
    ),
    Row("file", "file changed to handler", job("files", "mule1", signals=100), delay(2.0)),
    Row(
        "respawn",
        "SIGKILL of a worker to its successor ready",
        job("kills", "worker1", signals=2),
        (Metric("p50", "ms", "less", 0.2, 1e-3),),
    ),
    Row(
        "start",
        "program start to 8 workers ready",
        job("up", "worker1", workers=8, raisers=0, ends=False),
        (Metric("start", "ms", "less", 3.3, 1e3),),
        floor=True,
    ),
    Row(
        "memory",
        "PSS added per worker",
        job("stay", "workers", signals=300, ends=False),
        (Metric("pss", "MB", "less", 1.4, 1e-6),),
        measure="memory",
        floor=True,
    ),
    Row(
        "idle",
        "idle master and 4 workers, a minute",
        job("stay", "workers", workers=4, signals=10, ends=False),
        (
            Metric("cpu", "ms CPU", "less", 0.2, 1e3),
            Metric("switches", "switches", "less", 0.2),
        ),
        measure="idle",
    ),
)
