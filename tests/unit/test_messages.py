"""The messages between master and child: one encoding, and nothing that is ignored silently."""

import logging
from collections import Counter
from typing import Any

import msgspec
import pytest

from trisig._ipc import messages
from trisig._ipc.messages import (
    Accept,
    AcquireLock,
    AddSource,
    Answer,
    AskEvent,
    AskLocked,
    AskNodes,
    AwaitStored,
    Begin,
    Done,
    Drain,
    EndReceive,
    EndWait,
    EventIs,
    Grant,
    GrantLock,
    HandlerPart,
    HandlersSent,
    Hello,
    Leave,
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
    Refused,
    Register,
    Registered,
    ReleaseLock,
    RemoveSource,
    Request,
    Ring,
    SetLogLevel,
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
from trisig._ipc.refusal import error_of, refusal_of
from trisig._ipc.runtime_handlers import RuntimeHandlers
from trisig._master.registry import Registry
from trisig._master.requests import RequestHandler
from trisig._model.errors import SignalTableError, TargetError
from trisig._model.event import Event
from trisig._model.handling import Handling
from trisig._model.ledger import Ledger
from trisig._model.locks import Locks
from trisig._model.mailboxes import Mailboxes
from trisig._model.table import WORDS, Table
from trisig._model.targets import Topology, parse
from trisig._model.waiters import Waiters

PLAIN = {"overlap": "one", "retry": [1, 60, 5, 0.5]}

ALL: list[Message] = [
    *(Begin("worker3"), Hello(), Ready(), Register(17, "farm_busy", PLAIN), Unregister(17), RemoveSource("key")),
    PauseSource("key", paused=True),
    *(
        AddSource({"kind": "cron", "when": ["* * * * *"]}),
        Done(),
        Welcome(draining=True, log_level="debug", slow_handler=0.5),
        Registered(3),
    ),
    *(Refused("OSError", [2, "no such file", None]), StartWait(0, None), StartWait(1, 255), EndWait(1, took=False)),
    *(
        StartReceive(1, [2, 3]),
        EndReceive(1, took=True),
        Accept(),
        Quiet(),
        Leaving(),
        Worn("is old"),
        StartFailed("Traceback \udcff\u20ac", "ValueError"),
        Grant(1, 255),
    ),
    *(HandlerPart(17, 4, "QUJD", more=True), HandlersSent(2), Drain(), Leave(), Ring(), SetLogLevel("debug")),
    *(AskEvent(7), EventIs(["timer \udcff", 1.5, 0, None, None]), EventIs([])),
    *(AskNodes(), NodesAre([["web1", "f00", 1.5, "up"]]), AwaitStored(3), Stored(3)),
    *(AcquireLock(0, 1, 2, wait=True), AskLocked("db \udcff"), Locked(locked=False), ReleaseLock(1), GrantLock(1)),
]


@pytest.mark.parametrize("message", ALL, ids=repr)
def test_a_message_comes_out_as_it_went_in(message: Message) -> None:
    """Every message survives the way to the other process, whatever text is in it."""
    assert decode(encode(message)) == message


def test_the_list_above_is_complete() -> None:
    """Each class of message is tried."""
    kinds = {kind for kind in vars(messages).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)}
    assert kinds - {Answer, Notice, Push, Request} == {type(message) for message in ALL}


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff", b"null", b"7", b"{}", b"[]", b'["Nothing"]', b'["MessageError"]', b'["Push"]', b"[[]]"),
        *(b'["Grant"]', b'["Grant",1]', b'["Grant",1,2,3]', b'["Grant","1",2]', b'["StartWait",1,"x"]', b"[" * 100_000),
    ],
    ids=repr,
)
def test_what_is_no_message_is_an_error(data: bytes) -> None:
    """Other bytes, an unknown name, a missing or superfluous field and a field of another type are refused."""
    with pytest.raises(MessageError, match="not a message"):
        decode(data)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (TargetError("no such worker"), TargetError("no such worker")),
        (SignalTableError("taken"), SignalTableError("taken")),
        (PermissionError(13, "denied", "/a"), PermissionError(13, "denied", "/a")),
        (ZeroDivisionError("odd"), RuntimeError("odd")),
        (MessageError("odd"), RuntimeError("odd")),
    ],
)
def test_an_error_is_raised_where_the_child_asked(error: Exception, raised: Exception) -> None:
    """The child raises the master's error as the same class, or as a RuntimeError where that class does not travel."""
    refused = decode(encode(refusal_of(error)))
    assert isinstance(refused, Refused)
    again = error_of(refused)
    assert (type(again), again.args) == (type(raised), raised.args)


