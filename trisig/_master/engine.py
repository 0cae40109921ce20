"""The engine of a master: composes the stages, and runs them. The only part that knows both ends.

    sources ─> channel ─> Dispatcher.run ─┐
    raises of children ─> Keeper ─────────┴─> Dispatcher.accept ─> destinations ─> lanes ─> children
    requests of children ─> Keeper ─> RequestHandler ─> table, waiters, locks, sources

Everything runs in one nursery, which is shielded once all children are ready: a cancellation of the scope around
`open_master` reaches the body first, and the engine only through the orderly shutdown:

    sources stop -> services end -> what is queued is delivered -> children leave -> the rest is counted

`grace` bounds the whole of it.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Sequence

import trio

from trisig._api.manifest import manifest_of
from trisig._api.options import Options
from trisig._api.signals import Signals, application_of
from trisig._child.main import ChildMain
from trisig._cluster.engine import ClusterEngine
from trisig._ipc.inlets import Outbox
from trisig._ipc.messages import Drain, Grant, GrantLock, SetLogLevel
from trisig._ipc.raised_stream import DONE, Part, TasksRaised
from trisig._ipc.raiser import THREADS
from trisig._ipc.runtime_handlers import RuntimeHandlers
from trisig._journal.journal import Journal
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import Pending
from trisig._linux.membarrier import global_barrier
from trisig._model.dead_letter import DeadLetter
from trisig._model.errors import ChildFailedError, NoMasterError
from trisig._model.instrument import Instrument
from trisig._model.ledger import Ledger
from trisig._model.locks import Locks
from trisig._model.mailboxes import Boxes, Mailboxes, box_name
from trisig._model.node_info import NodeInfo
from trisig._model.process import MASTER, MASTER_VARIABLE, ProcessInfo, current_process, process_name
from trisig._model.signum import check_signum
from trisig._model.statistics import MasterStatistics
from trisig._model.table import Entry, Table
from trisig._model.targets import Topology
from trisig._model.turns import Turns
from trisig._sources.raised import Raised
from trisig._sources.runner import Sources
from trisig._spool.committer import Committer
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import SpoolDirectory
from trisig._spool.outcome import Outcome as JobOutcome
from trisig._spool.writer import SpoolWriter
from trisig._util.ki_protection import ki_protected
from trisig._util.log import LEVELS, set_level
from trisig._util.own_thread import OwnThread

from .adoption import Adoption
from .calls import ReplyBook
from .children import Children
from .cluster_seat import ClusterSeat
from .dead_letters import DeadLetters
from .delivery import Delivery
from .destinations import Destinations
from .dispatcher import Dispatcher
from .elastic import Elastic
from .fresh_start import FreshStart
from .harakiri import Harakiri
from .health import Limits, find_problems
from .instruments import combine
from .job_feeder import SPOOL, JobFeeder
from .journal_watch import watch_journal
from .keeper import Keeper
from .known_tasks import KnownTasks
from .memory import MasterMemory
from .orphans import Orphans
from .raiser import MasterRaiser
from .rebalancer import Rebalancer
from .registry import Registry
from .reloader import Reloader
from .report import counted, snapshot, undelivered_report, unhandled_report
from .requests import RequestHandler
from .restore import restore
from .retries import Retries
from .services import MasterService, MasterServices
from .slots import Slot, request_bells
from .task_routes import TaskRoutes
from .verbs import MasterVerbs
from .zygotes import Zygotes

log = logging.getLogger("trisig")

_DROPPED_AT_ONCE = 1000  # signals, between two checkpoints


@ki_protected
class Engine:
    """All the parts of one master.

    Args:
        signals: the application.
        topology: which processes there are.
        options: how they run.
        journal: keeps what is pending; None for none.
        spool: keeps durable jobs; None for none.

    Attributes:
        dead_letters: what was given up.
        reloader: has another version of the application run.
    """

    def __init__(
        self,
        signals: Signals,
        topology: Topology,
        options: Options,
        journal: Journal | None,
        spool: SpoolDirectory | None,
    ) -> None:
        self._signals = signals
        self._app = app = application_of(signals)
        self._before = app.verbs, app.in_child
        self._topology = topology
        self._options = options
        self._journal = journal
        recorder = JournalRecorder(journal, topology.names()) if journal else None
        instrument = combine(recorder, options.instruments)
        self._memory = MasterMemory(len(topology.processes()), len(app.tasks), journal)
        self._shared, self._gate = self._memory.shared, self._memory.gate
        self._table = Table(self._shared.table)
        for signum, declared in app.handlers.items():
            self._table.register(signum, Entry(declared.target, None, declared.handling))
        replies = ReplyBook(self._answer)
        addresses = self._open_boxes()
        self._tasks = KnownTasks(app.tasks, list(map(box_name, addresses)))
        self._ledger = self._new_ledger(instrument, replies)
        self._delivery = Delivery(self._ledger, self._gate, options.max_queued, options.max_queued_bytes, self._grant)
        mailboxes = Mailboxes(addresses, len(app.tasks), self._ledger, self._hand, self._delivery.passed)
        self._cluster = self._new_seat(options.cluster)
        destinations = self._new_destinations(mailboxes)
        routes = TaskRoutes(self._tasks.all, destinations)
        self._dispatcher = Dispatcher(destinations, self._table, self._delivery, routes, replies)
        self._spool = spool
        self._feeder: JobFeeder | None = None
        if spool is not None:
            self._feeder = JobFeeder(spool, self._dispatcher, self._tasks.all, options.cores, self._dead_lettered)
        try:
            outbox = journal.outboxes[len(topology.processes())] if journal else None
            self._raiser = MasterRaiser(
                self._accept_here, self._accept_task_here, self._accept_piped, self._gate, outbox
            )
        except OSError:  # out of descriptors
            self._memory.close()
            raise
        self._sources = self._open_sources()
        self._services = MasterServices(app.master_services)
        self._zygotes = Zygotes(self._child_main(), self._private_fds)
        self._orphans = Orphans()
        self._children = Children(
            topology,
            self._dispatcher,
            self._orphans,
            self._zygotes.spawn_of,
            options.grace,
            options.on_dead_letter,
        )
        self._retries = Retries(self._ledger.turns, destinations, self._children.given_up)
        self._locks = Locks(self._grant_lock)
        self._rebalancer = Rebalancer(destinations.pools.values(), self._delivery, self._children.nudge)
        self._open_verbs(destinations)
        self.reloader = self._new_reloader()
        self._elastic = self._new_elastic()
        self._scope = trio.CancelScope()
        self._thread = OwnThread()
        self.dead_letters = DeadLetters(
            self._ledger, DeadJobs(spool) if spool else None, self._dispatcher, options.cluster, self._thread.check
        )
        self._runs = False
        self._hurry = trio.CancelScope(shield=True)
        self._final: MasterStatistics | None = None
        self._info = ProcessInfo(MASTER, 0, current_process().pid)

    def _child_main(self) -> ChildMain:
        return ChildMain(
            self._signals,
            self._app,
            self._topology,
            self._shared,
            self._gate,
            self._options.cores,
            self._options.life_limits,
            self._outbox,
            MASTER_VARIABLE,
            self._cluster is not None,
        )

    def _open_sources(self) -> Sources:
        into_channel, self._from_sources = trio.open_memory_channel[Raised](0)
        schedules = self._journal.schedules.open if self._journal else lambda _: None
        return Sources(
            into_channel,
            self._app.sources,
            self._dispatcher.accept_at_once,
            self._options.timer_lead,
            schedules=schedules,
        )

    def _new_seat(self, cluster: ClusterEngine | None) -> ClusterSeat | None:
        if cluster is None:
            return None
        least = len(self._topology.processes()) * self._options.cores
        return ClusterSeat(cluster, self._app, self._table, self._delivery, least)

    def _new_destinations(self, mailboxes: Mailboxes) -> Destinations:
        outgoing = self._cluster.outgoing if self._cluster is not None else None
        return Destinations(self._topology, self._shared.slots, self._delivery, mailboxes, outgoing)

    def _open_boxes(self) -> list[str]:
        app = self._app
        app.boxes = Boxes(self._topology, len(app.tasks)) if app.has_messages else None
        return app.boxes.addresses if app.boxes else []

    def _new_ledger(self, instrument: Instrument | None, replies: ReplyBook) -> Ledger:
        attempts, turns, tasks = self._options.max_attempts, Turns(global_barrier), self._tasks
        now = time.time, time.monotonic_ns
        return Ledger(attempts, instrument, tasks.names, replies.given_up, turns, tasks.durable, *now)

    def _new_elastic(self) -> Elastic | None:
        limits = self._options.elasticity
        return None if limits is None else Elastic(limits, self._dispatcher, self._delivery, self._children.keepers)

    def _new_reloader(self) -> Reloader:
        start = FreshStart(self._options, self._memory, self._journal)
        adoption = Adoption(self._tasks, self._table, self._registry, self._dispatcher, self._feeder)
        return Reloader(manifest_of(self._app), start, self._zygotes, self._children.keepers, adoption)

    def _open_verbs(self, destinations: Destinations) -> None:
        """Connect what the application and the children may do with the table, sources, waiting tasks and locks."""
        handlers = RuntimeHandlers(self._shared.registrations, self._children.push_all)
        self._registry = registry = Registry(
            self._topology, self._table, handlers, self._sources, self._dispatcher.refresh
        )
        self._requests = RequestHandler(registry, destinations, self._locks, handlers, self._app.forget)
        self._requests.slow_handler = self._options.slow_handler
        self._children.open(self._requests, registry, self._locks)
        self._verbs = MasterVerbs(self._signals, self._table, registry, self._raiser, destinations, self._locks)
        if self._cluster is not None:
            self._cluster.dispatcher = self._dispatcher
            self._cluster.take_all_back = self._rebalancer.take_all_back
            registry.has_cluster, self._requests.cluster = True, self._cluster
            self._verbs.be_in(self._cluster)

    def _outbox(self, process: str) -> Outbox | None:
        index = self._topology.names().index(process)
        return self._journal.outboxes[index] if self._journal else None

    def _accept_here(self, signals: bytes) -> None:
        self._dispatcher.accept(MASTER, signals)

    def _accept_task_here(self, tasks: TasksRaised) -> None:
        self._dispatcher.accept_all(MASTER, (tasks,))

    def _accept_piped(self, parts: Iterable[Part]) -> None:
        self._dispatcher.accept_all(THREADS, parts)

    def _answer(self, process: str, key: int, outcome: int, content: bytes | bytearray) -> None:
        if process == SPOOL:
            self._job_ended(key, content)
        elif process == MASTER:
            self._verbs.answered(key, outcome, content)
        else:
            self._children.answer_call(process, key, outcome, content)

    def _job_ended(self, key: int, content: bytes | bytearray) -> None:
        if self._feeder is not None:
            self._feeder.answered(key, JobOutcome.decode(content))

    def _dead_lettered(self, letter: DeadLetter) -> None:
        self._children.given_up(letter)

    def _hand(self, process: str, key: int, message: bytes | bytearray) -> None:
        self._answer(process, key, DONE, message)

    def _grant(self, process: str, key: int, signum: int) -> None:
        if process == MASTER:
            self._verbs.granted(key, signum)
        else:
            self._children.push(process, Grant(key, signum))

    def _grant_lock(self, process: str, key: int) -> None:
        if process == MASTER:
            self._verbs.locks.granted(key)
        else:
            self._children.push(process, GrantLock(key))

    def _private_fds(self) -> list[int]:
        return [*self._children.fds(), *self._services.fds()]

    # What users see, through `Master`

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The live processes, the master first."""
        return (self._info, *(keeper.info for keeper in self._children if keeper.pid))

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """See `Master.nodes`."""
        return self._cluster.nodes if self._cluster is not None else ()

    def cheap_nowait(self, number: int) -> Keeper:
        """See `Master.cheap_nowait`; returns who keeps the worker."""
        slot, keeper = self._worker("cheap_nowait", number)
        if slot.active:
            log.info("master: stopping %s until it is woken", slot.name)
        slot.active = False
        self._dispatcher.refresh()
        keeper.leave()
        return keeper

    async def cheap(self, number: int) -> None:
        """See `Master.cheap`."""
        slot, _ = self._worker("cheap", number)
        was_active = slot.active
        keeper = self.cheap_nowait(number)
        await trio.lowlevel.checkpoint()
        await keeper.wait_left()
        if was_active:
            log.info("master: %s is stopped", keeper.name)

    def wake_nowait(self, number: int) -> Keeper:
        """See `Master.wake_nowait`; returns who keeps the worker."""
        slot, keeper = self._worker("wake_nowait", number)
        if not slot.active:
            log.info("master: waking %s", slot.name)
        slot.active = True
        self._dispatcher.refresh()
        keeper.wake()
        return keeper

    async def wake(self, number: int) -> None:
        """See `Master.wake`."""
        keeper = self.wake_nowait(number)
        await trio.lowlevel.checkpoint()
        await keeper.wait_filled()

    def _worker(self, verb: str, number: int) -> tuple[Slot, Keeper]:
        self._thread.check("workers are stopped and started", f"master.{verb}, {number!r}")
        if type(number) is not int:
            raise TypeError(f"a worker is named by its number, not {number!r}")
        name = process_name("worker", number)
        if name not in self._children.keepers:
            raise ValueError(f"there is no {name}; there {_count_of_workers(self._topology.workers)}")
        if not self._runs:
            raise NoMasterError(f"this master has ended, and {name} with it")
        return self._dispatcher.destinations.slots[name], self._children.keepers[name]

    async def drop(self, signum: int) -> int:
        """See `Master.drop`."""
        self._thread.check("signals are dropped", f"master.drop, {signum!r}")
        check_signum(signum)
        dropped = 0
        await trio.lowlevel.checkpoint()
        while some := self._dispatcher.destinations.waiters.drop(signum, _DROPPED_AT_ONCE):
            dropped += some
            await trio.lowlevel.checkpoint()
        if dropped:
            log.warning("master: dropped %s with the number %d", counted(dropped), signum)
        return dropped

    def pause_source(self, name: str, *, paused: bool) -> None:
        """See `Master.pause_source` and `Master.resume_source`."""
        self._sources.pause(self._sources.key_of_name(name), paused=paused)

    def remove_source(self, name: str) -> None:
        """See `Master.remove_source`."""
        self._sources.remove(self._sources.key_of_name(name))

    async def reload(self) -> None:
        """See `Master.reload`."""
        self._thread.check("a master is reloaded", "master.reload")
        if not self._runs:
            raise NoMasterError("this master has ended")
        if self._options.application is None:
            raise RuntimeError(
                "this master does not know where its application is, and cannot reload it: "
                'open it with application="MODULE:NAME"'
            )
        if self._app.has_messages:
            raise RuntimeError("an application with messages between processes cannot be reloaded: restart it")
        await trio.lowlevel.checkpoint()
        await self.reloader.reload()

    def set_log_level(self, level: str) -> None:
        """See `Master.set_log_level`."""
        self._thread.check("the log level is set", f"master.set_log_level, {level!r}")
        if level not in LEVELS:
            raise ValueError(f"{level!r} is not a level: write one of {', '.join(LEVELS)}")
        set_level(level)
        self._requests.log_level = level
        self._children.push_all(SetLogLevel(level))
        log.info("master: the log level is %s", level)

    async def check_alive(self, patience: float, handler_limit: float | None = None) -> tuple[str, ...]:
        """See `Master.check_alive`."""
        self._thread.check("a master is checked", "master.check_alive")
        self._dispatcher.read_marks()
        cluster = self._cluster.statistics() if self._cluster is not None else None
        limits = Limits.given(patience, handler_limit, self._options.handler_timeout)
        return await find_problems(self._children.keepers.values(), self._sources.statistics(), limits, cluster)

    async def run_now(self, name: str) -> bool:
        """See `Master.run_now`."""
        self._thread.check("sources are run", f"master.run_now, {name!r}")
        skipped = self._ledger.turns.skipped
        signum, event = self._sources.occasion(name)
        await trio.lowlevel.checkpoint()
        before = skipped[signum]
        await self._dispatcher.raise_for(signum, event)
        return skipped[signum] == before

    def statistics(self) -> MasterStatistics:
        """See `Master.statistics`."""
        if self._final is not None:
            return self._final
        self._thread.check("statistics are taken", "master.statistics")
        self._dispatcher.read_marks()
        return snapshot(
            self._dispatcher,
            self._ledger,
            self._children.keepers,
            self._table,
            self._tasks.all,
            self._sources.statistics(),
            self._locks.statistics(),
            self._feeder.statistics() if self._feeder is not None else None,
            self._cluster.statistics() if self._cluster is not None else None,
            self._journal.missed if self._journal else 0,
            self._shared.measurements,
        )

    # Its life

    def resume_from(self, pending: Pending) -> None:
        """Take over what an earlier master left, and put the journal in the place of the one that it left.

        Raises:
            OSError: there is no room for it. Nothing has changed, and this master is closed.
        """
        try:
            restore(pending, self._dispatcher, self._ledger, self._table)
            if self._journal is not None:
                self._journal.publish()
        except BaseException:
            self._close()
            raise
        if pending:
            log.info("master: resuming with %s from the journal", counted(self._ledger.pending))
            for words in unhandled_report(self.statistics()):
                log.warning("master: %s", words)

    def add_service(self, service: MasterService, fds: Callable[[], Sequence[int]]) -> None:
        """Run a service that is not the application's.

        Args:
            service: given the `Master`, until the shutdown.
            fds: its descriptors, which no child shall hold.
        """
        self._services.add(service, fds)

    def begin(self) -> None:
        """Fork the zygote, and with it everything that the application has declared so far."""
        self._delivery.every_bell = any(one.wants_ends_at_once for one in self._options.instruments)
        self._app.spool = None if self._spool is None else SpoolWriter(Committer(self._spool))
        try:
            self._zygotes.open()
        except BaseException as error:
            self._unlink()
            self._close()
            if _is_refused_fork(error):
                reason = f"could not be forked: {error}"
                raise ChildFailedError("zygote", None, reason=reason) from error  # noqa: ASYNC104  it is an OSError
            raise
        self._app.verbs = self._verbs
        self._app.in_child = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Run everything that must go on until the last child has left."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._start_stages(nursery)
                    await nursery.start(self._sources.run)
                    for keeper in self._children:
                        nursery.start_soon(keeper.keep, name=f"keep {keeper.name}")
                    for keeper in self._children:
                        await keeper.wait_state("ready", "cheap")
                    await self._sources.go()
                    if self._feeder is not None:
                        nursery.start_soon(self._feeder.run)
                        await self._feeder.opened.wait()
                    if self._cluster is not None:
                        nursery.start_soon(self._cluster.node.run)
                        nursery.start_soon(self._cluster.node.guard)
                        await self._cluster.node.opened.wait()
                    self._scope.shield = True
                    self._runs = True
                    task_status.started()
        finally:
            self._runs = False
            self._hurry.cancel()
            self._unlink()
            with trio.CancelScope(shield=True):
                await self._zygotes.aclose()
                if self._feeder is not None:
                    await self._feeder.excuse_unfinished()
            self._final = self.statistics()
            self._close()

    def _start_stages(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._dispatcher.run, self._from_sources)
        nursery.start_soon(self._rebalancer.watch)
        nursery.start_soon(self._dispatcher.destinations.later.watch)
        nursery.start_soon(self._retries.watch)
        nursery.start_soon(self._raiser.listen)
        nursery.start_soon(self._orphans.watch)
        nursery.start_soon(self._zygotes.guard)
        nursery.start_soon(self._children.recycler.run)
        nursery.start_soon(self.reloader.run)
        if self._elastic is not None:
            nursery.start_soon(self._elastic.run)
        if self._journal is not None:
            nursery.start_soon(watch_journal, self._journal, self._ledger, self._restore_shared)
        if self._options.handler_timeout is not None:
            nursery.start_soon(self._harakiri(self._options.handler_timeout).watch)

    def _restore_shared(self) -> None:
        """Begin anew in the memory that the children share, after it has lost its content."""
        self._registry.republish()
        self._children.replace_all()

    def _harakiri(self, timeout: float) -> Harakiri:
        slots = self._dispatcher.destinations.slots.values()
        return Harakiri(timeout, slots, self._delivery, self._dispatcher.read_marks, self._children.kill)

    async def run_services(self, master: object, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the application's services of the master, which are given `master`, until the shutdown."""
        async with trio.open_nursery() as nursery:
            if self._cluster is not None:
                nursery.start_soon(self._cluster.leader.run, master)
            await self._services.run(master, task_status=task_status)

    def _unlink(self) -> None:
        """Nobody can raise or wait any more; what other threads raised until now is accepted."""
        self._app.verbs, self._app.in_child = self._before
        self._app.spool = None
        self._raiser.refuse()
        self._verbs.end_waits()

    def _close(self) -> None:
        self._raiser.close()
        self._memory.close()
        if self._journal is not None:
            self._journal.close()

    async def end(self) -> None:
        """Shut down, if there is anything left to, and say what was not delivered."""
        if self._runs:
            try:
                await self._shut_down()
            finally:  # a second Ctrl-C in a trio.run of the application's own is raised up there
                self._scope.cancel()

    async def _shut_down(self) -> None:
        """Stop in order, within the grace."""
        with self._hurry:
            self._hurry.deadline = trio.current_time() + self._options.grace
            self._sources.stop()
            self.reloader.stop()
            if self._cluster is not None:
                self._cluster.node.claimer.stop()
            if self._feeder is not None:
                self._feeder.stop()
            await self._services.stop()
            if self._cluster is not None:
                await self._cluster.leader.stop()
            self._delivery.every_bell = True
            request_bells(self._dispatcher.destinations.slots.values(), self._delivery)
            self._requests.draining = True
            self._children.push_all(Drain())
            for keeper in self._children:
                await keeper.wait_quiet()
            await self._drained()
            for keeper in self._children:
                keeper.leave(final=True)
            for keeper in self._children:
                await keeper.wait_state("stopped")
            if self._cluster is not None:
                await self._cluster.node.leave()

    async def _drained(self) -> None:
        while True:
            # In this order: what a handler had raised before it was marked done is in the pipe by then.
            self._dispatcher.read_marks()
            for keeper in self._children:
                keeper.take_raised()
            self._raiser.take()
            if not self._dispatcher.deliverable():
                return
            await self._delivery.wait_progress()

    def stop_now(self) -> None:
        """Give up what is not delivered yet, and end the children."""
        self._hurry.cancel()

    def report(self) -> None:
        """Say in the log what was not delivered."""
        for words in undelivered_report(self.statistics(), journaled=self._journal is not None):
            log.warning("master: %s", words)


def _count_of_workers(count: int) -> str:
    return "is 1 worker" if count == 1 else f"are {count} workers"


def _is_refused_fork(error: BaseException) -> bool:
    """Whether no process can be made, or something kills it at once; out of descriptors is another error."""
    if isinstance(error, OSError):
        return error.errno in (errno.EAGAIN, errno.ENOMEM)
    return isinstance(error, trio.BrokenResourceError)
