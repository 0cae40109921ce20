"""A child process, from the fork to its end.

    hello -> start hooks -> services -> ready -> signals ... -> leave

It asks the master for what it needs (`requests`) and is told the rest (`pushes`): handlers that were
registered late, signals that were granted to a waiting task, to end its services, and, by the end of that
socket, to leave. Whatever fails before `ready` is reported to the master with its traceback.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import trio

from . import _asking, _handlers, _packing
from ._asking import Asking
from ._errors import NoMasterError
from ._groups import peeled
from ._handlers import Handler
from ._late import Arriving
from ._process import ProcessInfo
from ._raiser import Gate, Outbox, Raiser
from ._runner import Runner
from ._shared import Shared
from ._signum import SIGNALS, check_signum
from ._sources import BuiltinSource, EventSource, describe
from ._table import TableView
from ._targets import parse
from ._tracebacks import own_traceback, summary_of
from ._wires import ChildEnds

log = logging.getLogger("trisig")

Hook = Callable[[], object]
Service = Callable[..., Awaitable[object]]


@dataclass(frozen=True)
class Declared:
    """What an application declared for one process before the fork."""

    handlers: dict[int, Handler]
    hooks: Sequence[Hook]
    services: Sequence[Service]


@dataclass(slots=True)
class _Wait:
    """One task in `wait`."""

    wanted: int | None
    over: trio.Event
    signum: int | None = None
    granted: bool = False


class Child:
    """The verbs and the life of one child process.

    Args:
        info: who it is.
        signals: the application's `Signals`, for handlers that are sent later and refer to it.
    """

    def __init__(
        self,
        info: ProcessInfo,
        slot: int,
        shared: Shared,
        gate: Gate,
        ends: ChildEnds,
        declared: Declared,
        signals: object,
        cores: int,
        outbox: Outbox | None,
    ) -> None:
        self.info = info
        self._signals = signals
        self._declared = declared
        self._pushes = ends.pushes
        self._late = shared.late
        self._late_grew = trio.Event()
        self._arriving = Arriving()
        self._changes: dict[int, int] = {}  # of the table, by which the handlers that came later were registered
        self._registering: dict[int, Handler] = {}
        self._asking = Asking(ends.requests)
        self._raiser = Raiser(ends.raised, gate, outbox)
        self.send_nowait = self._raiser.send_nowait  # no call between
        self.send = self._raiser.send
        self._table = TableView(shared.table)
        self._handlers = [declared.handlers.get(signum) for signum in range(SIGNALS)]
        self._runner = Runner(
            info.name,
            shared.slots[slot],
            ends.lane,
            ends.bell,
            self._handlers,
            self._registering,
            shared.late,
            cores,
        )
        self._waits: dict[int, _Wait] = {}
        self._keys = count()
        self._services = trio.CancelScope()
        self._one_at_a_time = threading.Lock()

    # The verbs

    def is_registered(self, signum: int) -> bool:
        return self._table.is_registered(signum)

    def free_signum(self) -> int:
        return self._table.free_signum()

    def register(self, signum: int, target: str, handler: Handler) -> None:
        parse(target)
        with self._one_at_a_time:  # of two threads with one number, either's handler could run for the other's
            # The first signal may be faster than the answer, if this is not the thread that runs handlers.
            self._registering[signum] = handler
            try:
                change = self._asking.ask("register", signum=signum, target=target)
            finally:
                del self._registering[signum]
            self._handlers[signum], self._changes[signum] = handler, change

    def unregister(self, signum: int) -> None:
        self._asking.ask("unregister", signum=signum)

    def add_source(self, source: EventSource) -> None:
        if not isinstance(source, BuiltinSource):
            raise TypeError(
                f"{describe(source)} can only be added in the master: sources run there, "
                f"and only timers, crons and file monitors can be sent to it from {self.info.name}"
            )
        self._asking.ask("add_source", spec=source.to_spec())

    def remove_source(self, key: str) -> None:
        self._asking.ask("remove_source", key=key)

    async def wait(self, signum: int | None) -> int:
        if signum is not None:
            check_signum(signum)
        await trio.lowlevel.checkpoint_if_cancelled()
        key, wait = next(self._keys), _Wait(signum, trio.Event())
        self._waits[key] = wait
        self._watch()
        took = False
        try:
            self._asking.post("wait", key=key, signum=signum)
            async with self._runner.cores.lent():
                await wait.over.wait()
            took = wait.granted
            assert wait.signum is not None
            return wait.signum
        finally:
            del self._waits[key]
            self._watch()
            # The master puts back what it granted to a wait that was cancelled.
            self._asking.post("end_wait", key=key, took=took)

    def _watch(self) -> None:
        watched = any(wait.wanted is not None for wait in self._waits.values())
        self._runner.watchers[:] = [self._ran] if watched else []

    def _ran(self, signum: int) -> None:
        for wait in self._waits.values():
            if wait.wanted == signum and not wait.over.is_set():
                wait.signum = signum
                wait.over.set()

    # Its life

    async def run(self) -> None:
        """Live until the master closes `pushes`; report to it what goes wrong before."""
        self._ready = False
        try:
            await self._live()
        except BaseException as error:  # noqa: BLE001  it is reported, and ends the process
            end = peeled(error)
            if not isinstance(end, SystemExit):
                try:
                    self._report(end)
                except NoMasterError:
                    os._exit(1)  # nobody is left to tell, and the kernel is about to end this process anyway
                end = SystemExit(1)
            raise end from None  # noqa: ASYNC104  it ends the process, cancelled or not

    async def _live(self) -> None:
        async with trio.open_nursery() as machine:
            if self._asking.ask("hello")["draining"]:
                self._services.cancel()
            machine.start_soon(self._read_pushes)
            machine.start_soon(self._leave_on_sigterm)
            for hook in self._declared.hooks:
                await _call(hook)
            if self._services.cancel_called:  # a shutdown has begun
                self._asking.post("quiet")
            else:
                await machine.start(self._run_services)
            self._asking.ask("ready")
            self._ready = True
            await self._runner.serve(self._catch_up)
            machine.cancel_scope.cancel()

    async def _run_services(self, task_status: trio.TaskStatus[None]) -> None:
        with self._services:
            async with trio.open_nursery() as nursery:
                for service in self._declared.services:
                    await _start(nursery, service)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
        task_status.started()  # cancelled before all of them had started
        # What they raised while they ended is in the pipe: the master may count what is left to deliver.
        self._asking.post("quiet")

    def _report(self, error: BaseException) -> None:
        text, summary = own_traceback(error), summary_of(error)
        if self._ready:
            log.error("%s: ends because of an error\n%s", self.info.name, text.rstrip())
        else:
            self._asking.post("failed", traceback=_asking.end_of(text), summary=_asking.end_of(summary))

    async def _leave_on_sigterm(self) -> None:
        """Sent to this process alone, or by a supervisor to the whole tree: no handler is cut off."""
        with trio.open_signal_receiver(signal.SIGTERM) as arrivals:
            async for _ in arrivals:
                self._asking.post("leave")

    async def _read_pushes(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._pushes)
            try:
                message = self._pushes.recv(_asking.MESSAGE_BYTES)
            except BlockingIOError:
                continue
            if not message:
                self._runner.stop()
                return
            self._pushed(json.loads(message))

    def _pushed(self, message: dict[str, Any]) -> None:
        do = message["do"]
        if do == "grant":
            self._granted(message["key"], message["signum"])
        elif do == "late":
            self._learn(message)
        elif do == "known":
            self._runner.late_known = message["count"]
            self._late_grew.set()
        elif do == "drain":
            self._services.cancel()
        elif do == "ring":
            self._runner.ring()

    def _granted(self, key: int, signum: int) -> None:
        wait = self._waits.get(key)
        if wait is not None and not wait.over.is_set():
            wait.signum, wait.granted = signum, True
            wait.over.set()

    def _learn(self, message: dict[str, Any]) -> None:
        """Take over a handler that was registered in the master after this process was forked."""
        packed = self._arriving.add(message)
        if packed is None:
            return
        signum, change = message["signum"], message["change"]
        if change > self._changes.get(signum, 0):  # else this process has registered one meanwhile
            self._changes[signum] = change
            try:
                self._handlers[signum] = _packing.unpack(packed, self._signals)
            except Exception:
                log.exception("%s: the handler of signal %s cannot be used here", self.info.name, signum)

    async def _catch_up(self) -> None:
        while self._runner.late_known != self._late[0]:
            self._late_grew = trio.Event()
            await self._late_grew.wait()


async def _call(hook: Hook) -> None:
    result = hook()
    if isinstance(result, Awaitable):
        await result


async def _start(nursery: trio.Nursery, service: Service) -> None:
    if _handlers.takes_task_status(service):
        await nursery.start(service)
    else:
        nursery.start_soon(service)
