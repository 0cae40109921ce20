"""Which process this is, in uWSGI's terms."""

from __future__ import annotations

import os
from dataclasses import dataclass

from trisig import current_process
from trisig._model.targets import Topology, parse


@dataclass(frozen=True)
class Processes:
    """The processes of one instance.

    Attributes:
        topology: how many there are of each kind, and the farms.
        master: its pid.
    """

    topology: Topology
    master: int

    @property
    def in_master(self) -> bool:
        """Whether this is the master."""
        return os.getpid() == self.master

    def number(self, kind: str) -> int:
        """The number of this process if it is of a kind, else 0."""
        me = current_process()
        return me.number if not self.in_master and me.kind == kind else 0

    @property
    def kind(self) -> str:
        """Of this process."""
        return "master" if self.in_master else current_process().kind

    @property
    def name(self) -> str:
        """Of this process, as uWSGI's log has it."""
        me = current_process()
        return "master" if self.in_master else f"{me.kind} {me.number}"

    def target(self, text: str) -> str:
        """The target that uWSGI's text means.

        Raises:
            TargetError: none, or one that this instance does not have.
        """
        word = text or "worker"
        self.topology.members(parse(word))
        return word
