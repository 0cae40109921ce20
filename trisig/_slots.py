"""The places that a topology has: a slot for each process, a pool for each queue that several of them serve."""

from __future__ import annotations

from collections.abc import Mapping

from ._ledger import Lane
from ._process import Kind
from ._queue import Queue
from ._shared import SlotMemory
from ._targets import Target, Topology

_AHEAD = 1_000_000  # nanoseconds of work that a process may hold of a shared queue
DEEPEST = 1024  # signals of shared queues that one process may hold
WAIT = "wait"  # the queue of the signals without a handler


class Pool:
    """A queue that several processes serve: the first available one gets the signal."""

    def __init__(self, name: str) -> None:
        self.queue = Queue(name, shared=True)
        self.members: list[Slot] = []
        self.idle: dict[Slot, None] = {}  # the one that has been idle for longest comes first
        self.held = False  # whether some members hold what others could start
        self.depth = 1  # how many of its signals a member may hold
        self._pace = 0
        self.given: dict[Slot, None] = {}  # not known to be idle; what was given signals longest ago comes first

    def judge(self, pace: int) -> None:
        """A member took so many nanoseconds for a signal. One that was interrupted looks slow, so doubt is bounded."""
        self._pace = min(pace, 2 * self._pace) if self._pace else pace
        self.depth = max(1, min(_AHEAD // max(self._pace, 1), DEEPEST))

    def doubt(self) -> None:
        """What was given to a member was more than it could do."""
        self._pace, self.depth = _AHEAD, 1


class Slot:
    """One place in the topology, whichever process fills it at the moment."""

    def __init__(self, kind: Kind, number: int, memory: SlotMemory) -> None:
        self.kind: Kind = kind
        self.number = number
        self.name = f"{kind}{number}"
        self.memory = memory
        self.queue = Queue(self.name)
        self.pools: list[Pool] = []
        self.lane: Lane | None = None
        self.active = True  # not cheaped
        self.heard_at = 0.0
        self.robbed = False
        self.wanted = True
        self.pipe = self.back = -1
        self.done = 0
        self.failed = 0

    def account(self) -> tuple[int, int]:
        """(done, failed) over all its incarnations."""
        lane = self.lane
        return (self.done + lane.done, self.failed + lane.failed) if lane else (self.done, self.failed)


def queue_names(topology: Topology) -> list[str]:
    """The queues that a master with this topology has."""
    return [*(f"{kind}{number}" for kind, number in topology.processes()), *_groups(topology), WAIT]


def _groups(topology: Topology) -> dict[str, list[str]]:
    """The processes of each kind and each farm of two or more; a lone one is served by its own queue."""
    groups: dict[str, list[str]] = {kind: [] for kind in ("worker", "mule", "spooler")}
    for kind, number in topology.processes():
        groups[kind].append(f"{kind}{number}")
    for farm, mules in topology.farms.items():
        groups[f"farm_{farm}"] = [f"mule{number}" for number in mules]
    return {name: members for name, members in groups.items() if len(members) > 1}


def make_pools(topology: Topology, slots: Mapping[str, Slot]) -> dict[str, Pool]:
    """The pools of a topology by name, and each slot's own."""
    pools = {name: Pool(name) for name in _groups(topology)}
    for name, members in _groups(topology).items():
        pools[name].members = [slots[member] for member in members]
        for member in members:
            slots[member].pools.append(pools[name])
    return pools


def resolve(target: Target, topology: Topology, slots: Mapping[str, Slot]) -> tuple[str, ...]:
    """The names of the queues that get a signal with this target, as things are now."""
    members = tuple(f"{kind}{number}" for kind, number in topology.members(target))
    if target.audience == "active":
        return tuple(name for name in members if slots[name].active)
    if target.audience != "first" or len(members) == 1:
        return members
    return (_pool_name(target, topology),)


def is_copy(target: Target, name: str) -> bool:
    """Whether a signal with this target, in the queue of that name, is one of those that each of its kind gets."""
    kind, digits = name[: len(target.kind)], name[len(target.kind) :]
    return target.audience in ("all", "active") and kind == target.kind and digits.isdecimal()


def _pool_name(target: Target, topology: Topology) -> str:
    if isinstance(target.farm, int):
        return f"farm_{list(topology.farms)[target.farm - 1]}"
    return target.kind if target.farm is None else f"farm_{target.farm}"
