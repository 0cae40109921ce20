"""A child's main loop: bytes from the lane to handlers, progress to the marks.

Bytes are read many at a time. What came from a shared queue can still be given to another process until its handler
begins: the master stores `LIMIT`, passes a barrier and looks at the marks. So this process first marks such a signal
as started, then looks at the limit. If it has reached that, it takes the mark back, drops all that it has not started,
and says so by `DROPS` and the bell. Without a barrier in the kernel, it reads such bytes one by one instead.
`FREE_UNTIL` says how far the numbers are its own, for which there is no limit. After half a millisecond of work, or
when there is none left, it rings the bell once, if the master wants to be rung, and lets its other tasks run.

The order of the stores is the accounting: started, the handler, done. A process that is killed between two of
them leaves a signal that either was not started, or is run once more.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from time import monotonic
from types import CoroutineType
from typing import Any

import trio

from trisig._ipc.cargo import CargoReceiver
from trisig._ipc.shared_memory import (
    CARGO,
    DROPS,
    EVENTS,
    FREE_CORES,
    FREE_UNTIL,
    LIMIT,
    PACE,
    SENT,
    WANTED,
)
from trisig._ipc.waits import Waits
from trisig._linux.membarrier import register_for_barriers
from trisig._model.lane import ASIDE, DONE, FAILED, FINISHED, RETURNED, STARTED, WAITING, WINDOW, finished_entry
from trisig._util.exception_groups import leaves
from trisig._util.tracebacks import exc_info_of

from .begun import Begun
from .cores import Cores
from .handler_table import HandlerTable
from .relay import Relay
from .running_number import running_number
from .setup import ChildSetup
from .stopwatch import Stopwatch, What
from .task_runner import TaskRunner

_SLICE_S = 0.0005

log = logging.getLogger("trisig")


class Runner:
    """Runs the handlers of one child.

    Args:
        setup: of the process: its slot of the shared memory, the reading end of its lane (non-blocking), its bell.
        handlers: those that it can run.
        waits: its tasks that are in `wait`.
        tasks: runs the tasks that it is sent.
        answered: called with the key, the outcome and the content of an answer to a call of this process.

    Attributes:
        cargo: the tasks that are on their way here.
        stopwatch: takes the times.
    """

    def __init__(
        self,
        setup: ChildSetup,
        handlers: HandlerTable,
        waits: Waits,
        tasks: TaskRunner,
        answered: Callable[[int, int, bytes | bytearray], object],
    ) -> None:
        memory = setup.shared.slots[setup.slot]
        self._name = setup.info.name
        self._words = memory.words
        self._marks = memory.marks
        self._finished = memory.finished
        self._lane = setup.ends.lane
        self._bell = setup.ends.bell
        self._handlers = handlers
        self._waits = waits
        self._tasks = tasks
        self.cargo = CargoReceiver(setup.ends.cargo, self._words, answered)
        self.stopwatch = Stopwatch(setup.shared.measurements[setup.slot], _SLICE_S, self._log_slow)
        self._turn: tuple[int, float, tuple[What, float] | None, int, What, float, float] | None = None
        self.cores = Cores(setup.cores, WINDOW, self._words[FREE_CORES : FREE_CORES + 1], self._ring_if_wanted)
        self._always_ring = not register_for_barriers()
        self._words[DROPS] = 0 if self._always_ring else 1
        self._own_until = sys.maxsize  # numbers below it have no limit
        self._batch: Iterator[int] = iter(b"")
        self._number = 0  # of the next signal to start
        self._taken = 0  # of the next signal to read
        self._listed = 0
        self._waiting: Begun | None = None  # what the task that leads has to go on with
        self._relay = Relay(self._lead, self._go_on)
        self._worked: Callable[[int], object] = lambda _: None

    async def serve(self, worked: Callable[[int], object]) -> None:
        """Run handlers until stopped; async ones that are running then go on to their end.

        Args:
            worked: called when some handlers have ended, with how many have begun.
        """
        self._worked = worked
        await self._relay.run()

    async def _lead(self) -> Begun:
        """Run handlers until one of them waits, and return that one.

        A handler that never waits needs no task of its own so. One that does cannot be given to another task: who wakes
        it knows the task that it began in.
        """
        handlers = self._handlers
        while True:
            if not self.cores.free:
                await self.cores.wait_free()
                self._ring_if_wanted()
            await self._wait_for_signals()
            while self.cores.free:
                if handlers.word[0] != handlers.known:
                    await handlers.wait_complete()
                if self._relay.stopped:  # in the moment in which a wait above was over: what began now would be cut off
                    await trio.lowlevel.checkpoint_if_cancelled()
                more = self._run()
                self._ring_if_wanted()
                if self._turn is not None:
                    self.stopwatch.turn_ended(*self._turn)
                if self._waiting is not None:
                    waiting, self._waiting = self._waiting, None
                    return waiting
                self._worked(self._number)
                if not more:
                    break
                await trio.lowlevel.checkpoint()

    def stop(self) -> None:
        """Start no more handlers."""
        self._relay.stop()

    def ring(self) -> None:
        """Have the master look at the marks."""
        os.eventfd_write(self._bell, 1)

    def _ring_if_wanted(self) -> None:
        # No barrier between the marks and this: the master, when it begins to want, makes one here and looks again.
        if self._words[WANTED] or self._always_ring:
            self.ring()

    async def _wait_for_signals(self) -> None:
        if self._number != self._taken:
            return
        # What was sent can have been taken back since.
        if self._words[SENT] <= self._number or not self._read():
            await trio.lowlevel.wait_readable(self._lane)
            self._read()

    def _read(self) -> bool:
        own_until = self._words[FREE_UNTIL]
        if not self._always_ring:
            self._own_until, most = own_until, WINDOW
        else:
            most = max(1, min(own_until - self._taken, WINDOW))
        try:
            signals = os.read(self._lane, most)
        except BlockingIOError:
            return False  # taken back by the master
        if not signals:
            self.stop()  # the master is gone
        if self._words[CARGO] != self.cargo.applied:
            self.cargo.catch_up()
        self._batch = iter(signals)
        self._taken += len(signals)
        return bool(signals)

    def _run(self) -> bool:  # noqa: C901, PLR0912, PLR0915  see below
        """Run what can run now, for about one slice, or until a handler waits; whether there is more to run.

        One long function: this is the path that every signal takes.
        """
        marks, table, numbered = self._marks, self._handlers, self._waits.numbered
        words, registrations, loaded = self._words, table.word, self.cargo.tasks
        handlers: Sequence[Callable[[Any], object] | None] = table.handlers
        on_the_way: Mapping[int, Callable[[Any], object]] = table.on_the_way
        set_number = running_number.set
        run_task: Callable[[Any], object] = self._tasks.run
        what: What = -1
        first_timed: tuple[What, float] | None = None
        begin = before = monotonic()
        end = begin  # reached at once: the first handler is timed
        number = self._number
        try:
            while True:
                had_events, own_until = words[EVENTS], self._own_until
                for signum in self._batch:
                    index = number % WINDOW
                    # In this order: killed in between, the process leaves a signal that is run once more.
                    marks[index] = STARTED
                    number += 1
                    if number > own_until and 0 < words[LIMIT] <= number:
                        number -= 1
                        self._drop(number)
                        return False
                    handler, what = handlers[signum], signum
                    if loaded and (task := loaded.pop(number - 1, None)) is not None:
                        handler, what = run_task, task
                    if handler is None and (handler := on_the_way.get(signum)) is None:
                        self._unknown(signum, index)
                        continue
                    if had_events:  # this costs a fifth of a plain handler's signal
                        set_number(number - 1)  # in the context of this task, and so in the copy
                    context = copy_context()
                    try:
                        result = context.run(handler, what)  # pyright: ignore[reportArgumentType]  they go together
                        if result is not None and inspect.isawaitable(result):
                            self._begin(result, context, what, number - 1, before)
                            if self._waiting is not None:
                                before = monotonic()  # its time is taken when it has ended
                                return False
                    except BaseException as error:  # noqa: ASYNC103, BLE001  logged and counted, or raised again
                        self._raised(what, error)
                        marks[index] = FAILED
                        self.ring()  # it may have to be tried again
                    else:
                        marks[index] = DONE
                    if numbered and what is signum:
                        self._waits.ran(signum)
                    if (now := monotonic()) >= end:
                        if first_timed is None:
                            first_timed = what, now - before
                            end = begin + _SLICE_S
                        if now >= end:
                            return True
                    before = now
                if words[SENT] <= number or not self._read():
                    return False
                if registrations[0] != table.known:
                    return True
        finally:
            if number != self._number:
                now = monotonic()
                words[PACE] = int((now - begin) / (number - self._number) * 1e9)
                self._turn = (self._number, begin, first_timed, number, what, before, now)
            else:
                self._turn = None
            self._number = number

    def _drop(self, number: int) -> None:
        """Start nothing from a number on: the master takes it back, or has."""
        self._marks[number % WINDOW] = WAITING
        self._batch, self._taken = iter(b""), number
        with suppress(BlockingIOError):
            os.read(self._lane, WINDOW)  # nothing more is written there until the master has seen this
        self._words[DROPS] += 1
        self.ring()

    def _unknown(self, signum: int, index: int) -> None:
        log.warning("%s: signal %d has no handler here any more; it waits for whoever calls wait()", self._name, signum)
        self._marks[index] = RETURNED
        self.ring()

    def _raised(self, what: What, error: BaseException) -> None:
        """Log what a handler or a task raised; raise it again if it means to end the process."""
        if any(isinstance(leaf, (SystemExit, KeyboardInterrupt)) for leaf in leaves(error)):
            log.error("%s: %s ends the process: %r", self._name, self._called(what), error, extra=_signum_of(what))
            raise error
        called, signum = self._called(what), _signum_of(what)
        log.error("%s: %s failed", self._name, called, exc_info=exc_info_of(error), extra=signum)

    def _log_slow(self, what: What, seconds: float) -> None:
        log.warning("%s: %s took %.3g s", self._name, self._called(what), seconds, extra=_signum_of(what))

    def _called(self, what: What) -> str:
        return f"the handler of signal {what}" if isinstance(what, int) else f"task {self._tasks.name(what)}"

    # Async handlers

    def _begin(self, handler: Awaitable[object], context: Context, what: What, number: int, began: float) -> None:
        """Run an async handler to its end, or up to where it waits: then it is `_waiting`."""
        core = self.cores.take_nowait()  # told before the mark, or the master might take this process for idle
        context.run(core.hold)
        coroutine = handler if isinstance(handler, CoroutineType) else _awaited(handler)
        assert isinstance(coroutine, CoroutineType)  # for mypy, to which it is a Coroutine
        try:
            trap = context.run(coroutine.send, None)
        except StopIteration:
            core.end()
        except BaseException:
            core.end()
            raise
        else:
            self._marks[number % WINDOW] = ASIDE
            self._waiting = Begun(coroutine, trap, context, what, number, core, began)

    async def _go_on(self, begun: Begun) -> None:
        """Go on with a handler that waits."""
        what, number = begun.what, begun.number
        task = trio.lowlevel.current_task()
        task.name = f"signal {what}" if isinstance(what, int) else f"task {self._tasks.name(what)}"
        task.context = begun.context  # in force from the next step of this task on, which is the handler's
        state = DONE
        try:
            await begun
        except BaseException as error:  # noqa: ASYNC103  the process's own cancellation is raised again
            if _cut_off(error):
                # The process ends because of something else: the master puts this signal back and blames nobody.
                self._list(number, STARTED)
                raise
            self._raised(what, error)
            state = FAILED
        finally:
            begun.core.end()
        now = monotonic()
        seconds = now - begun.began
        self._words[PACE] = int(seconds * 1e9)
        self._list(number, state)
        if state == FAILED:
            self.ring()
        else:
            self._ring_if_wanted()
        self.stopwatch.handler_ended(what, seconds, now)
        self._worked(self._number)
        if isinstance(what, int):
            self._waits.ran(what)

    def _list(self, number: int, state: int) -> None:
        # The entry before the count: the master reads no entry that the count does not cover.
        self._finished[self._listed % FINISHED] = finished_entry(number, state)
        self._listed += 1
        self._finished[FINISHED] = self._listed


async def _awaited(handler: Awaitable[object]) -> object:
    return await handler


def _signum_of(what: What) -> dict[str, int]:
    """For the log: the number of a signal, and nothing for a task."""
    return {"signum": what} if isinstance(what, int) else {}


def _cut_off(error: BaseException) -> bool:
    """Whether an error is a cancellation from outside the handler; one that it kept and raised later is its own."""
    cancelled = trio.current_effective_deadline() == -math.inf
    return cancelled and any(isinstance(leaf, trio.Cancelled) for leaf in leaves(error))
