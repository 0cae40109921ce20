"""The master's own verbs: the same as a child's, without a way to go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TypeVar

from trisig._ipc.calls import Calls
from trisig._ipc.failure import result_or_raise
from trisig._ipc.process_locks import ProcessLocks
from trisig._ipc.receiving import Receiving
from trisig._ipc.stores import Stores
from trisig._ipc.waits import Waits
from trisig._model.event import Event
from trisig._model.handlers import Handler
from trisig._model.handling import Handling
from trisig._model.locks import Locks
from trisig._model.node_info import NodeInfo
from trisig._model.table import TableView
from trisig._model.targets import Target
from trisig._sources import EventSource
from trisig._util.ki_protection import ki_protected
from trisig._util.own_thread import OwnThread

from .destinations import Destinations
from .extras import Cluster
from .lock_desk import MasterLockDesk
from .raiser import MasterRaiser
from .registry import Registry

_ME = "master"
T = TypeVar("T")


@ki_protected
class MasterVerbs:
    """The verbs of `Signals` in the master's process.

    Args:
        signals: the application's `Signals`, which handlers may refer to.
        table: the signal table.
        registry: what changes it.
        raiser: raises signals here.
        destinations: where a waiting task gets its signal or its message from.
        locks: those of all processes.

    Attributes:
        locks: as the tasks of the master have them.
    """

    def __init__(
        self,
        signals: object,
        table: TableView,
        registry: Registry,
        raiser: MasterRaiser,
        destinations: Destinations,
        locks: Locks,
    ) -> None:
        waiters, mailboxes = destinations.waiters, destinations.mailboxes
        self._signals = signals
        self._table = table
        self._registry = registry
        self.send_nowait = raiser.send_nowait  # no call between
        self.send = raiser.send
        self._raiser = raiser
        self._cluster: Cluster | None = None
        self._stores = Stores(self._await_stored)
        self._calls = Calls()
        self._receiving = Receiving(
            self._calls,
            lambda key, boxes: mailboxes.ask(_ME, key, boxes),
            lambda key, took: mailboxes.end(_ME, key, took=took),
        )
        self._thread = OwnThread()
        self._waits = Waits(
            lambda key, signum: waiters.ask(_ME, key, signum),
            lambda key, took: waiters.end(_ME, key, took=took),
        )
        desk = MasterLockDesk(locks)
        self.locks = ProcessLocks(desk)
        self.locks.token = desk.token

    def be_in(self, cluster: Cluster) -> None:
        """This master is a node of a cluster."""
        self._cluster = cluster
        self.send = self._send

    async def _send(self, signum: int) -> None:
        await self._raiser.send(signum)
        if self._table.is_in_cluster(signum):
            await self.wait_stored()

    async def wait_stored(self) -> None:
        await self._stores.wait()

    def _await_stored(self, key: int) -> None:
        assert self._cluster is not None
        self._cluster.call_when_stored(lambda: self._stores.stored(key))

    def nodes(self) -> tuple[NodeInfo, ...]:
        return () if self._cluster is None else self._cluster.nodes

    def is_registered(self, signum: int) -> bool:
        return self._table.is_registered(signum)

    def free_signum(self) -> int:
        return self._table.free_signum()

    def register(self, signum: int, target: Target, handler: Handler, handling: Handling) -> None:
        from trisig._ipc.handler_pickle import pack  # noqa: PLC0415  few register anything at run time

        self._thread.check("handlers are registered", "signals.register, signum, target, handler")
        self._registry.check(target)  # before the work of packing, and before its errors
        self._registry.register(signum, target, handling, pack(handler, self._signals))

    def event(self) -> Event | None:
        return None  # no handler runs here

    def unregister(self, signum: int) -> None:
        self._thread.check("handlers are unregistered", "signals.unregister, signum")
        self._registry.unregister(signum)

    def add_source(self, source: EventSource) -> None:
        self._registry.add_source(source)

    def remove_source(self, key: str) -> None:
        self._registry.remove_source(key)

    def pause_source(self, key: str, *, paused: bool) -> None:
        self._registry.pause_source(key, paused=paused)

    def send_task_nowait(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        self._raiser.send_task_nowait(task, arguments, due, priority)

    async def send_task(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        await self._raiser.put(partial(self._raiser.send_task_nowait, task, arguments, due, priority))

    async def call_task(
        self, task: int, arguments: bytes, due: float, priority: int, take: Callable[[bytes | bytearray], T]
    ) -> T:
        send = partial(self._raiser.send_task_nowait, task, arguments, due, priority)
        outcome, content = await self._calls.call(lambda key: self._raiser.put(partial(send, key)), nullcontext())
        return result_or_raise(outcome, content, take)

    def answered(self, key: int, outcome: int, content: bytes | bytearray) -> None:
        """A call of this process has come to its end."""
        self._calls.answered(key, outcome, content)

    async def wait(self, signum: int | None) -> int:
        return await self._waits.wait(signum, nullcontext())

    async def receive(self, boxes: tuple[int, ...]) -> bytes | bytearray:
        return await self._receiving.receive(boxes, nullcontext())

    def granted(self, key: int, signum: int) -> None:
        """A task of this process gets an unregistered signal."""
        self._waits.granted(key, signum)

    def end_waits(self) -> None:
        """The master has ended: end all waits and calls with `NoMasterError`."""
        self._waits.master_ended()
        self._stores.master_ended()
        self.locks.master_ended()
        self._calls.master_ended()
