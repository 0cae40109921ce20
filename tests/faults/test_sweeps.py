"""SIGKILL at every bytecode of a child's loop and of `send`, cancellation at every step of a master (see `stride`).

A storm hits any instruction by chance; a sweep hits each one in turn, between two bytecodes, with a real master
that goes on over all of them. Each has a negative control, in which the same eyes must see a loss.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

import pytest
import trio
from bytecode import codes_of
from kernel_view import children, descriptors
from restarts import NO_PAUSE, restarting
from stride import FIRST, STEP
from witness import words

import trisig
from trisig._api.signals import application_of
from trisig._child.runner import Runner
from trisig._child.verbs import ChildVerbs
from trisig._ipc.descriptors import MasterEnds
from trisig._ipc.raiser import Raiser
from trisig._master.restart import RestartPolicy
from trisig._model.lane import DONE, STARTED
from trisig._model.ledger import Ledger

pytestmark = pytest.mark.sweep

SOON = 20.0
PLAIN, ASIDE, FAILING, RAISING, RAISED, SLOW = 1, 2, 3, 4, 5, 6
_ROW = 16
# How long the way through the loop is depends a little on the scheduling of the two processes: a sweep ends when
# several positions in a row are not met.
MISSES = 5


class Bomb:
    """Kills its process at the n-th bytecode of some functions after it was armed; in memory that all share."""

    def __init__(self, codes: set[CodeType]) -> None:
        self._codes = codes
        self._words = words()

    def arm(self, position: int) -> None:
        self._words[0] = position

    @property
    def went_off(self) -> bool:
        return not self._words[0]

    def _tick(self, *_: object) -> None:
        left = self._words[0]
        if left:
            self._words[0] = left - 1
            if left == 1:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """In the child: from now on each bytecode ticks."""
        if sys.version_info >= (3, 12):  # f_trace_opcodes stops early there
            monitoring = sys.monitoring
            monitoring.use_tool_id(monitoring.DEBUGGER_ID, "bomb")
            monitoring.register_callback(monitoring.DEBUGGER_ID, monitoring.events.INSTRUCTION, self._tick)
            for code in self._codes:
                monitoring.set_local_events(monitoring.DEBUGGER_ID, code, monitoring.events.INSTRUCTION)
        else:
            sys.settrace(self._enter)

    def _enter(self, frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if frame.f_code not in self._codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._local

    def _local(self, _frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        if event == "opcode":
            self._tick()
        return self._local


class MarkedBefore:
    """Marks that say done when the handler has only been started: the order that loses."""

    def __init__(self, marks: memoryview) -> None:
        self._marks = marks

    def __setitem__(self, index: int, state: int) -> None:
        self._marks[index] = DONE if state == STARTED else state


class Rest(trio.abc.Instrument):
    """Tells, in memory that all share, whether this process waits for something to happen."""

    def __init__(self, word: memoryview) -> None:
        self._word = word
        word[0] = 0

    def before_io_wait(self, timeout: float) -> None:
        self._word[0] = timeout > 0

    def after_io_wait(self, timeout: float) -> None:
        self._word[0] = 0


class Target:
    """The application of the sweeps, with its effects in shared memory."""

    def __init__(
        self, codes: set[CodeType], *, target: str, mark_first: bool = False, count_first: bool = False
    ) -> None:
        self.signals = trisig.Signals()
        self._executions = words()
        self.returned = words()
        self._resting = words()
        self.bomb = Bomb(codes)
        self._mark_first = mark_first
        self._count_first = count_first
        self.signals.on_start("workers")(self._wake_up)
        handlers = {
            PLAIN: self._plain,
            ASIDE: self._aside,
            FAILING: self._failing,
            RAISING: self._raising,
            SLOW: self._slow,
        }
        for signum, handler in handlers.items():
            self.signals.register(signum, target, handler)
        self.signals.register(RAISED, "mule", self._plain)

    def executions(self, signum: int) -> int:
        """How often a handler came to its end, in all processes."""
        return sum(self._executions[signum::_ROW])

    def _count(self, signum: int) -> None:
        # A row for each process: two that add to one word at the same time would count one.
        process = trisig.current_process()
        self._executions[signum + _ROW * (process.number + 4 * (process.kind == "mule"))] += 1

    def at_rest(self, workers: int) -> bool:
        """Whether all workers wait for something to do."""
        return all(self._resting[1 : workers + 1])

    def at_an_end(self, workers: int) -> bool:
        """Whether all workers have come to the end of what they did, or one of them has come to its own."""
        return self.bomb.went_off or self.at_rest(workers)

    def _wake_up(self) -> None:
        number = trisig.current_process().number
        trio.lowlevel.add_instrument(Rest(self._resting[number : number + 1]))
        verbs = application_of(self.signals).verbs
        assert isinstance(verbs, ChildVerbs)
        runner = verbs._runner
        if self._mark_first:
            runner._marks = MarkedBefore(runner._marks)  # type: ignore[assignment]  # as far as it is used
        self.bomb.install()

    def _plain(self, signum: int) -> None:
        self._count(signum)

    async def _aside(self, signum: int) -> None:
        await trio.lowlevel.checkpoint()
        self._count(signum)

    async def _slow(self, signum: int) -> None:
        await trio.sleep(0.05)
        self._count(signum)

    def _failing(self, signum: int) -> None:
        self._count(signum)
        raise OSError("as it shall")

    async def _raising(self, signum: int) -> None:
        self.returned[RAISED] += self._count_first
        self.signals.send_nowait(RAISED)
        self.returned[RAISED] += 1
        await self.signals.send(RAISED)
        self.returned[RAISED] += not self._count_first
        self._count(signum)


async def until(reached: Callable[[], bool]) -> None:
    """Wait for what other processes do; no descriptor tells."""
    with trio.fail_after(SOON):
        while not reached():  # noqa: ASYNC110  of processes
            await trio.sleep(0.0005)


async def all_done(master: trisig.Master) -> trisig.MasterStatistics:
    """The statistics once nothing is pending."""

    def nothing_pending() -> bool:  # a look at the statistics would cost as much as what it waits for
        master._engine.core.dispatcher.read_marks()
        return not master._engine.core.ledger.pending

    await until(nothing_pending)
    return master.statistics()


class Tally:
    """What the positions of a sweep led to."""

    def __init__(self) -> None:
        self.met = self.losing = self.duplicating = self.worst = 0

    def add(self, extra: dict[int, int]) -> None:
        self.met += 1
        self.losing += any(count < 0 for count in extra.values())
        self.duplicating += any(count > 0 for count in extra.values())
        self.worst = max(self.worst, *extra.values())


async def sweep(target: Target, sent: list[int], *, workers: int, first: int = 1, step: int = 1) -> Tally:
    """Kill at the first, second, third ... bytecode while a few signals are handled; until there are no more."""
    tally, missed, position = Tally(), 0, first - step
    async with trisig.open_master(target.signals, workers=workers, mules=1, cores=2, max_attempts=1000) as master:
        while missed < MISSES:
            position += step
            await until(partial(ready_and_at_rest, master, target, workers))
            before = {signum: target.executions(signum) for signum in sent}
            target.bomb.arm(position)
            for signum in sent:
                target.signals.send_nowait(signum)
            await all_done(master)
            await until(partial(target.at_an_end, workers))
            went_off = target.bomb.went_off
            target.bomb.arm(0)
            if not went_off:
                missed += 1
                continue
            missed = 0
            tally.add({signum: target.executions(signum) - before[signum] - sent.count(signum) for signum in sent})
        end = await all_done(master)
    assert end.dead_lettered == 0
    return tally


def ready_and_at_rest(master: trisig.Master, target: Target, workers: int) -> bool:
    """Whether every slot is filled, and nobody does anything."""
    keepers = master._engine.children.keepers.values()
    return all(keeper.state == "ready" for keeper in keepers) and target.at_rest(workers)


@pytest.fixture(autouse=True)
def impatient(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Hundreds of deaths in a row: a master that neither tells nor slows down nor gives up."""
    caplog.set_level("CRITICAL", "trisig")
    with restarting(RestartPolicy(NO_PAUSE, tries=10_000)):
        yield


