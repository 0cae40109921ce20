"""`send_nowait` from a handler of a Unix signal, which the interpreter may run between any two bytecodes.

The interruption is not left to chance: the signal is raised at each bytecode in turn of the code that it must not harm.
"""

import mmap
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any

import pytest
import trio
from witness import eventually

import trisig
from trisig._ipc.inlets import NotedPipeInlet, PipeInlet
from trisig._ipc.raiser import Raiser
from trisig._journal.outbox import Outbox
from trisig._master import raiser as master_raiser
from trisig._master.dispatcher import Dispatcher
from trisig._master.pool import Pool
from trisig._master.raiser import HereInlet, OwnPipe
from trisig._master.slots import Slot
from trisig._model.lane import Lane
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.waiters import Waiters

LOAD, INTERRUPTING, GO = 1, 2, 3
SENT = 600
WRITERS = (Raiser, PipeInlet, NotedPipeInlet, Outbox)
ACCOUNTS = (HereInlet, OwnPipe, Dispatcher, Slot, Pool, Ledger, Lane, Queue, Waiters)


def codes_of(owners: tuple[type, ...]) -> set[CodeType]:
    """The code of every function of some classes."""
    members = [member for owner in owners for member in vars(owner).values()]
    functions = [member.fget if isinstance(member, property) else member for member in members]
    return {function.__code__ for function in functions if isinstance(function, FunctionType)}


