"""A cluster loses nothing while its nodes and its server are killed and stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster_storm import storm

pytestmark = pytest.mark.sweep


def test_a_cluster_under_fire(tmp_path: Path) -> None:
    """Each task that was sent has run, again only by a death; each due second passed; nobody led without a lease."""
    verdict = storm(tmp_path, seconds=4, seed=3)
    assert verdict.faults() == [], verdict
    assert verdict.sent > 20, verdict
    assert verdict.events.total() >= 4, verdict


def test_nodes_that_forget_would_be_found(tmp_path: Path) -> None:
    """The same with nodes that delete what they claim before they have handled it, and are killed."""
    assert storm(tmp_path, seconds=1, seed=3, forgets=True).lost
