"""The figures as text: a line a round while it runs, tables in Markdown afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .figures import Compared, Outcome, Spread

HEADINGS = ("row", "unit", "trisig", "uWSGI", "ratio", "to reach", "", "trio alone", "lost by trisig", "lost by uWSGI")


def figure(value: float) -> str:
    """Three digits that matter."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(values: Spread) -> str:
    """The median, and what it lies between."""
    return f"{figure(values.median)} ({figure(values.least)} to {figure(values.most)})"


def rows_table(outcomes: Iterable[Outcome]) -> str:
    """The comparison, one line a metric."""
    return table(HEADINGS, [cells for outcome in outcomes for cells in _cells(outcome)])


def _cells(outcome: Outcome) -> list[Sequence[str]]:
    return [_line(outcome, compared) for compared in outcome.compared]


def _line(outcome: Outcome, compared: Compared) -> Sequence[str]:
    metric = compared.metric
    title = f"{outcome.row.title}, {metric.label}" if metric.label else outcome.row.title
    target = f"{'at least' if metric.better == 'more' else 'at most'} {metric.target:g}"
    verdict = "reached" if compared.reached else "short"
    return (
        title,
        metric.unit,
        spread(compared.ours),
        spread(compared.theirs),
        spread(compared.ratio),
        target,
        verdict,
        "" if compared.floor is None else spread(compared.floor),
        *outcome.lost,
    )


def table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose source is aligned as well."""
    widths = [max(len(line[column]) for line in (headings, *lines)) for column in range(len(headings))]
    rule = ["-" * max(width, 3) for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (headings, rule, *lines)
    )
