"""Tasks survive the deaths of those who send them and of those who run them."""

from __future__ import annotations

import pytest
from task_storm import storm

from trisig._model.lane import Lane
from trisig._model.queue import Queue

pytestmark = pytest.mark.sweep


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_task_is_lost(seed: int) -> None:
    """After 24 kills of workers and senders, 2,000 tasks have run, with their own arguments, repeated by death only."""
    outcome = await storm(tasks=1000, kills=24, seed=seed)
    assert outcome.faults() == []
    assert outcome.sent >= 2000 - 8  # all but those that a sender died with


async def test_a_lost_task_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same storm with a master that loses the last task that a dead process held."""
    put_back = Queue.put_back

    def forget_one(queue: Queue, start: int, data: bytes) -> None:
        for position in range(start + len(data) - 1, start + len(data)):
            queue.invocations.pop(position, None)
        if data[:-1]:
            put_back(queue, start, data[:-1])

    monkeypatch.setattr(Queue, "put_back", forget_one)
    outcome = await storm(tasks=1000, kills=24, seed=1)
    assert any("lost" in fault or "account" in fault for fault in outcome.faults())


async def test_arguments_of_another_task_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same storm with a lane that gives a task the arguments of the one before it, now and then."""
    send = Lane.send

    def mix_up(lane: Lane, queue: Queue, limit: int) -> bytes:
        data = send(lane, queue, limit)
        if len(lane.load) > 1:
            one, other, *_ = lane.load
            lane.load[other] = lane.load[one]
        return data

    monkeypatch.setattr(Lane, "send", mix_up)
    outcome = await storm(tasks=1000, kills=6, seed=1)
    assert outcome.lost > 0
