"""The master: composes the stages, and is the only module that knows both ends.

    sources ─┐
    raises ──┼─> Dispatcher ─> lanes ─> children        one Keeper a child slot
    requests ┴─> Control ─> table, waits                 one Zygote for all of them

Everything runs in one nursery, the engine, which is shielded once all children are ready: a cancellation of
the scope around `open_master` reaches the body first, and the engine only through the orderly shutdown:

    sources stop -> services end -> what is queued is delivered -> children leave -> the rest is counted

`grace` bounds the whole of it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any

import trio

from ._asking import Message
from ._children import Keeper
from ._control import Control
from ._dispatcher import Dispatcher
from ._errors import NoMasterError
from ._events import Sources
from ._harakiri import Harakiri
from ._interrupt import uninterrupted
from ._journal import Journal
from ._journaling import Journaling
from ._kernel import set_name
from ._late import LateHandlers
from ._ledger import DeadLetter, Ledger
from ._local import Local, LocalRaiser
from ._options import Options
from ._orphans import MARK, Orphans
from ._prefork import Prefork
from ._process import ProcessInfo, become, current_process
from ._raiser import Gate
from ._recovery import Pending
from ._report import counted, last_words, snapshot
from ._shared import Shared
from ._signals import Signals, application_of
from ._slots import Slot
from ._statistics import MasterStatistics
from ._table import Entry, Table
from ._targets import Target, Topology
from ._thread import OwnThread
from ._wires import ChildEnds
from ._worker import Child, Declared

log = logging.getLogger("trisig")

_ME = "master"


@uninterrupted
class Master:
    """A running master; made by `open_master`."""

    def __init__(self, signals: Signals, topology: Topology, options: Options, journal: Journal | None) -> None:
        self._signals = signals
        self._app = app = application_of(signals)
        self._before = app.link, app.in_child
        self._topology = topology
        self._options = options
        places = topology.processes()
        self._indexes = {f"{kind}{number}": index for index, (kind, number) in enumerate(places)}
        self._shared = Shared(len(places), journal.shared if journal else None)
        self._table = Table(self._shared.table)
        for signum, declared in app.handlers.items():
            self._table.register(signum, Entry(declared.target))
        self._gate = Gate(self._shared.gate)
        self._ledger = Ledger(options.max_attempts, journal)
        slots = [Slot(*place, memory) for place, memory in zip(places, self._shared.slots, strict=True)]
        self._dispatcher = Dispatcher(
            topology,
            slots,
            self._table,
            self._ledger,
            self._gate,
            max_queued=options.max_queued,
            grant=self._grant,
            nudge=self._nudge,
        )
        self._journaling = Journaling(journal, self._indexes, self._dispatcher, self._table)
        self._keepers = {slot.name: self._keeper(slot) for slot in slots}
        try:
            self._raiser = LocalRaiser(
                self._dispatcher.accept, self._accept_piped, self._gate, self._journaling.outbox(_ME)
            )
        except OSError:  # out of descriptors
            self._gate.close()
            raise
        self._sources = Sources(self._raiser.send, app.sources)
        self._late = LateHandlers(self._shared.late, self._push_all)
        self._control = Control(
            topology,
            self._table,
            self._dispatcher.desk,
            self._late,
            self._sources,
            self._dispatcher.refresh,
            app.forget,
        )
        self._local = Local(
            signals,
            topology,
            self._table,
            self._raiser,
            self._dispatcher.desk,
            self._late,
            self._sources,
            self._dispatcher.refresh,
        )
        self._zygote = Prefork(self._become, self._private_fds)
        self._orphans = Orphans()
        self._engine = trio.CancelScope()
        self._thread = OwnThread()
        self._runs = False
        self._hurry = trio.CancelScope(shield=True)
        self._final: MasterStatistics | None = None
        self._info = ProcessInfo("master", 0, current_process().pid)

    def _keeper(self, slot: Slot) -> Keeper:
        farms = self._topology.farms_of(slot.kind, slot.number)
        return Keeper(slot, farms, self._spawn, self, self._options.grace)

    # What users see

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The live processes, the master first: in a test, `processes[0].pid` is the test's own."""
        return (self._info, *(keeper.info for keeper in self._keepers.values() if keeper.pid))

    def cheap(self, number: int) -> Awaitable[None]:
        """Stop a worker; its slot stays empty until `wake`.

        It finishes the handler that it runs; what it has not started goes back: to the other workers if it was
        for any of them, else it waits for the slot to be filled again. The stop begins at once; await the result
        to know when it is over.

        Raises:
            ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        slot, keeper = self._worker("cheap", number)
        slot.active = False
        self._dispatcher.refresh()
        log.info("master: %s is stopped until it is woken", slot.name)
        keeper.leave()
        return _Awaited(keeper.left)

    def wake(self, number: int) -> Awaitable[None]:
        """Fill the slot of a worker again; await the result to know when the worker is ready.

        Raises:
            ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        slot, keeper = self._worker("wake", number)
        slot.active = True
        self._dispatcher.refresh()
        log.info("master: %s is woken", slot.name)
        keeper.wake()
        return _Awaited(keeper.filled)

    def _worker(self, verb: str, number: int) -> tuple[Slot, Keeper]:
        self._thread.check("workers are stopped and started", f"master.{verb}, {number!r}")
        if type(number) is not int:
            raise TypeError(f"a worker is named by its number, not {number!r}")
        name = f"worker{number}"
        if name not in self._keepers:
            raise ValueError(f"there is no {name}; there are {self._topology.workers} workers")
        if not self._runs:
            raise NoMasterError(f"this master has ended, and {name} with it")
        return self._dispatcher.slots[name], self._keepers[name]

    def statistics(self) -> MasterStatistics:
        """Where every signal is at this moment, per process and per signal.

        Raises:
            RuntimeError: this is not the thread that runs the master.
        """
        if self._final is not None:
            return self._final
        self._thread.check("statistics are taken", "master.statistics")
        self._dispatcher.settle()
        return snapshot(
            self._dispatcher, self._keepers, self._table, self._sources.statistics(), self._journaling.missed
        )

    # What a Keeper needs

    def accept(self, name: str, signals: bytes) -> None:
        self._journaling.accept(name, signals)

    def _accept_piped(self, signals: bytes) -> None:
        self.accept(_ME, signals)

    def begins(self, name: str) -> None:
        """A slot is about to be filled anew."""
        self._journaling.begins(name)

    def heard(self, name: str) -> None:
        self._dispatcher.heard(self._dispatcher.slots[name])

    def attach(self, name: str, pipe: int, back: int) -> None:
        self._dispatcher.attach(self._dispatcher.slots[name], pipe, back, self._journaling.record(name))

    def detach(self, name: str, *, blame: bool) -> list[DeadLetter]:
        letters = self._dispatcher.detach(self._dispatcher.slots[name], blame=blame)
        for letter in letters:
            self._dead_lettered(name, letter)
        return letters

    def _dead_lettered(self, name: str, letter: DeadLetter) -> None:
        log.error("%s: signal %d ended its process %d times, it is dead-lettered", name, letter.signum, letter.attempts)
        if self._options.on_dead_letter is not None:
            try:
                self._options.on_dead_letter(letter)
            except Exception:
                log.exception("master: on_dead_letter failed for signal %d", letter.signum)

    def answer(self, asker: Keeper, message: Message) -> Message | None:
        return self._control.answer(asker, message)

    def ended(self, name: str) -> None:
        """A process has ended: with it what it registered for itself and what its tasks waited for."""
        self._orphans.left_by(self._keepers[name].pid)
        self._dispatcher.desk.left(name)
        self._sources.end_of(name)
        if self._table.end_of(name):
            self._dispatcher.refresh()

    async def _spawn(self, job: str, fds: Sequence[int]) -> tuple[int, int]:
        return await self._zygote.spawn(job, fds)

    def _private_fds(self) -> list[int]:
        return [fd for keeper in self._keepers.values() for fd in keeper.fds()]

    def _grant(self, process: str, key: int, signum: int) -> None:
        if process == _ME:
            self._local.granted(key, signum)
        else:
            self._keepers[process].push({"do": "grant", "key": key, "signum": signum})

    def _harakiri(self, timeout: float) -> Harakiri:
        return Harakiri(
            timeout, self._dispatcher.slots.values(), self._dispatcher, lambda name: self._keepers[name].kill()
        )

    def _nudge(self, name: str) -> None:
        self._keepers[name].push({"do": "ring"})

    def _push_all(self, message: Message) -> None:
        for keeper in self._keepers.values():
            keeper.push(message)

    # In the child

    def _become(self, job: str, fds: list[int]) -> None:
        """What a newly forked process does."""
        name = json.loads(job)["name"]
        index = self._indexes[name]
        kind, number = self._topology.processes()[index]
        info = ProcessInfo(kind, number, os.getpid(), self._topology.farms_of(kind, number))
        become(info)
        os.environ[MARK] = str(os.getppid())
        set_name(f"trisig {name}")
        child = Child(
            info,
            index,
            self._shared,
            self._gate,
            ChildEnds.received(fds),
            self._declared_for(info),
            self._signals,
            self._options.cores,
            self._journaling.outbox(name),
        )
        self._app.become_childs(child)
        trio.run(child.run)

    def _declared_for(self, info: ProcessInfo) -> Declared:
        def matches(target: Target | None) -> bool:
            return target is None or (info.kind, info.number) in self._topology.members(target)

        app = self._app
        return Declared(
            handlers={signum: declared.handler for signum, declared in app.handlers.items()},
            hooks=[hook for target, hook in app.hooks if matches(target)],
            services=[service for target, service in app.services if matches(target)],
        )

    # Its life

    def begin(self) -> None:
        """Fork the zygote, and with it everything that the application has declared so far."""
        try:
            self._zygote.open()
        except BaseException:
            self._unlink()
            self._close()
            raise
        self._app.link = self._local
        self._app.in_child = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """The engine: everything that must go on until the last child has left."""
        try:
            with self._engine:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._dispatcher.silence.watch)
                    nursery.start_soon(self._raiser.listen)
                    nursery.start_soon(self._orphans.watch)
                    nursery.start_soon(self._zygote.guard)
                    if self._options.handler_timeout is not None:
                        nursery.start_soon(self._harakiri(self._options.handler_timeout).watch)
                    await nursery.start(self._sources.run)
                    for keeper in self._keepers.values():
                        nursery.start_soon(keeper.keep, name=f"keep {keeper.name}")
                    for keeper in self._keepers.values():
                        await keeper.reached("ready")
                    await self._sources.go()
                    self._engine.shield = True
                    self._runs = True
                    task_status.started()
        finally:
            self._runs = False
            self._hurry.cancel()
            self._unlink()
            with trio.CancelScope(shield=True):
                await self._zygote.aclose()
            self._final = self.statistics()
            self._close()

    def _unlink(self) -> None:
        """Nobody can raise or wait any more; what other threads raised until now is accepted."""
        self._app.link, self._app.in_child = self._before
        self._raiser.refuse()
        self._local.end_waits()

    def _close(self) -> None:
        self._raiser.close()
        self._gate.close()
        self._journaling.close()

    def go_on_with(self, pending: Pending) -> None:
        """Take over what an earlier master left, and put the journal in the place of the one that it left.

        Raises:
            OSError: there is no room for it. Nothing has changed, and this master is closed.
        """
        try:
            self._journaling.go_on_with(pending)
        except BaseException:
            self._close()
            raise
        if pending:
            log.info("master: goes on with %s from the journal", counted(self._ledger.pending))

    async def end(self) -> None:
        """Shut down, if there is anything left to, and say what was not delivered."""
        if self._runs:
            try:
                await self._shut_down()
            finally:  # a second Ctrl-C in a trio.run of the application's own is raised up there
                self._engine.cancel()

    async def _shut_down(self) -> None:
        """Stop in order, within the grace."""
        with self._hurry:
            self._hurry.deadline = trio.current_time() + self._options.grace
            self._sources.stop()
            self._dispatcher.keep_wanting()
            self._control.draining = True
            self._push_all({"do": "drain"})
            for keeper in self._keepers.values():
                await keeper.quiet()
            await self._drained()
            for keeper in self._keepers.values():
                keeper.leave(final=True)
            for keeper in self._keepers.values():
                await keeper.reached("stopped")

    async def _drained(self) -> None:
        while True:
            # In this order: what a handler had raised before it was marked done is in the pipe by then.
            self._dispatcher.settle()
            for keeper in self._keepers.values():
                keeper.take_raised()
            self._raiser.take()
            if not self._dispatcher.deliverable():
                return
            await self._dispatcher.progress()

    def stop_now(self) -> None:
        """Give up what is not delivered yet, and end the children."""
        self._hurry.cancel()

    def report(self) -> None:
        """Say in the log what was not delivered."""
        left = self.statistics()
        for words in last_words(left, journaled=self._journaling.keeps):
            log.warning("master: %s", words)


class _Awaited:
    """Awaitable as often as wanted, and without a warning never."""

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()
