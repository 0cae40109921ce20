"""The messages between the master and a child, and their one encoding.

    Begin     master -> child   the job of a new process
    Request   child -> master   a question; the child blocks until it has the `Answer`
    Notice    child -> master   needs no answer
    Push      master -> child   what the child did not ask for

Both sides dispatch by class, so a message that is added here and handled nowhere is an error that names it. What
cannot be decoded is a `MessageError`: nothing is ignored silently.

JSON of the standard library, because it takes any text: a message or a traceback may hold lone surrogates, which
msgspec refuses. Structs, because a dataclass takes half a millisecond of each start to make.
"""

# No `from __future__ import annotations`: `decode` checks the fields against their types.
import json
from types import UnionType
from typing import Any, get_origin

import msgspec

MESSAGE_BYTES = 131_072  # the longest message that is received
TEXT_CHARS = MESSAGE_BYTES // 16  # of the longest text; a character may take twelve bytes


class MessageError(ValueError):
    """Bytes that are no message: unknown, incomplete, or with a field of another type."""


class Begin(msgspec.Struct, frozen=True):
    """Become the process of a slot, named like `worker3`."""

    name: str


class Request(msgspec.Struct, frozen=True):
    """A question of a child."""


class Notice(msgspec.Struct, frozen=True):
    """What a child reports."""


class Answer(msgspec.Struct, frozen=True):
    """The master's answer to a request."""


class Push(msgspec.Struct, frozen=True):
    """What the master sends unasked."""


# Requests, and their answers


class Hello(Request, frozen=True):
    """The process runs, and takes pushes from now on: answered with `Welcome`."""


class Ready(Request, frozen=True):
    """Hooks and services have started: signals may come."""


class Register(Request, frozen=True):
    """Enter a signal whose handler only this process has: answered with `Registered`."""

    signum: int
    target: str
    handling: dict[str, Any]


class Unregister(Request, frozen=True):
    """Remove the entry of a signal."""

    signum: int


class AddSource(Request, frozen=True):
    """Run an event source, described by `to_spec()`, for as long as this process lives."""

    spec: dict[str, Any]


class RemoveSource(Request, frozen=True):
    """Stop the event source with that key."""

    key: str


class AcquireLock(Request, frozen=True):
    """A task wants a lock: answered with `Locked`, whether it has it now.

    If not, and `wait` is true, it stands in line until it is sent `GrantLock` or sends `ReleaseLock`. `key` names the
    claim, and `task` the task or thread, in this process.
    """

    lock: int | str
    key: int
    task: int
    wait: bool


class AskLocked(Request, frozen=True):
    """Whether anybody holds a lock: answered with `Locked`."""

    lock: int | str


class PauseSource(Request, frozen=True):
    """Let the event source with that key pause, or go on."""

    key: str
    paused: bool


class Accept(Request, frozen=True):
    """Accept all that this process has raised until now, before the answer."""


class AskEvent(Request, frozen=True):
    """What raised the signal that the lane gave a number: answered with `EventIs`."""

    number: int


class EventIs(Answer, frozen=True):
    """The parts of an `Event`; empty if there is none."""

    parts: list[Any]


class AskNodes(Request, frozen=True):
    """The nodes of the cluster: answered with `NodesAre`."""


class NodesAre(Answer, frozen=True):
    """The parts of each `NodeInfo`."""

    nodes: list[Any]


class Done(Answer, frozen=True):
    """It is done."""


class Welcome(Answer, frozen=True):
    """Answers `Hello`.

    Attributes:
        draining: the master is shutting down already.
        log_level: the least level to log; empty for the one that was inherited.
        slow_handler: seconds after which a handler is named in the log; None for never.
    """

    draining: bool
    log_level: str = ""
    slow_handler: float | None = None


class Registered(Answer, frozen=True):
    """Answers `Register`; `change`: which change of the table made the entry."""

    change: int


class Locked(Answer, frozen=True):
    """Answers `AcquireLock`: by this claim; and `AskLocked`: by anybody."""

    locked: bool


class Refused(Answer, frozen=True):
    """What was asked for raised an error; its class by name, and its arguments."""

    error: str
    arguments: list[Any]