@pytest.mark.parametrize(
    ("target", "workers", "sent"),
    [("worker1", 1, [ASIDE, FAILING]), ("worker", 2, [PLAIN])],
    ids=["own queue", "shared queue"],
)
async def test_sigkill_at_every_bytecode_of_the_loop_loses_nothing(target: str, workers: int, sent: list[int]) -> None:
    """Wherever a child dies in its loop, every signal runs, and at most those that were running run twice."""
    application = Target(codes_of(Runner, Target._plain, Target._aside, Target._failing), target=target)
    tally = await sweep(application, sent, workers=workers, first=FIRST, step=STEP)
    assert tally.met * STEP > 150
    assert tally.losing == 0
    assert 0 < tally.duplicating < tally.met
    assert tally.worst <= 1  # each number is sent once a position: what was running runs twice, once


async def test_the_sweep_sees_a_mark_that_comes_too_early() -> None:
    """The negative control: marked done before the handler ran, signals are lost at many positions."""
    codes = codes_of(Runner, Target._plain, Target._aside, Target._failing)
    # One signal: with two, it depends on how they are read which positions are met.
    tally = await sweep(Target(codes, target="worker1", mark_first=True), [PLAIN], workers=1, step=2)
    assert tally.met > 25
    assert tally.losing > 1


async def raise_sweep(target: Target, first: int, step: int) -> tuple[int, int, int]:
    """Kill at every bytecode of both ways to raise; (positions, losing, worst surplus over what had returned)."""
    positions = losing = worst = missed = 0
    position = first - step
    async with trisig.open_master(target.signals, workers=1, mules=1, max_attempts=1000) as master:
        while missed < MISSES:
            position += step
            await until(partial(ready_and_at_rest, master, target, 1))
            arrived = arrivals(master)
            returned = target.returned[RAISED]
            target.bomb.arm(position)
            target.signals.send_nowait(RAISING)
            await all_done(master)
            await until(partial(target.at_an_end, 1))
            went_off = target.bomb.went_off
            target.bomb.arm(0)
            missed = 0 if went_off else missed + 1
            if went_off:
                positions += 1
                surplus = arrivals(master) - arrived - (target.returned[RAISED] - returned)
                losing += surplus < 0
                worst = max(worst, surplus)
    end = master.statistics()
    assert target.executions(RAISED) == end.signals[RAISED].accepted
    return positions, losing, worst


