"""Durable jobs survive the deaths of those who send them, of those who run them, and of their masters."""

from __future__ import annotations

from pathlib import Path

import pytest
from job_storm import Storm

pytestmark = pytest.mark.sweep

LOSES = """
import os, signal
from trisig._spool.claim import Claim
begin = Claim.begin
def remove(claim):
    begin(claim)
    claim.path.unlink()
    if sum(claim.path.name.encode()) % 10 == 0:  # left to chance, few of the kills would meet a job
        os.kill(os.getpid(), signal.SIGKILL)
Claim.begin = remove
Claim.done = lambda claim: None
"""


def test_no_job_is_lost(tmp_path: Path) -> None:
    """After 12 kills, one of the master, 2,000 jobs have run; twice by a death only, and never twice at once."""
    outcome = Storm(tmp_path, jobs=2000, kills=12, seed=1).run()
    assert outcome.faults == []
    assert outcome.sent >= 2000 - 12 * 8  # all but those that a sender died with


def test_a_lost_job_would_be_found(tmp_path: Path) -> None:
    """The same with spoolers that remove a job before it runs, and die of one in ten."""
    outcome = Storm(tmp_path, jobs=100, kills=2, seed=1, program=LOSES).run()
    assert any("lost" in fault for fault in outcome.faults)