class Interruptions:
    """Raises SIGUSR1 in this process, once, at the n-th bytecode of some functions after it was armed.

    Args:
        codes: of the functions.
    """

    def __init__(self, codes: set[CodeType]) -> None:
        self._codes = codes
        self._left = 0

    def arm(self, position: int) -> None:
        """Interrupt at that bytecode from now on."""
        self._left = position

    def _tick(self, *_: object) -> None:
        if self._left and threading.current_thread() is threading.main_thread():
            self._left -= 1
            if not self._left:
                signal.raise_signal(signal.SIGUSR1)

    @contextmanager
    def at_work(self, handler: Callable[[], None]) -> Iterator[None]:
        """Interrupt what the block does."""
        before = signal.signal(signal.SIGUSR1, lambda *_: handler())
        try:
            with self._traced():
                yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    @contextmanager
    def _traced(self) -> Iterator[None]:
        if sys.version_info >= (3, 12):  # f_trace_opcodes stops early there
            monitoring, tool = sys.monitoring, 4
            instruction = monitoring.events.INSTRUCTION
            monitoring.use_tool_id(tool, "interruptions")
            monitoring.register_callback(tool, instruction, self._tick)
            try:
                for code in self._codes:
                    monitoring.set_local_events(tool, code, instruction)
                yield
            finally:
                for code in self._codes:
                    monitoring.set_local_events(tool, code, 0)
                monitoring.register_callback(tool, instruction, None)
                monitoring.free_tool_id(tool)
        else:
            before = sys.gettrace()
            sys.settrace(self._enter)
            try:
                yield
            finally:
                sys.settrace(before)

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if frame.f_code not in self._codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._opcode

    def _opcode(self, _frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        if event == "opcode":
            self._tick()
        return self._opcode


class Counts:
    """What was raised and refused in a handler of SIGUSR1, in memory that all processes share."""

    def __init__(self, signals: trisig.Signals) -> None:
        self._signals = signals
        self._words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def interrupt(self) -> None:
        """Raise a signal, as the handler of SIGUSR1 does."""
        try:
            self._signals.send_nowait(INTERRUPTING)
        except trio.WouldBlock:
            self._words[1] += 1
        else:
            self._words[0] += 1

    @property
    def raised(self) -> int:
        return self._words[0]

    @property
    def refused(self) -> int:
        return self._words[1]


def application() -> tuple[trisig.Signals, Counts]:
    """Signals that a mule handles."""
    signals = trisig.Signals()
    for signum in (LOAD, INTERRUPTING):
        signals.register(signum, "mule1", lambda _signum: None)
    return signals, Counts(signals)


async def interrupt_the_master(
    signals: trisig.Signals, counts: Counts, journal: Path | None
) -> trisig.MasterStatistics:
    """Raise signals in the master, each interrupted at another bytecode of its accounting."""
    interruptions = Interruptions(codes_of(ACCOUNTS))
    async with trisig.open_master(signals, mules=1, journal=journal) as master:
        with interruptions.at_work(counts.interrupt):
            for position in range(1, SENT + 1):
                interruptions.arm(position)
                if position % 2:
                    await signals.send(LOAD)
                else:
                    signals.send_nowait(LOAD)
    return master.statistics()


@pytest.mark.parametrize("journaled", [False, True], ids=["no journal", "journal"])
async def test_a_unix_signal_in_the_middle_of_the_master_s_accounting(tmp_path: Path, *, journaled: bool) -> None:
    """Whatever is interrupted: each signal that was taken in is handled once, and the counts add up."""
    signals, counts = application()
    end = await interrupt_the_master(signals, counts, tmp_path / "journal" if journaled else None)
    assert counts.raised > 200  # each at another bytecode
    assert (end.accepted, end.done) == (SENT + counts.raised, SENT + counts.raised)
    assert end.signals[INTERRUPTING].done == counts.raised


async def test_accounting_that_is_entered_twice_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: taken straight into the dispatcher, such signals break it."""
    monkeypatch.setattr(master_raiser, "interrupts_trisig", lambda _frame: False)
    signals, counts = application()
    broken = True
    with suppress(Exception), trio.move_on_after(10):
        end = await interrupt_the_master(signals, counts, None)
        broken = end.done != SENT + counts.raised
    assert broken


@pytest.mark.parametrize("journaled", [False, True], ids=["no journal", "journal"])
async def test_a_unix_signal_in_the_middle_of_raising_in_a_child(tmp_path: Path, *, journaled: bool) -> None:
    """It is taken in, or with a journal refused by `WouldBlock`; nothing is lost, and the process never hangs."""
    signals, counts = application()

    @signals.handler(GO, target="worker1")
    def go(_signum: int) -> None:
        interruptions = Interruptions(codes_of(WRITERS))
        with interruptions.at_work(counts.interrupt):
            for position in range(1, SENT + 1):
                interruptions.arm(position % 150 + 1)
                signals.send_nowait(LOAD)

    journal = tmp_path / "journal" if journaled else None
    async with trisig.open_master(signals, mules=1, journal=journal) as master:
        await signals.send(GO)
        await eventually(lambda: master.statistics().signals[GO].done == 1)
    end = master.statistics()
    assert counts.raised > 10
    assert (counts.refused > 0) is journaled
    assert (end.signals[LOAD].done, end.signals[INTERRUPTING].done) == (SENT, counts.raised)
    assert (end.failed, end.processes["worker1"].respawns) == (0, 0)


async def test_several_threads_raise_through_a_journal_at_once(tmp_path: Path) -> None:
    """Threads wait for each other for a moment, and are never refused: only an interrupted call is."""
    signals, counts = application()

    @signals.handler(GO, target="worker1")
    async def go(_signum: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(trio.to_thread.run_sync, raise_many)

    def raise_many() -> None:
        for _ in range(500):
            counts.interrupt()

    async with trisig.open_master(signals, mules=1, journal=tmp_path / "journal") as master:
        await signals.send(GO)
        await eventually(lambda: master.statistics().signals[GO].done == 1)
    assert counts.refused == 0
    assert master.statistics().signals[INTERRUPTING].done == 2000


async def test_a_dead_letter_s_callback_may_raise_signals() -> None:
    """What trisig calls in the middle of its own accounting is taken in like an interruption."""
    signals, counts = application()

    @signals.handler(GO, target="worker1")
    def end(_signum: int) -> None:
        raise SystemExit(3)

    async with trisig.open_master(
        signals, mules=1, max_attempts=1, on_dead_letter=lambda _letter: counts.interrupt()
    ) as master:
        await signals.send(GO)
        await eventually(lambda: master.statistics().signals[INTERRUPTING].done == 1)
    assert counts.raised == 1
