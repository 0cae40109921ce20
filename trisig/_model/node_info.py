"""What is known of a node of a cluster. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node: a master that has joined a cluster.

    Attributes:
        name: of the node, the same after a restart.
        incarnation: another one each time that it joins.
        since: when it joined, in seconds since the epoch, by the clock of the database.
        state: `up`; or `silent` when its lease is over and nobody has declared it down yet.
        leads: whether it is the leader.
    """

    name: str
    incarnation: str
    since: float
    state: Literal["up", "silent"]
    leads: bool = False
