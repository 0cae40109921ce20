"""The figures as SVG, written by hand: a bar a metric, and a small panel a growth curve. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from .figures import Compared, Outcome
from .growth import Grown, Line
from .report import figure

INK, FAINT, GOOD, SHORT, LINES = "#222", "#bbb", "#2a7f62", "#c0562b", ("#2a7f62", "#35609c", "#c0562b", "#7a4b94")
ROW_HEIGHT, LABELS, PLOT = 24, 330, 420
PANEL_WIDTH, PANEL_HEIGHT, PANELS = 360, 220, 2
LEAST, MOST = 1 / 32, 64.0  # how many times better: the ends of the axis


def document(width: float, height: float, parts: Sequence[str]) -> str:
    """An SVG document on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    return "\n".join((head, f'<rect width="{width:g}" height="{height:g}" fill="white"/>', *parts, "</svg>", ""))


def text(x: float, y: float, words: str, anchor: str = "start", **style: str) -> str:
    """Words at a place."""
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(words)}</text>'


def line(points: Sequence[tuple[float, float]], colour: str = INK, width: float = 1) -> str:
    """A line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


# The comparison


def ratios(outcomes: Sequence[Outcome]) -> str:
    """How many times better than uWSGI each metric is, on a logarithmic axis, with what was to be reached."""
    bars = [(outcome, compared) for outcome in outcomes for compared in outcome.compared]
    height = ROW_HEIGHT * (len(bars) + 2)
    parts = _axis(height - ROW_HEIGHT)
    for number, (outcome, compared) in enumerate(bars, 1):
        parts += _bar(ROW_HEIGHT * (number + 0.5), outcome, compared)
    return document(LABELS + PLOT + 90, height, parts)


def _axis(bottom: float) -> list[str]:
    parts = [
        text(_across(1), 14, "times better than uWSGI: median, least and most of the rounds; | to reach", "middle")
    ]
    for power in range(round(math.log2(LEAST)), round(math.log2(MOST)) + 1):
        x = _across(2.0**power)
        parts.append(line([(x, ROW_HEIGHT), (x, bottom)], INK if power == 0 else "#eee"))
        parts.append(text(x, bottom + 14, f"{2**power}" if power >= 0 else f"1/{2**-power}", "middle", font_size="10"))
    return parts


def _across(times: float) -> float:
    share = math.log(min(max(times, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABELS + PLOT * share


def _bar(y: float, outcome: Outcome, compared: Compared) -> list[str]:
    metric = compared.metric
    middle, least, most, target = (
        better(value, more=metric.better == "more")
        for value in (compared.ratio.median, compared.ratio.least, compared.ratio.most, metric.target)
    )
    colour = GOOD if compared.reached else SHORT
    left, right = sorted((_across(1), _across(middle)))
    title = ", ".join(words for words in (outcome.row.title, metric.label or metric.unit) if words)
    end = max(_across(value) for value in (1, middle, least, most, target))
    return [
        text(LABELS - 8, y + 4, title, "end"),
        f'<rect x="{left:.1f}" y="{y - 7:.1f}" width="{max(right - left, 1):.1f}" height="14" fill="{colour}"/>',
        line([(_across(least), y), (_across(most), y)]),
        line([(_across(target), y - 10), (_across(target), y + 10)], INK, 2),
        text(end + 6, y + 4, "nothing spent" if math.isinf(middle) else f"{figure(middle)} x", font_size="11"),
    ]


def better(ratio: float, *, more: bool) -> float:
    """A ratio as how many times better it is."""
    if more:
        return ratio
    return 1 / ratio if ratio else math.inf


# Growth


def curves(grown: Sequence[Grown]) -> str:
    """A panel a curve, both axes logarithmic."""
    rows = math.ceil(len(grown) / PANELS)
    parts = [part for number, one in enumerate(grown) for part in _panel(number, one)]
    return document(PANEL_WIDTH * PANELS, PANEL_HEIGHT * rows, parts)


def _panel(number: int, grown: Grown) -> list[str]:
    left, top = PANEL_WIDTH * (number % PANELS) + 50, PANEL_HEIGHT * (number // PANELS) + 26
    width, height = PANEL_WIDTH - 70, PANEL_HEIGHT - 60
    lines = grown.curve.lines
    values = [at[one.key] for _, at in grown.points for one in lines if at[one.key] > 0]
    low, high = _decades(values)
    first, last = grown.points[0][0], grown.points[-1][0]

    def place(size: int, value: float) -> tuple[float, float]:
        across = math.log(size / first) / math.log(last / first)
        up = math.log10(max(value, 10**low) / 10**low) / (high - low)
        return left + width * across, top + height * (1 - up)

    parts = [text(left + width / 2, top + height + 28, grown.curve.title, "middle", font_weight="bold")]
    for power in range(low, high + 1):
        y = place(first, 10.0**power)[1]
        parts += [
            line([(left, y), (left + width, y)], "#e5e5e5"),
            text(left - 5, y + 4, f"{10.0**power:g}", "end", font_size="10"),
        ]
    for size, _ in grown.points:
        x = place(size, 10.0**low)[0]
        parts.append(text(x, top + height + 13, _short(size), "middle", font_size="10"))
    for order, one in enumerate(lines):
        parts += _curve(order, one, [place(size, at[one.key]) for size, at in grown.points], left, top)
    return parts


def _curve(order: int, one: Line, points: Sequence[tuple[float, float]], left: float, top: float) -> list[str]:
    colour = LINES[order % len(LINES)]
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
    return [
        line(points, colour, 1.5),
        *dots,
        text(left + 4, top - 12 + 12 * order, one.title, fill=colour, font_size="10"),
    ]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that the values lie between, with room above for the legend."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1) + 1


def _short(size: int) -> str:
    for factor, suffix in ((1_000_000, "M"), (1_000, "k")):
        if size >= factor:
            return f"{size // factor}{suffix}"
    return str(size)
