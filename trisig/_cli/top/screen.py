"""A screen of `trisig top` as lines of text: totals, trouble, tables, and what the keys do. It fits whatever size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.text import Text

from trisig._cli.status_text import elsewhere, headline, shortened, trouble

from .controls import Controls, Order
from .tables import TABLES, Column, Row, in_order, rows_of

_HELP = "q quit  space pause  tab table  < > sort  i invert  s send signal  r reload"
_LEAST_NAME = 12  # characters, to which the first column may shrink
_ABOVE_ROWS = 2  # an empty line and the titles


@dataclass(frozen=True)
class Looks:
    """What is known of the master.

    Attributes:
        status: its answer.
        before: an earlier one; None at first.
        control: where it was asked.
        at: when it has answered.
        notice: what keeps it from answering; empty if nothing does.
    """

    status: dict[str, Any]
    before: dict[str, Any] | None
    control: str
    at: datetime
    notice: str = ""


@dataclass(frozen=True)
class Size:
    """Of the terminal, in characters.

    Attributes:
        columns, lines: what it has.
        is_ascii: it has no arrows.
    """

    columns: int
    lines: int
    is_ascii: bool = False


def screen(looks: Looks, controls: Controls, size: Size) -> list[Text]:
    """The lines, as many as the terminal has at most.

    Args:
        looks: what to show.
        controls: how. What was scrolled too far is corrected there.
        size: of the terminal.
    """
    above = _above(looks, controls, size.columns)[: max(1, size.lines // 2)]
    tables = _tables(looks, controls, size, size.lines - len(above) - 1)
    lines = [*above, *tables][: size.lines - 1]
    lines += [Text("")] * (size.lines - 1 - len(lines))
    for line in (*lines, foot := _foot(controls)):
        line.truncate(size.columns)
    return [*lines, foot]


def _above(looks: Looks, controls: Controls, columns: int) -> list[Text]:
    paused = "  paused" if controls.is_paused else ""
    title = f"trisig top  {shortened(looks.control, max(_LEAST_NAME, columns - 30))}  {looks.at:%H:%M:%S}{paused}"
    wrong = [*([looks.notice] if looks.notice else []), *trouble(looks.status)]
    return [
        Text(title, "bold"),
        *(Text(line, "bold red") for line in wrong),
        *map(Text, headline(looks.status).splitlines()),
        *map(Text, elsewhere(looks.status)),
    ]


def _tables(looks: Looks, controls: Controls, size: Size, room: int) -> list[Text]:
    each = rows_of(looks.status, looks.before)
    needs = [len(rows) + _ABOVE_ROWS if rows else 0 for rows in each]
    lines: list[Text] = []
    for place, given in enumerate(share(room, needs, controls.table)):
        if given > _ABOVE_ROWS:
            order, is_chosen = controls.orders[place], place == controls.table
            rows = in_order(each[place], TABLES[place], order.column, inverted=order.inverted)
            shown, more = window(rows, order, given - _ABOVE_ROWS)
            lines.append(Text(""))
            lines += _laid_out(TABLES[place], shown, order, size, is_chosen=is_chosen)
            lines += [Text(f"{more} more", "dim")] if more else []
    return lines


def share(room: int, needs: Sequence[int], chosen: int) -> list[int]:
    """How many lines each table gets: all two rows at least, the chosen one first of what is left.

    Args:
        room: lines for all of them.
        needs: lines that each could use.
        chosen: the place of the table that the keys are for.
    """
    given = [min(need, _ABOVE_ROWS + 2) for need in needs]
    if sum(given) > room:
        given = [min(need, max(room, 0)) if place == chosen else 0 for place, need in enumerate(needs)]
    left = room - sum(given)
    for place in sorted(range(len(needs)), key=lambda place: place != chosen):
        more = max(0, min(needs[place] - given[place], left)) if given[place] else 0
        given[place] += more
        left -= more
    return given


def window(rows: Sequence[Row], order: Order, lines: int) -> tuple[Sequence[Row], int]:
    """The rows that are shown, and how many are not; the last line says so, if some are not."""
    if len(rows) <= lines:
        order.first = 0
        return rows, 0
    lines -= 1
    order.first = min(order.first, len(rows) - lines)
    return rows[order.first : order.first + lines], len(rows) - lines


def _laid_out(
    columns: Sequence[Column], rows: Sequence[Row], order: Order, size: Size, *, is_chosen: bool
) -> list[Text]:
    by = None if order.column is None else columns[order.column]
    kept = fitting(columns, rows, size.columns)
    titles = [column.title + (_arrow(column, order, size) if column is by else "") for column in kept]
    cells = [[column.cell(row) for column in kept] for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    widths[0] -= min(max(0, _width(widths) - size.columns), max(0, widths[0] - _LEAST_NAME))
    lines = [_line(kept, row, widths) for row in (titles, *cells)]
    head = Text(lines[0].ljust(size.columns), "reverse bold" if is_chosen else "bold")
    return [head, *map(Text, lines[1:])]


def fitting(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Column]:
    """The columns for which a terminal has room; names may shrink, and what is spare is left out."""
    kept = list(columns)
    while (spare := max(kept, key=lambda column: column.spare)).spare:
        first, *others = [max(len(one.title) + 1, *(len(one.cell(row)) for row in rows)) for one in kept]
        if _width([min(first, _LEAST_NAME), *others]) <= width:
            break
        kept.remove(spare)
    return kept


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _arrow(column: Column, order: Order, size: Size) -> str:
    return ("^v" if size.is_ascii else "↑↓")[column.is_number != order.inverted]


def _line(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if column.is_number else cell.ljust(width)
        for column, cell, width in zip(columns, row, widths, strict=True)
    )
    return "  ".join((shortened(first, widths[0]).ljust(widths[0]), *others)).rstrip()


def _foot(controls: Controls) -> Text:
    if controls.asking == "signal":
        return Text(f"send signal (0 to 255, Enter): {controls.typed}_", "reverse")
    if controls.asking == "reload":
        return Text("reload the application? y/n", "reverse")
    return Text(controls.said or _HELP, "bold" if controls.said else "dim")
