"""The life of a child process, from the fork to its end.

    hello -> start hooks -> services -> ready -> signals ... -> leave

It asks the master for what it needs (`requests`), and the master sends the rest unasked (`pushes`): handlers that
were registered later, signals for waiting tasks, the order to end its services, and the order to leave. Whatever fails
before `ready` is reported to the master with its traceback.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from trisig._ipc.messages import (
    MESSAGE_BYTES,
    Done,
    Drain,
    Grant,
    GrantLock,
    HandlerPart,
    HandlersSent,
    Hello,
    Leave,
    Leaving,
    MessageError,
    Quiet,
    Ready,
    Ring,
    SetLogLevel,
    StartFailed,
    Stored,
    Welcome,
    Worn,
    decode,
    end_of,
)
from trisig._ipc.request_client import RequestClient
from trisig._model.errors import NoMasterError
from trisig._model.handlers import takes_task_status
from trisig._util.exception_groups import peeled
from trisig._util.log import set_level
from trisig._util.tracebacks import own_traceback, summary_of

from .handler_table import HandlerTable
from .parent_watch import end_with_master, end_with_parent
from .setup import ChildSetup, Hook, Service
from .verbs import ChildVerbs
from .wear import Wear

log = logging.getLogger("trisig")


class Child:
    """One child process.

    Args:
        setup: what it is made of.

    Attributes:
        verbs: the verbs of `Signals` in it.
    """

    def __init__(self, setup: ChildSetup) -> None:
        self._name = setup.info.name
        self._declared = setup.declared
        self._pushes = setup.ends.pushes
        self._master = os.getppid()
        end_with_master(setup.ends.alive)
        self._client = RequestClient(setup.ends.requests)
        self._handlers = HandlerTable(self._name, setup.declared.handlers, setup.signals, setup.shared.registrations)
        self.verbs = ChildVerbs(setup, self._client, self._handlers)
        self._runner = self.verbs.runner
        self._wear = Wear(setup.limits, lambda why: self._client.post(Worn(why)))
        self._services = trio.CancelScope()
        self._ready = False
        self._on_push: dict[type, Callable[[Any], object]] = {
            Grant: lambda grant: self.verbs.waits.granted(grant.key, grant.signum),
            Stored: lambda stored: self.verbs.stores.stored(stored.key),
            GrantLock: lambda grant: self.verbs.locks.granted(grant.key),
            HandlerPart: self._handlers.arrived,
            HandlersSent: lambda sent: self._handlers.all_arrived(sent.count),
            Drain: lambda _: self._services.cancel(),
            Leave: lambda _: self._runner.stop(),
            Ring: lambda _: self._runner.ring(),
            SetLogLevel: lambda one: set_level(one.level),
        }

    async def run(self) -> None:
        """Live until the master has it leave, or is gone; report to it what goes wrong before."""
        try:
            await self._live()
        except BaseException as error:  # noqa: BLE001  it is reported, and ends the process
            end = peeled(error)
            if not isinstance(end, SystemExit):
                try:
                    self._report(end)
                except NoMasterError:
                    os._exit(1)  # nobody is left to report to, and the kernel is about to end this process anyway
                end = SystemExit(1)
            raise end from None  # noqa: ASYNC104  it ends the process, cancelled or not

    async def _live(self) -> None:
        self.verbs.locks.token = trio.lowlevel.current_trio_token()
        self.verbs.calls.live_here()
        async with trio.open_nursery() as nursery:
            welcome = self._client.ask(Hello(), Welcome)
            self._runner.stopwatch.slow = math.inf if welcome.slow_handler is None else welcome.slow_handler
            if welcome.log_level:
                set_level(welcome.log_level)
            if welcome.draining:
                self._services.cancel()
            nursery.start_soon(self._read_pushes)
            nursery.start_soon(self._runner.cargo.listen)
            if threading.current_thread() is threading.main_thread():  # else its host hears SIGTERM
                nursery.start_soon(self._leave_on_sigterm)
            for hook in self._declared.hooks:
                await _call(hook)
            end_with_parent(self._master)
            if self._services.cancel_called:  # a shutdown has begun
                self._client.post(Quiet())
            else:
                await nursery.start(self._run_services)
            self._client.ask(Ready(), Done)
            self._ready = True
            nursery.start_soon(self._wear.watch_age)
            await self._runner.serve(self._wear.look)
            nursery.cancel_scope.cancel()

    async def _run_services(self, task_status: trio.TaskStatus[None]) -> None:
        with self._services:
            async with trio.open_nursery() as nursery:
                for service in self._declared.services:
                    await _start(nursery, service)
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
        task_status.started()  # cancelled before all of them had started
        # What they raised while they ended is in the pipe: the master may count what is left to deliver.
        self._client.post(Quiet())

    def _report(self, error: BaseException) -> None:
        text, summary = own_traceback(error), summary_of(error)
        if self._ready:
            log.error("%s: ends because of an error\n%s", self._name, text.rstrip())
        else:
            self._client.post(StartFailed(end_of(text), end_of(summary)))

    async def _leave_on_sigterm(self) -> None:
        """Leave in order when SIGTERM is sent to this process alone, or by a supervisor to the whole tree."""
        with trio.open_signal_receiver(signal.SIGTERM) as arrivals:
            async for _ in arrivals:
                self.leave()

    def leave(self) -> None:
        """Ask the master to let this process end in order, and to replace it."""
        self._client.post(Leaving())

    async def _read_pushes(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._pushes)
            try:
                data = self._pushes.recv(MESSAGE_BYTES)
            except BlockingIOError:
                continue
            if not data:
                self._runner.stop()  # the master is gone
                return
            self._pushed(data)

    def _pushed(self, data: bytes) -> None:
        try:
            message = decode(data)
        except MessageError as error:
            log.error("%s: the master sent what this process cannot use: %s", self._name, error)  # noqa: TRY400
            return
        act = self._on_push.get(type(message))
        if act is None:
            log.error("%s: the master sent what this process cannot use: %s", self._name, message)
        else:
            act(message)


async def _call(hook: Hook) -> None:
    result = hook()
    if isinstance(result, Awaitable):
        await result


async def _start(nursery: trio.Nursery, service: Service) -> None:
    if takes_task_status(service):
        await nursery.start(service)
    else:
        nursery.start_soon(service)
