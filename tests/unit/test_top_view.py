"""The view of `trisig top`: which rows, columns and lines are shown, and what keys change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("rich")

from trisig._cli.top.controls import Controls, Order, Wish
from trisig._cli.top.keys import keys_in
from trisig._cli.top.screen import Looks, Size, fitting, screen, share, window
from trisig._cli.top.tables import PROCESSES, in_order, rows_of

TOTALS = dict.fromkeys(("accepted", "done", "failed", "queued", "in_flight", "dead_lettered", "unjournaled"), 0)


def process(name: str, **fields: Any) -> dict[str, Any]:
    """A process of a status."""
    usual = {"state": "ready", "pid": 1234567, "respawns": 0, "done": 0, "failed": 0, "queued": 0, "in_flight": 0}
    return {"name": name, **usual, "running": [], "running_tasks": [], "uptime": 5.0, "rss": 2**25, **fields}


def signal(signum: int, **fields: Any) -> dict[str, Any]:
    """A signal of a status."""
    counts = dict.fromkeys(("accepted", "done", "failed", "dead_lettered"), 0)
    return {"signum": signum, "target": "workers", **counts, **fields}


def status(*processes: dict[str, Any], signals: int = 0, uptime: float = 1.0, **fields: Any) -> dict[str, Any]:
    """The answer of a master."""
    master = {"pid": 7, "state": "running", "uptime": uptime, "rss": 2**25, "last_reload": None}
    by_number = {str(number): signal(number) for number in range(signals)}
    by_name = {one["name"]: one for one in processes}
    return {
        **TOTALS,
        "master": master,
        "processes": by_name,
        "signals": by_number,
        "sources": [],
        "locks": [],
        **fields,
    }


def shown(now: dict[str, Any], controls: Controls, columns: int = 80, lines: int = 24, **looks: Any) -> list[str]:
    """The lines of the screen."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    seen = Looks(now, looks.pop("before", None), "/run/user/1000/trisig/app.sock", at, **looks)
    return [line.plain for line in screen(seen, controls, Size(columns, lines))]


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (40, 10), (20, 5), (10, 2), (200, 60), (1, 1)])
def test_it_fits_every_terminal(columns: int, lines: int) -> None:
    """As many lines as there are, none longer than the terminal; the keys are in the last one."""
    busy = [process(f"worker{n}", running=[17], busy_for=2.0) for n in range(1, 40)]
    drawn = shown(status(*busy, signals=100), Controls(), columns, lines)
    assert len(drawn) == lines
    assert max(map(len, drawn)) <= columns
    assert drawn[-1].startswith("q quit"[:columns])


def test_what_is_wrong_comes_first() -> None:
    """Below the title, above the totals; a silent master before all."""
    drawn = shown(status(process("worker1", state="waiting", respawns=3)), Controls(), notice="no answer")
    assert drawn[1:3] == ["no answer", "worker1 is waiting (3 restarts)"]
    assert drawn[3].startswith("accepted 0")


def test_columns_are_left_out_where_there_is_no_room() -> None:
    """At 80 columns the pid goes first, then restarts; what runs stays."""
    rows = rows_of(status(process("worker1", running=[17] * 3, busy_for=1.0, done=10**6, queued=10**5)))[0]
    titles = [column.title for column in fitting(PROCESSES, rows, 80)]
    assert "pid" not in titles
    assert titles[-1] == "handling"
    assert len(fitting(PROCESSES, rows, 200)) == len(PROCESSES)


def test_what_is_done_in_a_second() -> None:
    """Between two answers, by the master's own time."""
    before, now = (status(process("worker1", done=done), uptime=up) for done, up in ((10, 1.0), (40, 3.0)))
    assert rows_of(now, before)[0][0]["rate"] == 15
    assert "rate" not in rows_of(now)[0][0]


def test_rows_are_sorted() -> None:
    """Numbers the largest first, names the first first; inverted the other way; equal ones as the master has them."""
    rows = rows_of(status(process("b", done=1), process("a", done=5), process("c", done=1)))[0]
    done = next(place for place, column in enumerate(PROCESSES) if column.title == "done")
    ordered = {
        (by, inverted): "".join(row["name"] for row in in_order(rows, PROCESSES, by, inverted=inverted))
        for by in (None, 0, done)
        for inverted in (False, True)
    }
    assert ordered == {
        (None, False): "bac", (None, True): "cab", (0, False): "abc", (0, True): "cba",
        (done, False): "abc", (done, True): "bca",
    }  # fmt: skip


def test_the_chosen_table_gets_the_room() -> None:
    """Others keep two rows; where not even that fits, only the chosen one is there."""
    assert share(20, [10, 40, 0], 1) == [4, 16, 0]
    assert share(20, [10, 40, 0], 0) == [10, 10, 0]
    assert share(6, [10, 40, 5], 1) == [0, 6, 0]
    assert share(-1, [10, 40, 5], 1) == [0, 0, 0]


def test_scrolling_ends_at_the_last_row() -> None:
    """The last line counts the rows that are not shown."""
    rows, order = [{"name": str(n)} for n in range(10)], Order(first=99)
    visible, more = window(rows, order, 4)
    assert ([row["name"] for row in visible], more, order.first) == (["7", "8", "9"], 7, 7)
    assert window(rows, order, 10) == (rows, 0)


def test_what_a_terminal_sends() -> None:
    """Arrows of both modes, a lone escape, and keys that come together."""
    assert list(keys_in(b"\x1b[A\x1bOBs17\r")) == ["up", "down", "s", "1", "7", "enter"]
    assert list(keys_in(b"\x1b")) == ["escape"]
    assert list(keys_in("é".encode())) == ["Ã", "©"]


def pressed(controls: Controls, keys: bytes) -> list[Wish]:
    """What some keys ask for."""
    return [wish for key in keys_in(keys) if (wish := controls.press(key)) is not None]


def test_keys() -> None:
    """Quit, pause, tables, columns, order; those without a meaning do nothing."""
    controls = Controls()
    assert pressed(controls, b"q") == [Wish("quit")]
    assert pressed(controls, b" \t>i\x1b[Bxyz\x00") == []
    assert (controls.is_paused, controls.table) == (True, 1)
    assert controls.orders[1] == Order(column=0, inverted=True, first=1)
    pressed(controls, b"<")
    assert controls.orders[1].column is None


@pytest.mark.parametrize(
    ("keys", "wishes"),
    [
        (b"s17\r", [Wish("send", 17)]),
        (b"s179\x7f\x7f8\r", [Wish("send", 18)]),
        (b"s\r", []),
        (b"s17\x1b", []),
        (b"s999\r", []),
        (b"s12345\r", [Wish("send", 123)]),
        (b"ry", [Wish("reload")]),
        (b"rn", []),
        (b"rq", []),
    ],
)
def test_what_is_asked_for(keys: bytes, wishes: list[Wish]) -> None:
    """A number and Enter send a signal, and only `y` reloads."""
    controls = Controls()
    assert pressed(controls, keys) == wishes
    assert controls.asking is None
