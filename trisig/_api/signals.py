"""`Signals`: what an application declares, and the verbs that every process uses.

The object is made in the master and forked with it. What it is asked to do goes through the verbs of the process that
it finds itself in: none before a master opens, the master's own in the master, a child's in a child. Declarations are
kept in its `Application`, so that they hold for every master that opens later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeVar, Unpack, cast, overload

from trisig._model.backoff import Backoff
from trisig._model.errors import NoMasterError
from trisig._model.event import Event
from trisig._model.handlers import (
    Handler,
    check_async,
    check_callable,
    check_called,
    check_handler,
    check_leader_service,
    check_master_service,
)
from trisig._model.handling import Handling, HandlingOptions
from trisig._model.lock_name import check_lock_name
from trisig._model.process import MASTER
from trisig._model.signum import SIGNALS, check_signum
from trisig._model.table import already_registered, not_registered, table_full
from trisig._model.targets import parse, parse_fixed
from trisig._model.text import describe
from trisig._sources import EventSource, check_source, key_of

from .application import Application, Declaration, Verbs
from .durable import Durable, checked_retry
from .events import ExternalEvents
from .handler_name import signum_for
from .lock import Lock, LockVerbs
from .node_events import NodeEvents
from .tasks import Task, TaskDecorator, TaskForAllDecorator

H = TypeVar("H", bound=Handler)
F = TypeVar("F", bound=Callable[[], object])
S = TypeVar("S", bound=Callable[..., Awaitable[object]])
LEADER = "leader"  # the target of services that one node of a cluster runs


class Signals(ExternalEvents, NodeEvents):
    """The signals of one application.

    Register handlers, hooks and services, then open a master with it (`open_master`, `run`, or `trisig run`
    on the command line). Afterwards the same object works in every process of the tree.
    """

    def __init__(self) -> None:
        self._app = Application()

    # The table

    def register(self, signum: int, target: str, handler: Handler, **handling: Unpack[HandlingOptions]) -> None:
        """Set the handler of a signal and who runs it.

        Registered in the master before it opens, every process has the handler. Registered there later, it is
        sent to the processes, which works for functions whose closures can be pickled. Registered in a child,
        only that process can run it, and the entry ends with it.

        Args:
            signum: 0 to 255.
            target: who runs it: `worker` (the first available one), `workers`, `mule2`, `farm_busy` ... Or `cluster`,
                `nodes`, `node_web1`, perhaps with one of these behind a slash: then the database of the cluster keeps
                each call until it has run.
            handler: a plain or async function of one argument, the signal number.
            handling: `overlap=` is what becomes of a signal that is raised while its handler runs: with `"queue"` each
                one is handled; with `"one"` one handler runs at a time and one signal waits at most; with `"skip"` none
                is accepted while one waits or runs. `retry=trisig.Backoff(...)` tries a handler that raises again.

        Raises:
            TypeError, ValueError: not a signal number, not a handler, or another keyword.
            TargetError: not a target, or one that the running master does not have.
            SignalTableError: the number is registered already.
            RuntimeError: in the master while it runs, but not in the thread that runs it.
        """
        check_signum(signum)
        parsed = parse(target)
        check_handler(handler)
        handled = Handling.given(**handling)
        if self._app.verbs is not None:
            self._app.verbs.register(signum, parsed, handler, handled)
        elif signum in self._app.handlers:
            raise already_registered(signum)
        if not self._app.in_child:
            self._app.handlers[signum] = Declaration(parsed, handler, handled)

    def handler(self, signum: int, target: str = "worker", **handling: Unpack[HandlingOptions]) -> Callable[[H], H]:
        """Decorate the handler of a signal; returns the function unchanged. See `register`."""
        check_called(signum, "signals.handler(1)")
        check_signum(signum)
        parse(target)
        Handling.given(**handling)

        def decorate(handler: H) -> H:
            self.register(signum, target, handler, **handling)
            return handler

        return decorate

    def unregister(self, signum: int) -> None:
        """Remove an entry (uWSGI cannot). Signals that were raised before are still delivered.

        A source that was made together with the entry by a decorator, such as `timer`, is removed too.

        Raises:
            TypeError, ValueError: not a signal number.
            SignalTableError: the number is not registered.
            RuntimeError: in the master while it runs, but not in the thread that runs it.
        """
        check_signum(signum)
        if self._app.verbs is not None:
            self._app.verbs.unregister(signum)
        elif signum not in self._app.handlers:
            raise not_registered(signum)
        if not self._app.in_child:
            self._app.forget(signum)

    def is_registered(self, signum: int) -> bool:
        """Whether a signal has an entry in the table.

        Raises:
            TypeError, ValueError: not a signal number.
        """
        check_signum(signum)
        return self._app.verbs.is_registered(signum) if self._app.verbs is not None else signum in self._app.handlers

    def free_signum(self) -> int:
        """The lowest number that is not registered.

        Raises:
            SignalTableError: all 256 are.
        """
        if self._app.verbs is not None:
            return self._app.verbs.free_signum()
        for signum in range(SIGNALS):
            if signum not in self._app.handlers:
                return signum
        raise table_full()

    def _next_signum(self, handler: Handler) -> int:
        number = signum_for(handler, self._app.handlers) if self._app.verbs is None else None
        return self.free_signum() if number is None else number

    # Raising and waiting

    async def send(self, signum: int) -> None:
        """Raise a signal; returns once the master has it, and waits while its queue is full.

        A signal for the cluster is stored by then. If the call is cancelled while it waits for that, the signal is
        raised all the same.

        Raises:
            TypeError, ValueError: not a signal number.
            NoMasterError: no master is open.
        """
        await self._verbs("send", signum).send(signum)

    def send_nowait(self, signum: int) -> None:
        """Raise a signal from a plain function, a thread, or a Python handler of a Unix signal.

        In such a handler, with a journal, it is `trio.WouldBlock` if it interrupted another raise of the same process.

        Raises:
            TypeError, ValueError: not a signal number.
            trio.WouldBlock: the signal was not raised, because the master's queue is full.
            NoMasterError: no master is open.
        """
        verbs = self._app.verbs
        if verbs is None:
            verbs = self._verbs("send_nowait", signum)
        verbs.send_nowait(signum)

    def event(self) -> Event | None:
        """What raised the signal that the handler runs for, which calls this; in its tasks and threads too.

        None for a signal that no event source has raised, and outside of handlers. A signal that is redelivered or
        tried again has the same event. One that another master has left in the journal has none. The master is asked,
        which takes about as long as `register`; nothing is asked, and no time taken, unless this is called.
        """
        return None if self._app.verbs is None else self._app.verbs.event()

    async def wait(self, signum: int | None = None) -> int:
        """Wait for a signal and return its number.

        Without a number: the next signal that has no handler; such signals wait in the master, in order, for
        whoever asks first. With a number: the next time that it reaches this process; if it has a handler,
        after the handler ran here. A handler that waits lends its core to other handlers meanwhile; its
        `handler_timeout` goes on.

        A signal without a handler is done once `wait` has returned it. It goes to nobody else if the process dies
        afterwards, so work that must survive that belongs in a handler. (With a journal, `wait` may return it again if
        the master is killed in the same moment.) Cancelled before it returns, `wait` takes nothing.

        Raises:
            TypeError, ValueError: not a signal number.
            NoMasterError: no master is open.
        """
        return await self._verbs("wait", 0 if signum is None else signum).wait(signum)

    def _verbs(self, verb: str, signum: int) -> Verbs:
        check_signum(signum)
        if self._app.verbs is None:
            raise NoMasterError(f"{verb}() needs a master; open one with trisig.open_master or trisig.run")
        return self._app.verbs

    def lock(self, name: int | str = 0) -> Lock:
        """Return the lock of a number or name, the same in all processes of the master.

        Args:
            name: a number from 0, or a text of 1 to 200 characters. `1` and `"1"` are two locks.

        Raises:
            TypeError, ValueError: another name.
        """
        return Lock(check_lock_name(name), self._lock_verbs, self.lock)

    def _lock_verbs(self) -> LockVerbs | None:
        return None if self._app.verbs is None else self._app.verbs.locks

    # Tasks

    @overload
    def task(  # type: ignore[overload-overlap]  # the more precise one comes first
        self, target: Literal["workers", "active-workers", "mules", "spoolers"]
    ) -> TaskForAllDecorator: ...
    @overload
    def task(self, target: str, *, durable: bool = False, retry: Backoff | None = None) -> TaskDecorator: ...
    def task(
        self, target: str, *, durable: bool = False, retry: Backoff | None = None
    ) -> TaskDecorator | TaskForAllDecorator:
        """Decorate a function, plain or async, that other processes run with arguments; see `Task`.

        Called as before, it runs where it is called. `send`, `send_nowait` and `call` have a process of the target
        run it. Its arguments and its result travel as MessagePack, and are checked against its annotations.

        Args:
            target: who runs it: `worker` (the first available one), `workers`, `mule2`, `farm_busy` ...
            durable: each call of it is a job: a file in the spool of the master before `send` returns, which is
                removed when it has run. What raises is given up, and lies in the directory `dead` of the spool.
            retry: of a durable task: when a job that has raised, or has ended its process, runs again; it is given up
                after `attempts` starts. Without it, a job that ends its process is given up after three.

        Raises:
            TargetError: not a target, or one that means several processes for a durable task.
            TypeError: not a function, or a method, or one with an annotation that nothing can be read back by.
            ValueError: a task of that name is declared already, or one that is not durable has a `retry`.
            RuntimeError: a master is open.
        """
        check_called(target, "signals.task('worker')")
        checked = checked_retry(retry, parse(target), durable=durable)
        kept = None if checked is None else Durable(checked, lambda: self._app.spool)
        self._before_the_fork("a task")

        def decorate(fn: Callable[..., Any]) -> Task[..., Any, Any]:
            task: Task[..., Any, Any] = Task(fn, target, len(self._app.tasks), lambda: self._app.verbs, kept)
            if any(other.name == task.name for other in self._app.tasks):
                raise ValueError(f"there is a task {task.name} already; give this function another name")
            self._app.tasks.append(task)
            return task

        return cast("TaskDecorator", decorate)

    # In every process

    def on_start(self, target: str | None = None) -> Callable[[F], F]:
        """Decorate a function, plain or async, that each matching child runs before its first signal.

        Args:
            target: one that names fixed processes, such as `workers` or `mule2`; None for all children.

        Raises:
            TargetError: not a target, or one that means the first available process.
            RuntimeError: a master is open.
        """
        check_called(target, "signals.on_start()")
        parsed = None if target is None else parse_fixed(target)
        self._before_the_fork("a start hook")

        def decorate(hook: F) -> F:
            check_callable(hook, "a start hook")
            self._app.hooks.append((parsed, hook))
            return hook

        return decorate

    def service(self, target: str) -> Callable[[S], S]:
        """Decorate an async function that runs for the life of each matching child, or of the master, or on one node.

        In a child it is called without arguments, before the child is ready, and cancelled when the child ends. If it
        raises, the child ends and is replaced. In the master it is called with the `Master`, once every child is ready,
        and cancelled when the shutdown begins. If it raises, the master shuts down in order and raises that error.
        With `leader` it runs in the master of one node of the cluster, which is called with the `Master` and a fencing
        token: a number that is larger than that of every leader before. It is cancelled when the lease of the node was
        not renewed in time, before another node may lead, and when the shutdown begins. If it raises, the error is
        logged, and another node, or this one after a pause, begins anew.

        A service that takes `task_status` is started with `nursery.start`, any other with `nursery.start_soon`.

        Args:
            target: one that names fixed processes, such as `workers`; `farm_busy` means all its members. Or `master`
                or `leader`.

        Raises:
            TargetError: not a target, or one that means the first available process.
            RuntimeError: a master is open.
        """
        check_called(target, "signals.service('workers')")
        parsed = None if target in (MASTER, LEADER) else parse_fixed(target)
        self._before_the_fork("a service")

        def decorate(service: S) -> S:
            if target == LEADER:
                check_leader_service(service)
                self._app.leader_services.append(service)
            elif parsed is None:
                check_master_service(service)
                self._app.master_services.append(service)
            else:
                check_callable(service, "a service")
                check_async(service, "a service")
                self._app.services.append((parsed, service))
            return service

        return decorate

    def _before_the_fork(self, what: str) -> None:
        if self._app.verbs is not None:
            raise RuntimeError(f"{what} is declared before the master opens: the processes are forked with it")

    # Event sources

    def add_source(self, source: EventSource) -> EventSource:
        """Let a source raise signals: with every master that opens later, or with the running one from now on.

        Added while a master runs, it belongs to that one only, and added in a child it ends with the child. One that
        has ended by itself, or was removed, may be added again.

        Raises:
            TypeError: not an `EventSource`, one whose `run` is not `async def run(self, send)`, or in a child one that
                only the master can run.
            ValueError: it has been added already.
            OSError: the kernel refuses what it needs.
            trio.ClosedResourceError: the master is shutting down.
            RuntimeError: in the master, but not in the thread that runs it.
        """
        check_source(source)
        if self._app.verbs is not None:
            self._app.verbs.add_source(source)
        elif key_of(source) in self._app.sources:
            raise ValueError(f"{describe(source)} has been added already")
        else:
            self._app.sources[key_of(source)] = source
        return source

    def remove_source(self, source: EventSource) -> None:
        """Take a source back, in any process that knows it, whichever added it; from later masters too.

        Raises:
            TypeError: not an `EventSource`.
            ValueError: it was not added, was removed before, or has ended.
            RuntimeError: in the master, but not in the thread that runs it.
        """
        check_source(source)
        key = key_of(source)
        if self._app.verbs is not None:
            self._app.verbs.remove_source(key)
        elif self._app.sources.pop(key, None) is None:
            raise ValueError(f"{describe(source)} is not running: it was not added, or was removed before")

    def pause_source(self, source: EventSource) -> None:
        """Let a running source raise no signals until `resume_source`; in any process that knows it.

        What happens meanwhile is lost, and the statistics count it as missed. Timers keep their grid. A signal that
        waits for room in the master's queue already is still raised. The pause ends with the source.

        Raises:
            TypeError: not an `EventSource`.
            ValueError: it does not run.
            RuntimeError: in the master, but not in the thread that runs it.
        """
        self._pause(source, paused=True)

    def resume_source(self, source: EventSource) -> None:
        """Let a source that was paused raise signals again; no change if it was not.

        Raises:
            TypeError, ValueError, RuntimeError: as `pause_source`.
        """
        self._pause(source, paused=False)

    def _pause(self, source: EventSource, *, paused: bool) -> None:
        check_source(source)
        if self._app.verbs is None:
            raise ValueError(f"{describe(source)} is not running: no master is open")
        self._app.verbs.pause_source(key_of(source), paused=paused)


def application_of(signals: object) -> Application:
    """What the master works with.

    Raises:
        TypeError: not a `Signals`.
    """
    if not isinstance(signals, Signals):
        raise TypeError(f"a master is opened with an instance of trisig.Signals, not {signals!r}")
    return signals._app  # noqa: SLF001  the one door from the public object to its declarations
