"""A storm of SIGKILLs loses nothing, and the eye that says so can see a loss."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parents[2]
SAFETY = 600  # seconds after which a storm hangs for good


def storm(*options: str) -> "subprocess.CompletedProcess[str]":
    """Run one storm as its own program, with warnings as errors."""
    command = [sys.executable, "-W", "error", "-m", "tests.storm", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SAFETY, check=False)


def told(what: str, output: str) -> int:
    """The number after a word of the summary."""
    found = re.search(rf"^(?:.*, )?{what} (\d+)", output, re.MULTILINE)
    assert found, output
    return int(found[1])


def test_forty_kills_in_twenty_thousand_signals_lose_none() -> None:
    """Children are killed in every state, raisers too: each id is executed, and twice only where a process died."""
    ended = storm("--signals", "20000", "--kills", "40", "--seed", "20")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert told("accepted", ended.stdout) >= 20_000
    assert told("deaths", ended.stdout) >= 40
    assert told("lost", ended.stdout) == 0


def test_another_storm_every_time() -> None:
    """The same with a seed that nobody has chosen; the output names it."""
    ended = storm("--signals", "10000", "--kills", "30")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_without_accounting_the_storm_loses() -> None:
    """The negative control: what a dead process held counts as done, and the verdict says how much is lost."""
    ended = storm("--signals", "20000", "--kills", "40", "--seed", "20", "--control", "no-accounting")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert told("lost", ended.stdout) > 0


def test_the_storm_sees_what_runs_again_without_a_reason() -> None:
    """The other control: a mark that is overlooked when its process dies repeats a handler that had ended."""
    ended = storm("--signals", "30000", "--kills", "120", "--seed", "20", "--control", "forgetful")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert told("lost", ended.stdout) == 0
    assert "times without a reason" in ended.stdout


def test_masters_are_killed_too() -> None:
    """One master after the other, with children, while it opens and at any time: every signal is handled in order."""
    ended = storm("--masters", "10", "--signals", "30000", "--seed", "5")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert told("lost", ended.stdout) == 0
    assert "Traceback" not in ended.stderr  # of a child that was just being born, and has nobody left to tell


def test_without_a_journal_the_death_of_a_master_loses() -> None:
    """The negative control: what was pending in a master that is killed is lost, and seen to be."""
    ended = storm("--masters", "3", "--signals", "20000", "--seed", "5", "--control", "no-journal")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert told("lost", ended.stdout) > 0


def test_the_storm_sees_what_a_master_repeats_without_a_reason() -> None:
    """The other control: marks that the killed master had not read are overlooked, and handlers run again."""
    ended = storm("--masters", "3", "--signals", "20000", "--seed", "5", "--control", "forgetful")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert told("lost", ended.stdout) == 0
    assert "out of turn" in ended.stdout
