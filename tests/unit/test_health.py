"""What is a problem for the check whether a master is well."""

from __future__ import annotations

import pytest

from trisig._master.health import Limits


@pytest.mark.parametrize(
    ("asked", "timeout", "limit"), [(None, None, None), (None, 30.0, 35.0), (7.0, 30.0, 7.0), (7.0, None, 7.0)]
)
def test_how_long_a_handler_may_run(asked: float | None, timeout: float | None, limit: float | None) -> None:
    """As long as was asked for; else until its timeout should have ended it; else for ever."""
    assert Limits.given(5.0, asked, timeout).handler == limit
