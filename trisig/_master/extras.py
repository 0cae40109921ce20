"""What a master may have or not have, as far as its engine deals with it.

`trisig/_extras.py` imports and makes what the options ask for; without it, nothing of it is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import trio

from trisig._api.durable import JobWriter
from trisig._child.task_runner import Jobs
from trisig._ipc.inlets import Outbox
from trisig._model.instrument import Instrument
from trisig._model.node_info import NodeInfo
from trisig._model.past import Record
from trisig._model.statistics import ClusterStatistics, SpoolStatistics

from .dead_letters import DeadJobs


class Journal(Protocol):
    """What is pending survives the master; `Journaling` is the one there is."""

    @property
    def recorder(self) -> Instrument: ...
    @property
    def shared(self) -> memoryview: ...
    @property
    def fd(self) -> int: ...
    @property
    def place(self) -> Sequence[int]: ...
    @property
    def missed(self) -> int: ...
    def outbox(self, process: str) -> Outbox | None: ...
    def schedule(self, source: str) -> Record | None: ...
    def close(self) -> None: ...


class Intake(Protocol):
    """Work comes from outside while the children live; that begins when all are ready.

    Attributes:
        opened: set when what was there already has been found, or cannot be.
    """

    @property
    def opened(self) -> trio.Event: ...
    async def run(self) -> None: ...
    def stop(self) -> None: ...


class Feeder(Intake, Protocol):
    """Takes jobs from the spool; `JobFeeder` is the one there is."""

    def statistics(self) -> SpoolStatistics: ...
    def answered(self, key: int, outcome: bytes | bytearray) -> None: ...
    def learn_tasks(self) -> None: ...
    async def excuse_unfinished(self) -> None: ...


class Spool(msgspec.Struct, frozen=True):
    """Durable jobs.

    Attributes:
        feeder: takes them from the directory.
        writer: puts calls of tasks there.
        jobs: runs them in the children.
        dead: those that were given up.
    """

    feeder: Feeder
    writer: JobWriter
    jobs: Jobs
    dead: DeadJobs


class Cluster(Intake, Protocol):
    """This master is a node; `ClusterSeat` is the one there is."""

    @property
    def nodes(self) -> tuple[NodeInfo, ...]: ...
    def statistics(self) -> ClusterStatistics: ...
    def call_when_stored(self, callback: Callable[[], object]) -> None: ...
    async def leave(self) -> None: ...


class Extras(msgspec.Struct, frozen=True):
    """Those of one master."""

    journal: Journal | None = None
    spool: Spool | None = None
    cluster: Cluster | None = None

    @property
    def intakes(self) -> Sequence[Intake]:
        """Where work comes from, in the order in which they begin."""
        spool = [] if self.spool is None else [self.spool.feeder]
        return [*spool, *([] if self.cluster is None else [self.cluster])]
