"""Figures of trisig against those of others in the same rounds, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .figures import Spread
from .report import spread, table
from .sides import Result

HEADINGS = ("", "unit", "trisig", "", "ratio", "to reach", "")

Results = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Contest:
    """One figure of trisig, and the same of a peer in the same round.

    Attributes:
        title: what the table calls it.
        unit: of both.
        key: its name in what trisig's program prints.
        peer: the program of the other; None if the figure itself has something to reach.
        theirs: the name of the figure there.
        target: the ratio to reach: at least that if more is better, at most that if not.
        more: whether more is better.
        scale: what both are multiplied by before they are shown.
        ours: trisig's program.
    """

    title: str
    unit: str
    key: str
    peer: str | None
    theirs: str
    target: float
    more: bool
    ours: str
    scale: float = 1.0


def contests_table(contests: Iterable[Contest], results: Results) -> str:
    """One line a figure; without those whose programs did not run."""
    ran = [one for one in contests if one.ours in results and (one.peer is None or one.peer in results)]
    return table(HEADINGS, [_line(one, results) for one in ran])


def _line(contest: Contest, results: Results) -> Sequence[str]:
    mine = [result[contest.key] * contest.scale for result in results[contest.ours]]
    if contest.peer is None:
        other, compared = "", ""
        judged = Spread.of(mine).median
    else:
        theirs = [result[contest.theirs] * contest.scale for result in results[contest.peer]]
        ratio = Spread.of([one / two for one, two in zip(mine, theirs, strict=True)])
        other, compared, judged = spread(Spread.of(theirs)), spread(ratio), ratio.median
    reached = judged >= contest.target if contest.more else judged <= contest.target
    return (
        contest.title,
        contest.unit,
        spread(Spread.of(mine)),
        other,
        compared,
        f"{'at least' if contest.more else 'at most'} {contest.target:g}",
        "reached" if reached else "short",
    )
