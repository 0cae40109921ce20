"""The verbs of `Signals` in a child: those that change something are requests to the master."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import TypeVar

from trisig._ipc.bulk import BulkSender
from trisig._ipc.calls import Calls
from trisig._ipc.failure import result_or_raise
from trisig._ipc.inlets import pipe_inlet
from trisig._ipc.messages import (
    AddSource,
    AskEvent,
    AskNodes,
    AwaitStored,
    Done,
    EndReceive,
    EndWait,
    EventIs,
    NodesAre,
    PauseSource,
    Register,
    Registered,
    RemoveSource,
    StartReceive,
    StartWait,
    Unregister,
)
from trisig._ipc.process_locks import ProcessLocks
from trisig._ipc.raiser import Raiser
from trisig._ipc.receiving import Receiving
from trisig._ipc.request_client import RequestClient
from trisig._ipc.stores import Stores
from trisig._ipc.task_sender import TaskSender
from trisig._ipc.waits import Waits
from trisig._model.event import Event
from trisig._model.handlers import Handler
from trisig._model.handling import Handling
from trisig._model.node_info import NodeInfo
from trisig._model.table import TableView
from trisig._model.targets import Target
from trisig._model.text import describe
from trisig._sources import BuiltinSource, EventSource

from .cores import current_core
from .handler_table import HandlerTable
from .lock_desk import ChildLockDesk
from .runner import Runner
from .running_number import running_number
from .setup import ChildSetup
from .task_runner import TaskRunner

T = TypeVar("T")


class ChildVerbs:
    """What `Signals` does in one child process.

    Args:
        setup: of the process.
        client: its requests to the master.
        handlers: those that it can run.

    Attributes:
        locks: as the tasks of the process have them.
        calls: those that wait for an answer.
        stores: the tasks that wait until the cluster has what they raised.
    """

    def __init__(self, setup: ChildSetup, client: RequestClient, handlers: HandlerTable) -> None:
        self._name = setup.info.name
        self._client = client
        self._handlers = handlers
        self._table = TableView(setup.shared.table)
        self._raiser = raiser = Raiser(pipe_inlet(setup.ends.raised, setup.outbox), setup.gate)
        self.send_nowait = raiser.send_nowait  # no call between
        self.stores = Stores(lambda key: client.post(AwaitStored(key)))
        self.send = self._send if setup.in_cluster else raiser.send
        self.waits = Waits(
            lambda key, signum: client.post(StartWait(key, signum)),
            lambda key, took: client.post(EndWait(key, took)),
        )
        self.locks = ProcessLocks(ChildLockDesk(client), current_core)
        self.calls = Calls()
        self._receiving = Receiving(
            self.calls,
            lambda key, boxes: client.post(StartReceive(key, list(boxes))),
            lambda key, took: client.post(EndReceive(key, took)),
        )
        self._tasks = TaskSender(setup.ends.raised, BulkSender(setup.ends.bulk))
        tasks = TaskRunner(setup.declared.tasks, self._tasks.answer, setup.declared.jobs)
        self._runner = Runner(setup, handlers, self.waits, tasks, self.calls.answered)
        self._journaled = setup.outbox is not None
        self._one_at_a_time = threading.Lock()

    @property
    def runner(self) -> Runner:
        """What runs the handlers."""
        return self._runner

    async def _send(self, signum: int) -> None:
        await self._raiser.send(signum)
        if self._table.is_in_cluster(signum):
            await self.wait_stored()

    async def wait_stored(self) -> None:
        await self.stores.wait()

    def nodes(self) -> tuple[NodeInfo, ...]:
        return tuple(NodeInfo(*parts) for parts in self._client.ask(AskNodes(), NodesAre).nodes)

    def is_registered(self, signum: int) -> bool:
        return self._table.is_registered(signum)

    def free_signum(self) -> int:
        return self._table.free_signum()

    def register(self, signum: int, target: Target, handler: Handler, handling: Handling) -> None:
        with self._one_at_a_time:  # of two threads with one number, either's handler could run for the other's
            with self._handlers.registering(signum, handler):
                asked = Register(signum, target.text, handling.to_plain())
                change = self._client.ask(asked, Registered).change
                self._handlers.set(signum, handler, change)  # before it stops being on the way: no gap between

    def event(self) -> Event | None:
        number = running_number.get()
        parts = [] if number is None else self._client.ask(AskEvent(number), EventIs).parts
        return Event(*parts) if parts else None

    def unregister(self, signum: int) -> None:
        self._client.ask(Unregister(signum), Done)

    def add_source(self, source: EventSource) -> None:
        if not isinstance(source, BuiltinSource):
            raise TypeError(
                f"{describe(source)} can only be added in the master: sources run there, "
                f"and only timers, crons and file monitors can be sent to it from {self._name}"
            )
        self._client.ask(AddSource(source.to_spec()), Done)

    def remove_source(self, key: str) -> None:
        self._client.ask(RemoveSource(key), Done)

    def pause_source(self, key: str, *, paused: bool) -> None:
        self._client.ask(PauseSource(key, paused), Done)

    def send_task_nowait(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        self._raiser.put_nowait(self._tasks.send, task, arguments, 0, due, priority)
        if self._journaled:  # arguments are in no outbox: only the master notes them
            self._client.confirm_raised()

    async def send_task(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        await self._raiser.put(partial(self.send_task_nowait, task, arguments, due, priority))

    async def call_task(
        self, task: int, arguments: bytes, due: float, priority: int, take: Callable[[bytes | bytearray], T]
    ) -> T:
        def attempt(key: int) -> None:
            self._raiser.put_nowait(self._tasks.send, task, arguments, key, due, priority)

        # A task that calls another may call one that this very process has to run: it lends its core meanwhile.
        lent = self._runner.cores.lent()
        outcome, content = await self.calls.call(lambda key: self._raiser.put(partial(attempt, key)), lent)
        return result_or_raise(outcome, content, take)

    async def wait(self, signum: int | None) -> int:
        # A handler that waits may wait for what this very process has to handle: it lends its core meanwhile. Not if it
        # holds a lock: the handler that got the core might want that lock, and keep both from going on.
        return await self.waits.wait(signum, self._meanwhile())

    def _meanwhile(self) -> AbstractAsyncContextManager[object]:
        core = current_core()
        keeps = core is not None and self.locks.holds(core)
        return nullcontext() if keeps else self._runner.cores.lent()

    async def receive(self, boxes: tuple[int, ...]) -> bytes | bytearray:
        return await self._receiving.receive(boxes, self._meanwhile())
