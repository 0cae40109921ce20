"""`Backoff`, without a clock."""

from trisig._util.backoff import Backoff


def test_each_failure_doubles_the_pause_up_to_the_longest() -> None:
    """Nothing after no failure, then 0.1, 0.2, 0.4 ..., and 30 seconds after however many."""
    backoff = Backoff(0.1, 30.0)
    assert [backoff.pause(failures) for failures in range(5)] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert [backoff.pause(failures) for failures in (9, 10, 5000, 10**9)] == [25.6, 30.0, 30.0, 30.0]


def test_a_failure_after_a_steady_time_is_the_first_again() -> None:
    """Up to the steady time failures add up; beyond it they begin at one."""
    backoff = Backoff(0.1, 30.0, steady=60.0)
    assert backoff.count(0, 0.0) == 1
    assert backoff.count(7, 60.0) == 8
    assert backoff.count(7, 60.1) == 1
