"""From what the rounds printed to what the table says: medians, spread, ratios, losses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .rows import Metric, Row

Results = Sequence[dict[str, float]]


@dataclass(frozen=True)
class Spread:
    """Some figures, by their median and extremes."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


@dataclass(frozen=True)
class Compared:
    """One metric of a row over all rounds.

    Attributes:
        ours, theirs: the figures of each side, scaled to the metric's unit.
        ratio: ours by theirs, round by round.
        floor: the figures of trio alone; None if that was not measured.
    """

    metric: Metric
    ours: Spread
    theirs: Spread
    ratio: Spread
    floor: Spread | None = None

    @property
    def reached(self) -> bool:
        return self.metric.reached(self.ratio.median)


@dataclass(frozen=True)
class Outcome:
    """A row over all rounds: what each side printed in each, and what follows."""

    row: Row
    ours: Results
    theirs: Results
    floor: Results = ()

    @property
    def compared(self) -> list[Compared]:
        """The metrics, in order."""
        return [_compare(metric, self.ours, self.theirs, self.floor) for metric in self.row.metrics]

    @property
    def lost(self) -> tuple[str, str]:
        """What each side lost, in words."""
        return _lost(self.ours), _lost(self.theirs)

    def as_json(self) -> dict[str, Any]:
        """Everything, for `--json`."""
        return {
            "row": self.row.name,
            "title": self.row.title,
            "metrics": [{**asdict(compared), "reached": compared.reached} for compared in self.compared],
            "rounds": {"trisig": list(self.ours), "uwsgi": list(self.theirs), "trio alone": list(self.floor)},
        }


def _compare(metric: Metric, ours: Results, theirs: Results, floor: Results) -> Compared:
    mine = [metric.scale * result[metric.key] for result in ours]
    other = [metric.scale * result[metric.key] for result in theirs]
    ratios = [ratio(a, b) for a, b in zip(mine, other, strict=True)]
    least = [metric.scale * result[metric.key] for result in floor]
    return Compared(metric, Spread.of(mine), Spread.of(other), Spread.of(ratios), Spread.of(least) if least else None)


def ratio(ours: float, theirs: float) -> float:
    """Ours by theirs; two nothings are equal."""
    if theirs == 0:
        return 1.0 if ours == 0 else float("inf")
    return ours / theirs


def _lost(results: Results) -> str:
    sent = sum(result.get("sent", 0) for result in results)
    if not sent:
        return "-"
    lost = sum(result["lost"] for result in results)
    return f"{100 * lost / sent:.0f} %" if lost else "0"