def arrivals(master: trisig.Master) -> int:
    """What has reached the master of what the worker raised: read now, since a handler's end is told elsewhere."""
    master._engine.children.keepers["worker1"].take_raised()
    return master.statistics().signals[RAISED].accepted


async def test_sigkill_at_every_bytecode_of_send_loses_nothing() -> None:
    """Wherever a raiser dies: what `send` or `send_nowait` returned from arrives, and at most one more."""
    target = Target(codes_of(Raiser, Target._raising), target="worker1")
    positions, losing, worst = await raise_sweep(target, FIRST, STEP)
    assert positions * STEP > 60
    assert losing == 0
    assert worst <= 1


async def test_the_sweep_sees_a_raise_that_returns_too_early() -> None:
    """The negative control: counted as returned before it is raised, signals are lost."""
    target = Target(codes_of(Raiser, Target._raising), target="worker1", count_first=True)
    positions, losing, _ = await raise_sweep(target, 1, 3)
    assert positions > 20
    assert losing > 2


# Cancellation


class Chop(trio.abc.Instrument):
    """Cancels a scope before the n-th step that any task takes."""

    def __init__(self, at: int) -> None:
        self.steps = 0
        self.scope = trio.CancelScope()
        self._at = at

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self.steps == self._at:
            self.scope.cancel()


async def one_life(at: int, grace: float, sent: tuple[int, ...]) -> tuple[int, list[str]]:
    """A master that handles a few signals and is cancelled at a step; the steps of it, and what was wrong after."""
    target = Target(set(), target="worker")
    wrong: list[str] = []
    master: trisig.Master | None = None
    fds, pids = len(descriptors()), children()
    chop = Chop(at)
    trio.lowlevel.add_instrument(chop)
    with chop.scope:
        async with trisig.open_master(target.signals, workers=1, mules=1, grace=grace) as master:
            for signum in sent:
                await target.signals.send(signum)
            await all_done(master)
    trio.lowlevel.remove_instrument(chop)
    if left := children() - pids:
        wrong.append(f"processes {left}")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # noqa: ASYNC222  it has been killed
    gc.collect()
    if len(descriptors()) != fds:
        wrong.append(f"{len(descriptors()) - fds} descriptors")
    if master is not None:
        end = master.statistics()
        if end.in_flight or end.done + end.queued != end.accepted:
            wrong.append(f"the ledger: {end.accepted} accepted, {end.done} done, {end.queued} queued")
        if sum(target._executions) < end.done:
            wrong.append(f"{end.done} done, {sum(target._executions)} executed")
    return chop.steps, wrong


async def cancel_sweep(
    grace: float,
    first: int = 1,
    step: int = 1,
    *,
    sent: tuple[int, ...] = (PLAIN, ASIDE, RAISING, PLAIN),
    to_the_end: bool = True,
) -> tuple[int, dict[int, list[str]]]:
    """Cancel at the first, second, third ... step; how many there were, and which of them left something wrong."""
    at, wrong = first - step, {}
    while True:
        at += step
        steps, left = await one_life(at, grace, sent)
        if left:
            wrong[at] = left
        if steps < at or (wrong and not to_the_end):
            return at, wrong


@pytest.mark.parametrize("grace", [0, 0.5], ids=["at once", "in order"])
async def test_cancelling_a_master_at_any_step_leaves_nothing(grace: float) -> None:
    """Wherever the scope around `open_master` is cancelled: no process, no descriptor, and the account adds up."""
    positions, wrong = await cancel_sweep(grace, FIRST, STEP)
    assert positions > 60
    assert wrong == {}


@contextmanager
def forgetful_ledger() -> Iterator[None]:
    """What a process that ends has not finished is not put back."""
    with patch.object(Ledger, "put_back", lambda *_, **__: None):
        yield


@contextmanager
def leaking_wires() -> Iterator[None]:
    """One descriptor of each process is not closed."""
    kept: list[int] = []
    close = MasterEnds.close

    def close_but_one(ends: MasterEnds) -> None:
        kept.append(os.dup(ends.bell))
        close(ends)

    with patch.object(MasterEnds, "close", close_but_one):
        yield
    for fd in kept:
        os.close(fd)


@pytest.mark.parametrize(("broken", "what"), [(forgetful_ledger, "the ledger"), (leaking_wires, "descriptors")])
async def test_the_cancellation_sweep_sees_what_is_left(broken: Callable[[], Any], what: str) -> None:
    """The negative controls: a ledger that forgets, and descriptors that stay open, are seen."""
    with broken():
        # A slow handler: a fast one may have ended at whatever step the master is cancelled.
        _, wrong = await cancel_sweep(0, step=3, sent=(PLAIN, SLOW), to_the_end=False)
    assert any(what in line for lines in wrong.values() for line in lines)
