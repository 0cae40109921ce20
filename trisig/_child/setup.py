"""What a child process is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from trisig._ipc.descriptors import ChildEnds
from trisig._ipc.gate import Gate
from trisig._ipc.inlets import Outbox
from trisig._ipc.shared_memory import Shared
from trisig._model.handlers import Handler
from trisig._model.life_limits import LifeLimits
from trisig._model.process import ProcessInfo

from .task_runner import DeclaredTask, Jobs

Hook: TypeAlias = Callable[[], object]
Service: TypeAlias = Callable[..., Awaitable[object]]


class Declared(msgspec.Struct, frozen=True):
    """What an application declared for one process before the fork."""

    handlers: dict[int, Handler]
    hooks: Sequence[Hook]
    services: Sequence[Service]
    tasks: Sequence[DeclaredTask]
    jobs: Jobs | None


class ChildSetup(msgspec.Struct, frozen=True):
    """Everything that one child process works with.

    Attributes:
        info: who it is.
        slot: the index of its slot in the shared memory.
        shared: the memory that it shares with the master.
        gate: the master's.
        ends: its descriptors.
        declared: what the application declared for it.
        signals: the application's `Signals`, for handlers that are sent later and refer to it.
        cores: how many async handlers it runs at a time.
        limits: what ends its life.
        outbox: where it notes what it raises, if there is a journal.
        in_cluster: whether its master is a node of one.
    """

    info: ProcessInfo
    slot: int
    shared: Shared
    gate: Gate
    ends: ChildEnds
    declared: Declared
    signals: object
    cores: int
    limits: LifeLimits
    outbox: Outbox | None
    in_cluster: bool
