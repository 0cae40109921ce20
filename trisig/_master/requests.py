"""What children ask of the master, and the answers. Each answer is given at once; nothing here waits.

A child is trusted as far as its own mistakes go: whatever it sends wrongly is answered with an error, and
changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any, Protocol

from trisig._ipc.messages import (
    Accept,
    AcquireLock,
    AddSource,
    Answer,
    AskEvent,
    AskLocked,
    AskNodes,
    AwaitStored,
    Done,
    EndReceive,
    EndWait,
    EventIs,
    Hello,
    Leaving,
    Locked,
    Message,
    MessageError,
    NodesAre,
    Notice,
    PauseSource,
    Push,
    Quiet,
    Ready,
    Register,
    Registered,
    ReleaseLock,
    RemoveSource,
    StartFailed,
    StartReceive,
    StartWait,
    Stored,
    Unregister,
    Welcome,
    Worn,
    decode,
    encode,
)
from trisig._ipc.refusal import refusal_of
from trisig._ipc.runtime_handlers import RuntimeHandlers
from trisig._model.event import Event
from trisig._model.handling import Handling
from trisig._model.locks import Claim, Locks
from trisig._model.mailboxes import Mailboxes
from trisig._model.targets import parse
from trisig._model.waiters import Waiters
from trisig._sources import from_spec
from trisig._sources.kinds import missing_modules
from trisig._util.ki_protection import ki_protected

from .extras import Cluster
from .registry import Registry

log = logging.getLogger("trisig")


class Asker(Protocol):
    """The child that asks, as the master knows it."""

    name: str

    def said_hello(self) -> None: ...
    def said_ready(self) -> None: ...
    def said_quiet(self) -> None: ...
    def said_leave(self) -> None: ...
    def said_worn(self, why: str) -> None: ...
    def said_failed(self, traceback: str, summary: str) -> None: ...
    def event_of(self, number: int) -> Event | None: ...
    def push(self, message: Push) -> None: ...


class Waiting(Protocol):
    """Where tasks that wait get signals and messages from."""

    @property
    def waiters(self) -> Waiters: ...
    @property
    def mailboxes(self) -> Mailboxes: ...


@ki_protected
class RequestHandler:
    """Answers the children's requests, and takes their notices.

    Args:
        registry: what they change.
        destinations: where their waiting tasks get signals and messages from.
        locks: what their tasks hold.
        handlers: what a new process has to be sent.
        forget: called when a child has unregistered what the application may have declared.

    Attributes:
        draining: whether a shutdown has begun.
        log_level: that new processes shall have; empty for the one that they inherit.
        slow_handler: seconds after which processes name a handler in the log; None for never.
        cluster: that of the master; None if there is none.
    """

    def __init__(
        self,
        registry: Registry,
        destinations: Waiting,
        locks: Locks,
        handlers: RuntimeHandlers,
        forget: Callable[[int], object],
    ) -> None:
        self._registry = registry
        self._waiters, self._mailboxes = destinations.waiters, destinations.mailboxes
        self._locks = locks
        self._handlers = handlers
        self._forget = forget
        self.draining = False
        self.log_level = ""
        self.slow_handler: float | None = None
        self.cluster: Cluster | None = None
        self._on_message: dict[type, Callable[[Asker, Any], Answer | None]] = {
            Hello: self._hello,
            Ready: self._ready,
            Register: self._register,
            Unregister: self._unregister,
            AddSource: self._add_source,
            RemoveSource: self._remove_source,
            PauseSource: self._pause_source,
            StartWait: self._start_wait,
            EndWait: self._end_wait,
            StartReceive: lambda asker, asked: self._mailboxes.ask(asker.name, asked.key, tuple(asked.boxes)),
            EndReceive: lambda asker, asked: self._mailboxes.end(asker.name, asked.key, took=asked.took),
            AcquireLock: self._acquire_lock,
            ReleaseLock: lambda asker, released: locks.release(asker.name, released.key),
            AskEvent: self._event,
            AskNodes: self._nodes,
            AwaitStored: self._await_stored,
            AskLocked: lambda _, asked: Locked(locks.is_locked(asked.lock)),
            Accept: lambda _asker, _: None,  # its keeper reads what it has raised before each request
            Quiet: lambda asker, _: asker.said_quiet(),
            Leaving: lambda asker, _: asker.said_leave(),
            Worn: lambda asker, worn: asker.said_worn(worn.why),
            StartFailed: lambda asker, failed: asker.said_failed(failed.traceback, failed.summary),
        }

    def lacks(self, data: bytes) -> Sequence[str]:
        """The modules that have to be imported before a request can be answered.

        Args:
            data: the message of a child.
        """
        if AddSource.__name__.encode() not in data[:16]:
            return ()
        try:
            message = decode(data)
        except MessageError:
            return ()  # the answer says so
        return missing_modules([message.spec]) if isinstance(message, AddSource) else ()

    def answer(self, asker: Asker, data: bytes) -> bytes | None:
        """Do what a child asks.

        Args:
            asker: the child.
            data: its message.

        Returns:
            The answer to send, or None where none is expected.
        """
        try:
            message = decode(data)
        except MessageError as error:
            log.error("%s: the master cannot use what it sent: %s", asker.name, error)  # noqa: TRY400  ours, not its
            return encode(refusal_of(error))  # in case the child waits for an answer
        answer = self._act(asker, message)
        return None if isinstance(message, Notice) else encode(answer)

    def _act(self, asker: Asker, message: Message) -> Answer:
        try:
            act = self._on_message.get(type(message), _not_for_the_master)
            return act(asker, message) or Done()
        except Exception as error:
            if isinstance(message, Notice):
                log.exception("%s: the master cannot use what it sent: %s", asker.name, message)
            return refusal_of(error)

    def _hello(self, asker: Asker, _: Hello) -> Welcome:
        # Hello first: before it, nothing is pushed to the process.
        asker.said_hello()
        for message in self._handlers.all():
            asker.push(message)
        return Welcome(self.draining, self.log_level, self.slow_handler)

    def _ready(self, asker: Asker, _: Ready) -> None:
        asker.said_ready()

    def _register(self, asker: Asker, asked: Register) -> Registered:
        return Registered(
            self._registry.register_owned(
                asked.signum, parse(asked.target), Handling.from_plain(asked.handling), asker.name
            )
        )

    def _unregister(self, _asker: Asker, asked: Unregister) -> None:
        self._registry.unregister(asked.signum)
        self._forget(asked.signum)

    def _add_source(self, asker: Asker, asked: AddSource) -> None:
        self._registry.add_source(from_spec(asked.spec), asker.name)

    def _remove_source(self, _asker: Asker, asked: RemoveSource) -> None:
        self._registry.remove_source(asked.key)

    def _pause_source(self, _asker: Asker, asked: PauseSource) -> None:
        self._registry.pause_source(asked.key, paused=asked.paused)

    def _event(self, asker: Asker, asked: AskEvent) -> EventIs:
        event = asker.event_of(asked.number)
        return EventIs([] if event is None else list(astuple(event)))

    def _nodes(self, _asker: Asker, _: AskNodes) -> NodesAre:
        return NodesAre([] if self.cluster is None else [list(astuple(node)) for node in self.cluster.nodes])

    def _await_stored(self, asker: Asker, asked: AwaitStored) -> None:
        # Its keeper has read what it raised before that.
        if self.cluster is None:
            asker.push(Stored(asked.key))
        else:
            self.cluster.call_when_stored(lambda: asker.push(Stored(asked.key)))

    def _start_wait(self, asker: Asker, asked: StartWait) -> None:
        self._waiters.ask(asker.name, asked.key, asked.signum)

    def _end_wait(self, asker: Asker, asked: EndWait) -> None:
        self._waiters.end(asker.name, asked.key, took=asked.took)

    def _acquire_lock(self, asker: Asker, asked: AcquireLock) -> Locked:
        claim = Claim(asker.name, asked.key, asked.task, asked.lock)
        return Locked(self._locks.acquire(claim, wait=asked.wait))


def _not_for_the_master(_asker: Asker, message: Message) -> None:
    raise MessageError(f"the master takes no {message}")
