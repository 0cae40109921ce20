"""The restart policy and the judgement of an ending, without a process."""

import pytest

from trisig._master.restart import Ending, RestartPolicy, Verdict, judge
from trisig._util.backoff import Backoff


@pytest.mark.parametrize(
    ("ending", "verdict"),
    [
        (Ending(asked=True), "left"),
        (Ending(asked=True, ready=True, handling=True), "left"),
        (Ending(), "failed to start"),
        (Ending(handling=True), "failed to start"),
        (Ending(ready=True), "failed at once"),
        (Ending(ready=True, worked=True), "restart"),
        (Ending(ready=True, steady=True), "restart"),
        (Ending(ready=True, worked=True, handling=True), "restart"),
        (Ending(ready=True, handling=True), "blame the signal"),
    ],
)
def test_an_ending_is_judged(ending: Ending, verdict: Verdict) -> None:
    """Whoever was asked to leave has not failed; before ready it is the start, afterwards what it did that counts."""
    assert judge(ending) == verdict


def test_pauses_double_up_to_thirty_seconds() -> None:
    """The first failure is answered at once, then after 0.1, 0.2, ... and never after more than 30 seconds."""
    policy = RestartPolicy()
    assert [policy.pause(failures) for failures in range(6)] == [0, 0, 0.1, 0.2, 0.4, 0.8]
    assert [policy.pause(failures) for failures in (10, 11, 5000)] == [25.6, 30.0, 30.0]


def test_a_master_gives_up_sooner_on_what_was_never_ready() -> None:
    """Five failures in a row before the first success, twelve after it."""
    policy = RestartPolicy()
    assert [policy.gives_up(count, ever_ready=False) for count in (4, 5)] == [False, True]
    assert [policy.gives_up(count, ever_ready=True) for count in (11, 12)] == [False, True]


def test_a_policy_can_be_without_pauses() -> None:
    """With a first pause of nothing every try follows at once."""
    assert RestartPolicy(Backoff(0.0, 0.0)).pause(7) == 0.0
