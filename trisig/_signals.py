"""`Signals`: what an application declares, and the verbs that every process uses.

The object is made in the master and forked with it. It has a link to the process that it finds itself in:
none before a master opens, the master's own verbs in the master, a child's in a child. Verbs go through the
link; declarations are kept here, so that they hold for every master that opens later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import trio

from . import _handlers
from ._errors import NoMasterError
from ._external import ExternalEvents
from ._handlers import Handler
from ._signum import SIGNALS, check_signum
from ._sources import EventSource, check_source, describe, is_tied, key_of
from ._table import full, taken, unknown
from ._targets import Target, Topology, parse, parse_fixed

H = TypeVar("H", bound=Handler)
F = TypeVar("F", bound=Callable[[], object])
S = TypeVar("S", bound=Callable[..., Awaitable[object]])


class Link(Protocol):
    """The verbs, as the process has them."""

    def send_nowait(self, signum: int) -> None: ...
    async def send(self, signum: int) -> None: ...
    async def wait(self, signum: int | None) -> int: ...
    def register(self, signum: int, target: str, handler: Handler) -> None: ...
    def unregister(self, signum: int) -> None: ...
    def is_registered(self, signum: int) -> bool: ...
    def free_signum(self) -> int: ...
    def add_source(self, source: EventSource) -> None: ...
    def remove_source(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Declaration:
    """A handler that was registered in the master."""

    target: Target
    handler: Handler


class Application:
    """What a `Signals` holds: declarations, and the link of the process that it is in."""

    def __init__(self) -> None:
        self.handlers: dict[int, Declaration] = {}
        self.hooks: list[tuple[Target | None, Callable[[], object]]] = []
        self.services: list[tuple[Target, Callable[..., Awaitable[object]]]] = []
        self.sources: dict[str, EventSource] = {}  # by key
        self.link: Link | None = None
        self.in_child = False
        self._has_master = False

    @contextmanager
    def opening(self) -> Iterator[None]:
        """One master at a time, from the moment on which it is asked for.

        Raises:
            trio.BusyResourceError: there is one already.
        """
        if self._has_master:
            raise trio.BusyResourceError(
                "these signals have an open master already; use another Signals for another master"
            )
        self._has_master = True
        try:
            yield
        finally:
            self._has_master = False

    def become_childs(self, link: Link) -> None:
        """This is a child now; its master is another process."""
        self.link, self.in_child, self._has_master = link, True, False

    def forget(self, signum: int) -> None:
        """Take back the handler of a signal, and the source that was made together with it."""
        self.handlers.pop(signum, None)
        for key in [key for key, source in self.sources.items() if is_tied(source, signum)]:
            del self.sources[key]

    def check(self, topology: Topology) -> None:
        """Everything that was declared must name processes that there will be.

        Raises:
            TargetError: something does not.
        """
        for declared in self.handlers.values():
            topology.members(declared.target)
        for target, _ in self.hooks:
            if target is not None:
                topology.members(target)
        for target, _ in self.services:
            topology.members(target)


class Signals(ExternalEvents):
    """The signals of one application.

    Register handlers, hooks and services, then open a master with it (`open_master`, `run`, or `trisig run`
    on the command line). Afterwards the same object works in every process of the tree.
    """

    def __init__(self) -> None:
        self._app = Application()

    # The table

    def register(self, signum: int, target: str, handler: Handler) -> None:
        """Set the handler of a signal and who runs it.

        Registered in the master before it opens, every process has the handler. Registered there later, it is
        sent to the processes, which works for functions whose closures can be pickled. Registered in a child,
        only that process can run it, and the entry ends with it.

        Args:
            signum: 0 to 255.
            target: who runs it: `worker` (the first available one), `workers`, `mule2`, `farm_busy` ...
            handler: a plain or async function of one argument, the signal number.

        Raises:
            TypeError, ValueError: not a signal number, or not a handler.
            TargetError: not a target, or one that the running master does not have.
            SignalTableError: the number is registered already.
            RuntimeError: in the master while it runs, but not in the thread that runs it.
        """
        check_signum(signum)
        parsed = parse(target)
        _handlers.check_handler(handler)
        if self._app.link is not None:
            self._app.link.register(signum, target, handler)
        elif signum in self._app.handlers:
            raise taken(signum)
        if not self._app.in_child:
            self._app.handlers[signum] = Declaration(parsed, handler)

    def handler(self, signum: int, target: str = "worker") -> Callable[[H], H]:
        """Decorate the handler of a signal; returns the function unchanged. See `register`."""
        check_signum(signum)
        parse(target)

        def decorate(handler: H) -> H:
            self.register(signum, target, handler)
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
        if self._app.link is not None:
            self._app.link.unregister(signum)
        elif signum not in self._app.handlers:
            raise unknown(signum)
        if not self._app.in_child:
            self._app.forget(signum)

    def is_registered(self, signum: int) -> bool:
        """Whether a signal has an entry in the table.

        Raises:
            TypeError, ValueError: not a signal number.
        """
        check_signum(signum)
        return self._app.link.is_registered(signum) if self._app.link is not None else signum in self._app.handlers

    def free_signum(self) -> int:
        """The lowest number that is not registered.

        Raises:
            SignalTableError: all 256 are.
        """
        if self._app.link is not None:
            return self._app.link.free_signum()
        for signum in range(SIGNALS):
            if signum not in self._app.handlers:
                return signum
        raise full()

    # Raising and waiting

    async def send(self, signum: int) -> None:
        """Raise a signal; returns once the master has it, and waits while its queue is full.

        Raises:
            TypeError, ValueError: not a signal number.
            NoMasterError: no master is open.
        """
        await self._linked("send", signum).send(signum)

    def send_nowait(self, signum: int) -> None:
        """Raise a signal from a plain function or a thread.

        Raises:
            TypeError, ValueError: not a signal number.
            trio.WouldBlock: the master's queue is full; the signal was not raised.
            NoMasterError: no master is open.
        """
        link = self._app.link
        if link is None:
            link = self._linked("send_nowait", signum)
        link.send_nowait(signum)

    async def wait(self, signum: int | None = None) -> int:
        """Wait for a signal and return its number.

        Without a number: the next signal that has no handler; such signals wait in the master, in order, for
        whoever asks first. With a number: the next time that it reaches this process; if it has a handler,
        after the handler ran here. A handler that waits lends its core to other handlers meanwhile; its
        `handler_timeout` goes on.

        Raises:
            TypeError, ValueError: not a signal number.
            NoMasterError: no master is open.
        """
        return await self._linked("wait", 0 if signum is None else signum).wait(signum)

    def _linked(self, verb: str, signum: int) -> Link:
        check_signum(signum)
        if self._app.link is None:
            raise NoMasterError(f"{verb}() needs a master; open one with trisig.open_master or trisig.run")
        return self._app.link

    # In every process

    def on_start(self, target: str | None = None) -> Callable[[F], F]:
        """Decorate a function, plain or async, that each matching child runs before its first signal.

        Args:
            target: one that names fixed processes, such as `workers` or `mule2`; None for all children.

        Raises:
            TargetError: not a target, or one that means the first available process.
            RuntimeError: a master is open.
        """
        parsed = None if target is None else parse_fixed(target)
        self._before_the_fork("a start hook")

        def decorate(hook: F) -> F:
            _handlers.check_callable(hook, "a start hook")
            self._app.hooks.append((parsed, hook))
            return hook

        return decorate

    def service(self, target: str) -> Callable[[S], S]:
        """Decorate an async function that runs for the life of each matching child.

        It is started before the child is ready, with `nursery.start` if it takes `task_status`, and cancelled
        when the child ends. If it raises, the child ends and is replaced.

        Args:
            target: one that names fixed processes, such as `workers`; `farm_busy` means all its members.

        Raises:
            TargetError: not a target, or one that means the first available process.
            RuntimeError: a master is open.
        """
        parsed = parse_fixed(target)
        self._before_the_fork("a service")

        def decorate(service: S) -> S:
            _handlers.check_callable(service, "a service")
            _handlers.check_async(service, "a service")
            self._app.services.append((parsed, service))
            return service

        return decorate

    def _before_the_fork(self, what: str) -> None:
        if self._app.link is not None:
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
        if self._app.link is not None:
            self._app.link.add_source(source)
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
        if self._app.link is not None:
            self._app.link.remove_source(key)
        elif self._app.sources.pop(key, None) is None:
            raise ValueError(f"{describe(source)} is not running: it was not added, or was removed before")


def application_of(signals: object) -> Application:
    """What the master works with.

    Raises:
        TypeError: not a `Signals`.
    """
    if not isinstance(signals, Signals):
        raise TypeError(f"a master is opened with an instance of trisig.Signals, not {signals!r}")
    return signals._app  # noqa: SLF001  the one door from the public object to its declarations
