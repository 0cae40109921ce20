"""Histograms of times: what is counted where, and what is read from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trisig._ipc.measurements import Measurements
from trisig._model.durations import BOUNDS, BUCKETS, Durations, bucket_of


@given(st.integers(0, 2**63))
def test_a_time_is_in_the_bucket_whose_bounds_enclose_it(nanoseconds: int) -> None:
    """No bucket is wider than a quarter of what it counts."""
    bucket = bucket_of(nanoseconds)
    assert bucket == BUCKETS - 1 or nanoseconds / 1e9 < BOUNDS[bucket]
    assert bucket == 0 or nanoseconds / 1e9 >= BOUNDS[bucket - 1]
    assert bucket == 0 or BOUNDS[bucket] <= BOUNDS[bucket - 1] * 1.25 + 1e-15


@given(st.lists(st.floats(2e-6, 1000), min_size=1, max_size=200))
def test_quantiles_are_right_to_a_quarter(seconds: list[float]) -> None:
    """p50 and p99 are within the bucket of the time that has this rank."""
    measurements = Measurements(2, 0)
    for place, one in enumerate(seconds):
        measurements[place % 2].handler(17).add(one)
    found, ordered = measurements.handler(17), sorted(seconds)
    assert found.count == len(seconds) == sum(count for _, count in found.buckets)
    assert found.total == pytest.approx(sum(seconds), rel=1e-3)
    for quantile, share in ((found.p50, 0.5), (found.p99, 0.99)):
        exact = ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
        assert quantile == pytest.approx(exact, rel=0.25)


def test_nothing_measured_is_no_time() -> None:
    """There is no quantile of nothing, and rows do not touch each other."""
    measurements = Measurements(1, 1)
    measurements[0].queueing(256).add(0.5, 3)
    assert measurements.queueing(256).count == 3
    assert measurements.queueing(255) == measurements.handler(256) == Durations()
