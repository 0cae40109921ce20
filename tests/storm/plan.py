"""What is raised, by whom, for whom: the same for the same seed."""

import random
from dataclasses import dataclass
from typing import TypedDict


class Topology(TypedDict):
    workers: int
    mules: int
    farms: dict[str, tuple[int, ...]]
    spoolers: int


TOPOLOGY: Topology = {"workers": 4, "mules": 3, "farms": {"busy": (1, 2)}, "spoolers": 1}
CORES = 3
QUEUES = (
    *("worker1", "worker2", "worker3", "worker4", "mule1", "mule2", "mule3", "spooler1"),
    *("worker", "mule", "farm_busy"),
)
SLOTS = QUEUES[:8]
# Who raises: the master itself and a service in each of three children, which are killed like the others.
RAISERS = ("master", "worker1", "mule3", "spooler1")
ECHO, SELF_ECHO = 200, 201  # raised by handlers


@dataclass(frozen=True)
class Kind:
    """One way of being handled.

    Attributes:
        target: who handles it.
        weight: how often it is raised.
        style: `plain`, `slow` (some 50 microseconds), `aside` (async) or `echo` (raises `ECHO` itself),
            `self` (raises `SELF_ECHO`, which comes back to its own process).
    """

    target: str
    weight: int
    style: str = "plain"


KINDS = (
    Kind("worker", 5),
    Kind("worker", 2, "slow"),
    Kind("worker", 2, "aside"),
    Kind("worker1", 2),
    Kind("worker2", 2, "self"),
    Kind("mule3", 2, "aside"),
    Kind("workers", 1),
    Kind("farm_busy", 3, "echo"),
    Kind("mule", 2),
    Kind("spooler", 2),
)
HANDLED = {
    1 + len(KINDS) * raiser + number: kind for raiser in range(len(RAISERS)) for number, kind in enumerate(KINDS)
}
ECHOES = {ECHO: Kind("worker", 0), SELF_ECHO: Kind("worker2", 0)}


def cycle(raiser: int, seed: int) -> bytes:
    """The order in which a raiser raises its numbers, again and again; no number follows itself."""
    rng = random.Random(f"{seed} {raiser}")
    numbers = [1 + len(KINDS) * raiser + number for number, kind in enumerate(KINDS) for _ in range(kind.weight)]
    while True:
        rng.shuffle(numbers)
        if all(numbers[k] != numbers[k - 1] for k in range(len(numbers))):
            return bytes(numbers)
