"""The arithmetic of the benchmarks, and that they leave no process behind."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from . import plot
from .__main__ import replace_marked
from .figures import Outcome, ratio
from .growth import CURVES, Grown
from .outside import tree
from .report import rows_table
from .rows import ROWS, Metric, Row
from .sides import Job, ProgramError, adopt_orphans, running

ROW = Row("name", "a title", {}, (Metric("rate", "thousand/s", "more", 8, 1e-3, "handled"),))


class Script:
    """A program given by its text."""

    name = "script"

    def __init__(self, text: str) -> None:
        self.text = text

    def command(self, _job: Job, _folder: Path) -> Sequence[str]:
        return [sys.executable, "-c", self.text]


def outcome(ours: list[float], theirs: list[float], lost: int = 0) -> Outcome:
    """A row over as many rounds as there are rates."""

    def results(rates: list[float], lost: int) -> list[dict[str, float]]:
        return [{"rate": rate, "lost": lost, "sent": 100} for rate in rates]

    return Outcome(ROW, results(ours, 0), results(theirs, lost))


def test_ratio_is_taken_round_by_round() -> None:
    """A round that was slow for both sides does not change the ratio."""
    compared = outcome([9000, 900, 8000], [1000, 100, 1000]).compared[0]
    assert compared.ours.median == 8
    assert (compared.ratio.median, compared.ratio.least, compared.ratio.most) == (9, 8, 9)
    assert compared.reached


@pytest.mark.parametrize(
    ("better", "value", "reached"), [("more", 7.9, False), ("more", 8, True), ("less", 8, True), ("less", 8.1, False)]
)
def test_target_is_a_least_or_a_most(better: str, value: float, reached: bool) -> None:  # noqa: FBT001  a parameter
    """Whether a ratio reaches its target depends on what is better."""
    assert Metric("", "", better, 8).reached(value) is reached  # type: ignore[arg-type]  # a literal


def test_nothing_by_nothing_is_equal() -> None:
    """Two sides that spend nothing are alike; to spend something where the other does not is infinitely worse."""
    assert ratio(0, 0) == 1
    assert ratio(1, 0) == float("inf")


def test_table_tells_what_each_side_lost() -> None:
    """The share that was lost stands beside each side's figures."""
    line = rows_table([outcome([9000], [1000], lost=75)]).splitlines()[-1]
    assert [cell.strip() for cell in line.split("|")][-3:-1] == ["0", "75 %"]


def test_page_without_markers_is_refused() -> None:
    """A table is put between its markers, or it is an error."""
    page = "a\n<!-- rows -->\nold\n<!-- end of rows -->\nb"
    assert replace_marked(page, "rows", "new") == "a\n<!-- rows -->\n\nnew\n\n<!-- end of rows -->\nb"
    with pytest.raises(ValueError, match="no lines <!-- growth -->"):
        replace_marked(page, "growth", "new")


def test_plots_are_xml_with_every_title() -> None:
    """Both plots parse, and name what they show."""
    ratios = ET.fromstring(plot.ratios([outcome([9000], [1000])]))
    assert "a title, handled" in "".join(ratios.itertext())
    curve = CURVES[0]
    grown = Grown(curve, [(size, dict.fromkeys((line.key for line in curve.lines), 1.5)) for size in curve.sizes])
    assert curve.title in "".join(ET.fromstring(plot.curves([grown])).itertext())


def test_rows_have_names_of_their_own() -> None:
    """`--rows` can choose each of them."""
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_no_process_outlives_its_round() -> None:
    """A program that goes on after its line is ended with all that it started."""
    adopt_orphans()
    text = "import os, time; pid = os.fork(); pid and print('{\"child\": %d}' % pid, flush=True); time.sleep(60)"
    with running(Script(text), {}) as (root, result):
        assert tree(root) == [root, result["child"]]
    assert not Path(f"/proc/{root}").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(root, 0)


def test_failure_is_told_with_the_log() -> None:
    """A program that ends without a figure is an error that says why."""
    with pytest.raises(ProgramError, match="no such luck"), running(Script("raise SystemExit('no such luck')"), {}):
        pass