# Notices


class StartWait(Notice, frozen=True):
    """A task waits for an unregistered signal: the next one, or the next of one number."""

    key: int
    signum: int | None


class EndWait(Notice, frozen=True):
    """The wait with that key is over; `took`: its task has the signal that it was granted."""

    key: int
    took: bool


class AwaitStored(Notice, frozen=True):
    """A task waits until the cluster has what this process has raised until now: it is sent `Stored`."""

    key: int


class StartReceive(Notice, frozen=True):
    """A task wants the next message of some boxes, by their numbers."""

    key: int
    boxes: list[int]


class EndReceive(Notice, frozen=True):
    """That is over; `took`: the task has the message that it was handed."""

    key: int
    took: bool


class ReleaseLock(Notice, frozen=True):
    """The claim with that key is given up, whether it holds its lock or waits for it."""

    key: int


class Quiet(Notice, frozen=True):
    """The services have ended, and all that they raised is in the pipe."""


class Leaving(Notice, frozen=True):
    """Somebody else than the master has asked the process to end, by SIGTERM."""


class Worn(Notice, frozen=True):
    """The process has reached a limit of its life, and wants to be replaced."""

    why: str


class StartFailed(Notice, frozen=True):
    """The process ends before it was ready."""

    traceback: str
    summary: str


# Pushes


class Grant(Push, frozen=True):
    """The wait with that key gets a signal."""

    key: int
    signum: int


class GrantLock(Push, frozen=True):
    """The claim with that key waited, and has its lock now."""

    key: int


class HandlerPart(Push, frozen=True):
    """A part of a handler that was registered in the master after the fork; `more`: another part follows.

    `change` is the change of the table that registered it, and `part` a piece of the pickled handler in Base64.
    """

    signum: int
    change: int
    part: str
    more: bool


class HandlersSent(Push, frozen=True):
    """All handlers up to that count of registrations have been sent."""

    count: int


class Stored(Push, frozen=True):
    """The cluster has what the task with that key waits for."""

    key: int


class Drain(Push, frozen=True):
    """A shutdown has begun: end the services."""


class Leave(Push, frozen=True):
    """Begin nothing more, and end when what runs has ended."""


class SetLogLevel(Push, frozen=True):
    """The least level to log."""

    level: str


class Ring(Push, frozen=True):
    """Ring the bell, so that the master looks at the marks."""


Message = Begin | Request | Notice | Answer | Push

_BY_NAME: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *(
            Begin,
            Hello,
            Ready,
            Register,
            Unregister,
            AddSource,
            RemoveSource,
            PauseSource,
            Accept,
            Done,
            Welcome,
            Registered,
            Refused,
        ),
        *(StartWait, EndWait, StartReceive, EndReceive, Quiet, Leaving, Worn, StartFailed),
        *(Grant, HandlerPart, HandlersSent, Drain, Leave, Ring, SetLogLevel),
        *(AskEvent, EventIs),
        *(AskNodes, NodesAre, AwaitStored, Stored),
        *(AcquireLock, AskLocked, Locked, ReleaseLock, GrantLock),
    )
}


def encode(message: Message) -> bytes:
    """The bytes of a message: its name and its fields."""
    return json.dumps([type(message).__name__, *msgspec.structs.astuple(message)]).encode()


def decode(data: bytes) -> Message:
    """The message that some bytes stand for.

    Raises:
        MessageError: none that is known, or not with these fields.
    """
    try:
        name, *values = json.loads(data)
        kind = _BY_NAME[name]
        if all(
            _is_a(value, kind.__annotations__[name]) for value, name in zip(values, kind.__struct_fields__, strict=True)
        ):
            message: Message = kind(*values)
            return message
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    raise MessageError(f"not a message between master and child: {data[:80]!r}")


def _is_a(value: object, kind: Any) -> bool:
    return isinstance(value, kind if isinstance(kind, UnionType) else get_origin(kind) or kind)


def end_of(text: str) -> str:
    """As much of the end of a text as fits into a message."""
    return text[-TEXT_CHARS:]