class Asker:
    """A child as the master knows it, which notes what is done for it."""

    name = "worker1"

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.pushed: list[Push] = []

    def said_hello(self) -> None:
        self.calls["hello"] += 1

    def said_ready(self) -> None:
        self.calls["ready"] += 1

    def event_of(self, number: int) -> Event | None:
        return Event("timer", 1.5) if number == 7 else None

    def said_quiet(self) -> None:
        self.calls["quiet"] += 1

    def said_leave(self) -> None:
        self.calls["leave"] += 1

    def said_worn(self, why: str) -> None:
        self.calls[why] += 1

    def said_failed(self, traceback: str, summary: str) -> None:
        if summary == "cannot":
            raise LookupError(summary)
        self.calls[f"{traceback} {summary}"] += 1

    def push(self, message: Push) -> None:
        self.pushed.append(message)


class NoSources:
    """Sources of which there are none."""

    def end_with(self, signum: int) -> None: ...

    def end_of(self, owner: str) -> None: ...


class Queues:
    """What tasks wait for."""

    def __init__(self, waiters: Waiters) -> None:
        self.waiters = waiters
        self.mailboxes = Mailboxes([], 0, Ledger(), lambda *_: None, lambda: None)


class Master:
    """A request handler with a real table, and what it answers."""

    def __init__(self) -> None:
        self.table = Table(memoryview(bytearray(8 * WORDS)).cast("Q"))
        self.steps: list[str] = []
        handlers = RuntimeHandlers(memoryview(bytearray(8)).cast("Q"), lambda push: self.steps.append(repr(push)))
        sources: Any = NoSources()
        self.registry = Registry(Topology(), self.table, handlers, sources, lambda: self.steps.append("refresh"))
        self.forgotten: list[int] = []
        waiters = Waiters(Ledger(), lambda *_: None)
        self.handler = RequestHandler(
            self.registry, Queues(waiters), Locks(lambda *_: None), handlers, self.forgotten.append
        )
        self.asker = Asker()

    def ask(self, data: bytes) -> Message | None:
        """The answer to a message of the child."""
        answer = self.handler.answer(self.asker, data)
        return None if answer is None else decode(answer)


def test_each_request_has_its_answer_and_a_notice_has_none() -> None:
    """Hello is welcomed, an entry is made for the child that asks, and notices are only taken."""
    master = Master()
    assert master.ask(encode(Hello())) == Welcome(draining=False)
    assert master.asker.pushed == [HandlersSent(0)]
    assert master.ask(encode(Register(5, "workers", PLAIN))) == Registered(1)
    entry = master.table[5]
    assert entry is not None
    assert entry.owner == "worker1"
    assert master.ask(encode(Unregister(5))) == Done()
    assert master.forgotten == [5]
    for notice in (
        Quiet(),
        Leaving(),
        Worn("is old"),
        StartReceive(0, []),
        EndReceive(0, took=False),
        StartWait(0, None),
        EndWait(0, took=False),
        StartFailed("text", "end"),
    ):
        assert master.ask(encode(notice)) is None
    assert master.asker.calls == {"hello": 1, "quiet": 1, "leave": 1, "is old": 1, "text end": 1}


def test_what_raised_a_signal_is_asked_by_its_number() -> None:
    """The answer has the parts of the event, and none for a signal that nobody raised an event for."""
    master = Master()
    assert master.ask(encode(AskEvent(7))) == EventIs(["timer", 1.5, 0, None, None])
    assert master.ask(encode(AskEvent(8))) == EventIs([])


def test_a_handler_is_on_its_way_before_a_signal_is_routed_to_it() -> None:
    """A registration in the master changes the table, sends the handler, and only then refreshes the routes."""
    master = Master()
    master.registry.register(5, parse("worker"), Handling(), b"code")
    assert [step.split("(")[0] for step in master.steps] == ["HandlerPart", "HandlersSent", "refresh"]


@pytest.mark.parametrize("data", [b"nonsense", b'["Register","17","worker"]', b'["Unknown"]'])
def test_the_master_answers_and_logs_what_it_cannot_use(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no message get an error for an answer, change nothing, and the log names the child."""
    master = Master()
    with caplog.at_level(logging.ERROR, "trisig"):
        answer = master.ask(data)
    assert isinstance(answer, Refused)
    assert "not a message" in str(error_of(answer))
    assert caplog.messages[0].startswith("worker1: the master cannot use what it sent: not a message")
    assert not list(master.table)


def test_a_message_for_children_is_refused_by_the_master() -> None:
    """A push that comes from a child is an error that names it."""
    answer = Master().ask(encode(Grant(1, 2)))
    assert isinstance(answer, Refused)
    assert "Grant(key=1, signum=2)" in str(error_of(answer))


def test_a_notice_that_cannot_be_carried_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for an answer to a notice, so its failure is in the log with a traceback."""
    master = Master()
    with caplog.at_level(logging.ERROR, "trisig"):
        assert master.ask(encode(StartFailed("", "cannot"))) is None
    assert "worker1: the master cannot use what it sent: StartFailed" in caplog.messages[0]
    assert caplog.records[0].exc_info is not None
