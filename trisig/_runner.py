"""A child's main loop: bytes from the lane to handlers, progress to the marks.

A byte of its own queue may be read together with others; a byte of a shared queue is read alone, and only
when a core is free to run it, so that what this process has not started can still be given to another one.
`FREE_UNTIL` says how far the numbers are its own. After half a millisecond of work, or when there is none
left, it rings the bell once, if the master wants to be rung, and lets its other tasks run.

The order of the stores is the accounting: started, the handler, done. A process that is killed between two of
them leaves a signal that either was not started, or is run once more.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic

import trio

from . import _kernel
from ._cores import Core, Cores
from ._handlers import Handler
from ._ledger import ASIDE, DONE, FAILED, FINISHED, RETURNED, STARTED, WINDOW, finished_entry
from ._shared import FREE_CORES, FREE_UNTIL, PACE, SENT, WANTED, SlotMemory

_SLICE = 0.0005  # seconds

log = logging.getLogger("trisig")


class Runner:
    """Runs the handlers of one child.

    Args:
        name: of the process, for the log.
        memory: the child's slot of the shared memory.
        lane: the reading end of its lane, non-blocking.
        bell: an eventfd that the master waits for.
        handlers: 256 handlers or None, read afresh for every signal.
        registering: handlers whose registration is under way, by number.
        late: the shared word that counts the handlers which were registered late.
        cores: how many async handlers may run at a time.
    """

    def __init__(
        self,
        name: str,
        memory: SlotMemory,
        lane: int,
        bell: int,
        handlers: list[Handler | None],
        registering: dict[int, Handler],
        late: memoryview,
        cores: int,
    ) -> None:
        self._name = name
        self._words = memory.words
        self._marks = memory.marks
        self._finished = memory.finished
        self._lane = lane
        self._bell = bell
        self._handlers = handlers
        self._registering = registering
        self._late = late
        self.late_known = 0
        self.cores = Cores(cores, WINDOW, self._words[FREE_CORES : FREE_CORES + 1], self._ring_if_wanted)
        self._always_ring = not _kernel.register_for_barriers()
        self._batch: Iterator[int] = iter(b"")
        self._number = 0  # of the next signal to start
        self._taken = 0  # of the next signal to read
        self._listed = 0
        self._serving = trio.CancelScope()
        self.watchers: list[Callable[[int], None]] = []  # called after a handler ran

    async def serve(self, catch_up: Callable[[], Awaitable[None]]) -> None:
        """Run handlers until stopped; async ones that are running then go on to their end.

        Args:
            catch_up: waits until this process knows the handlers that were registered late.
        """
        async with trio.open_nursery() as nursery:
            with self._serving:
                while True:
                    await self._wait_for_signals()
                    while self.cores.free:
                        if self._late[0] != self.late_known:
                            await catch_up()
                        more = self._run(nursery)
                        self._ring_if_wanted()
                        if not more:
                            break
                        await trio.lowlevel.checkpoint()

    def stop(self) -> None:
        """Start no more handlers."""
        self._serving.cancel()

    def ring(self) -> None:
        """Have the master look at the marks."""
        os.eventfd_write(self._bell, 1)

    def _ring_if_wanted(self) -> None:
        # No barrier between the marks and this: the master, when it begins to want, makes one here and looks again.
        if self._words[WANTED] or self._always_ring:
            self.ring()

    async def _wait_for_signals(self) -> None:
        if not self.cores.free:
            await self.cores.one_free()
            self._ring_if_wanted()
        if self._number == self._taken:
            if self._words[SENT] <= self._number:
                await trio.lowlevel.wait_readable(self._lane)
            self._read()

    def _read(self) -> bool:
        own = self._words[FREE_UNTIL] - self._taken
        try:
            signals = os.read(self._lane, own if 1 < own <= WINDOW else 1)
        except BlockingIOError:
            return False  # taken back by the master
        if not signals:
            self.stop()  # the master is gone
        self._batch = iter(signals)
        self._taken += len(signals)
        return bool(signals)

    def _run(self, nursery: trio.Nursery) -> bool:  # noqa: C901, PLR0912  see below
        """Run what can run now, for about one slice; whether there is more to run.

        One long function: this is the path that every signal takes.
        """
        marks, handlers, watchers = self._marks, self._handlers, self.watchers
        words, late, begin = self._words, self._late, monotonic()
        end = begin + _SLICE
        number = self._number
        try:
            while True:
                for signum in self._batch:
                    index = number % WINDOW
                    number += 1
                    handler = handlers[signum]
                    if handler is None and (handler := self._registering.get(signum)) is None:
                        self._unknown(signum, index)
                        continue
                    marks[index] = STARTED
                    try:
                        result = handler(signum)
                    except Exception:  # noqa: BLE001  whatever a handler raises is logged, and counted
                        self._failed(signum)
                        marks[index] = FAILED
                    except (SystemExit, KeyboardInterrupt) as error:
                        self._ends(signum, error)
                        raise
                    else:
                        if result is not None and inspect.isawaitable(result):
                            self._set_aside(nursery, result, signum, number - 1)
                            if not self.cores.free:
                                return False
                            continue
                        marks[index] = DONE
                    if watchers:
                        self._ran(signum)
                    if monotonic() >= end:
                        return True
                if words[SENT] <= number or not self._read():
                    return False
                if late[0] != self.late_known:
                    return True
        finally:
            if number != self._number:
                words[PACE] = int((monotonic() - begin) / (number - self._number) * 1e9)
            self._number = number

    def _unknown(self, signum: int, index: int) -> None:
        log.warning("%s: signal %d has no handler here any more; it waits for whoever calls wait()", self._name, signum)
        self._marks[index] = RETURNED
        self.ring()

    def _failed(self, signum: int) -> None:
        log.exception(  # noqa: LOG004  called where it was caught
            "%s: the handler of signal %d failed", self._name, signum
        )

    def _ends(self, signum: int, error: BaseException) -> None:
        log.error("%s: the handler of signal %d ends the process: %r", self._name, signum, error)

    def _ran(self, signum: int) -> None:
        for watcher in list(self.watchers):
            watcher(signum)

    # Async handlers

    def _set_aside(self, nursery: trio.Nursery, handler: Awaitable[object], signum: int, number: int) -> None:
        core = self.cores.take_nowait()  # told before the mark, or the master might take this process for idle
        self._marks[number % WINDOW] = ASIDE
        nursery.start_soon(self._run_aside, handler, signum, number, core, name=f"signal {signum}")

    async def _run_aside(self, handler: Awaitable[object], signum: int, number: int, core: Core) -> None:
        state, begin = DONE, monotonic()
        with core:
            try:
                await handler
            except Exception:  # noqa: BLE001  whatever a handler raises is logged, and counted
                self._failed(signum)
                state = FAILED
            except (SystemExit, KeyboardInterrupt) as error:
                self._ends(signum, error)
                raise
        self._words[PACE] = int((monotonic() - begin) * 1e9)
        self._list(number, state)
        self._ring_if_wanted()
        self._ran(signum)

    def _list(self, number: int, state: int) -> None:
        self._finished[self._listed % FINISHED] = finished_entry(number, state)
        self._listed += 1
        self._finished[FINISHED] = self._listed
