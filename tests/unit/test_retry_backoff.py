"""`trisig.Backoff`: when to try again, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest

import trisig


def test_pauses_double_up_to_the_longest_and_end_with_the_attempts() -> None:
    """Four pauses lie between five attempts; after the fifth failure there is none."""
    backoff = trisig.Backoff(1, 5, attempts=5)
    assert [backoff.pause(failures) for failures in range(1, 6)] == [1, 2, 4, 5, None]


def test_the_jitter_prolongs_a_pause() -> None:
    """By a part of the given seconds that is drawn anew for each pause."""
    backoff = trisig.Backoff(1, 60, attempts=9, jitter=10)
    draws = iter((0.0, 0.5, 1.0))
    assert [backoff.pause(failures, lambda: next(draws)) for failures in (1, 2, 3)] == [1, 7, 14]


def test_one_attempt_is_no_retry() -> None:
    """The first failure is final, and thousands of failures overflow nothing."""
    assert trisig.Backoff(1, 60, attempts=1).pause(1) is None
    assert trisig.Backoff(1, 60, attempts=10_000).pause(9_999) == 60


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: trisig.Backoff(-1, 60), ValueError, "first must be 0 or more seconds, not -1"),
        (lambda: trisig.Backoff(1, math.nan), ValueError, "longest must be 0 or more seconds, not nan"),
        (lambda: trisig.Backoff(1, math.inf), ValueError, "longest must be 0 or more seconds, not inf"),
        (lambda: trisig.Backoff("1", 60), TypeError, "first must be an int or float"),  # type: ignore[arg-type]  # on purpose
        (lambda: trisig.Backoff(10, 1), ValueError, "longest must be at least first, 10 s, not 1 s"),
        (lambda: trisig.Backoff(1, 60, attempts=0), ValueError, "attempts must be at least 1, not 0"),
        (lambda: trisig.Backoff(1, 60, attempts=True), TypeError, "attempts must be an int, not True"),
        (lambda: trisig.Backoff(1, 60, jitter=-0.1), ValueError, "jitter must be 0 or more seconds, not -0.1"),
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], error: type[Exception], words: str) -> None:
    """In the line that wrote it, with the name of the argument."""
    with pytest.raises(error, match=words):
        make()


def test_it_is_frozen() -> None:
    """One backoff may serve many handlers."""
    with pytest.raises(FrozenInstanceError):
        trisig.Backoff(1, 60).first = 2  # type: ignore[misc]  # refused, which is the test
