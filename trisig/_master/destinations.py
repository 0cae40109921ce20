"""All destinations of one master, and which of them a target means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trisig._ipc.shared_memory import SlotMemory
from trisig._model.destination import Destination
from trisig._model.mailboxes import Mailboxes
from trisig._model.process import process_name
from trisig._model.targets import Target, Topology
from trisig._model.waiters import Waiters

from .delivery import Delivery
from .later import Later
from .pool import Pool
from .slots import Slot

if TYPE_CHECKING:  # no run without a cluster imports it
    from trisig._cluster.outgoing import Outgoing


class Destinations:
    """The slots, the pools and the waiting tasks of one master, and what runs later.

    Args:
        topology: which processes there are.
        memories: what each of them shares with the master, in the order of `topology.processes()`.
        delivery: what destinations share.
        mailboxes: of the messages.

    Attributes:
        cluster: what is raised for the cluster; None if there is none. Whoever sets it refreshes the dispatcher.
    """

    def __init__(
        self, topology: Topology, memories: list[SlotMemory], delivery: Delivery, mailboxes: Mailboxes
    ) -> None:
        self.cluster: Outgoing | None = None
        self._topology = topology
        self.waiters: Waiters = delivery.waiters
        self.mailboxes = mailboxes
        self.later = Later(delivery.ledger)
        places = zip(topology.processes(), memories, strict=True)
        self.slots = {process_name(*place): Slot(*place, memory, delivery) for place, memory in places}
        self.pools = {name: self._pool(name, delivery) for name in pool_names(topology)}

    def _pool(self, name: str, delivery: Delivery) -> Pool:
        members = [self.slots[process_name(*place)] for place in self._topology.groups()[name]]
        pool = Pool(name, members, delivery)
        for slot in members:
            slot.pools.append(pool)
        return pool

    def __iter__(self) -> Iterator[Destination]:
        yield from self.slots.values()
        yield from self.pools.values()
        yield self.waiters
        yield self.later
        if self.cluster is not None:
            yield self.cluster
        yield from self.mailboxes.boxes.values()

    def named(self, name: str) -> Destination | None:
        """The destination with this queue; None if there is none in this topology."""
        return next((destination for destination in self if destination.name == name), None)

    def of(self, target: Target) -> tuple[Destination, ...]:
        """Where a signal with this target goes, as things are now."""
        if target.node is not None and self.cluster is not None:
            return (self.cluster,)
        return self.here(target)

    def here(self, target: Target) -> tuple[Destination, ...]:
        """Which processes of this master run a signal with this target, wherever it was raised."""
        members = tuple(self.slots[process_name(*place)] for place in self._topology.members(target))
        if target.audience == "active":
            return tuple(slot for slot in members if slot.active)
        if target.audience != "first" or len(members) == 1:
            return members
        return (self.pools[self._topology.group_of(target)],)


def pool_names(topology: Topology) -> list[str]:
    """The groups of two or more processes; a lone one is served by its own queue."""
    return [name for name, members in topology.groups().items() if len(members) > 1]
