"""The log: what a line begins with, that nothing can pass for one, and that errors of children reach the terminal."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from program import SECONDS, run, running

FORGED = "2026-01-01T00:00:00+0000 ERROR master: forged"
RAISES = f"""
import os, trisig
signals = trisig.Signals()

@signals.handler(1, target="worker1")
def fail(signum):
    raise ValueError("why\\n{FORGED}")
"""
EVENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (INFO|WARNING|ERROR) (master|worker\d+): \S")


def test_every_line_is_an_event_or_indented(tmp_path: Path) -> None:
    """An event begins with date, time, zone, level and process; what an exception says in more lines is indented."""
    with running(tmp_path, RAISES) as app:
        assert run(tmp_path, "send", "1", "--control", "control").returncode == 0
        assert run(tmp_path, "stop", "--control", "control").returncode == 0
        assert app.stderr is not None
        lines = app.stderr.read().splitlines()
    assert any(FORGED in line for line in lines)
    assert [line for line in lines if not EVENT.match(line) and not line.startswith("    ")] == []
    assert not any(line.startswith(FORGED) for line in lines)


IN_A_TEST = """
import logging, trio, trisig

async def test_the_handler_does_its_work():
    signals = trisig.Signals()

    @signals.handler(1)
    def work(signum):
        logging.getLogger("mine").error("a line of my own")
        raise ValueError("why it failed")

    async with trisig.open_master(signals) as master:
        await signals.send(1)
    assert master.statistics().failed == 0
"""


@pytest.mark.parametrize("option", ["--capture=fd", "--capture=no"])
def test_a_failure_in_a_test_is_shown(tmp_path: Path, option: str) -> None:
    """A test runner keeps the log of a child in the child's memory; its errors reach standard error all the same."""
    (tmp_path / "test_it.py").write_text(IN_A_TEST)
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--basetemp=files",
            "-o",
            "trio_mode=true",
            option,
            "test_it.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    shown = ran.stdout + ran.stderr
    assert shown.count("ValueError: why it failed") == 1, shown
    assert shown.count("ERROR worker1: a line of my own") == 1, shown
    assert "1 failed" in shown


def test_a_log_of_the_applications_own_has_each_error_once(tmp_path: Path) -> None:
    """An application that sends its log elsewhere finds everything there, and nothing on standard error."""
    (tmp_path / "app.py").write_text(
        "import logging, trio, trisig\n"
        "signals = trisig.Signals()\n"
        "@signals.handler(1)\ndef work(signum):\n    raise ValueError('why it failed')\n"
        "async def main():\n"
        "    async with trisig.open_master(signals):\n        await signals.send(1)\n"
        "logging.basicConfig(filename='log')\ntrio.run(main)\n"
    )
    ran = subprocess.run(
        [sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "log").read_text().count("ValueError: why it failed") == 1
