"""The engine of a master: composes what goes on around the core, and runs all of it.

    requests of children ─> Keeper ─> RequestHandler ─> table, waiters, locks, sources

Everything runs in one nursery, which is shielded once all children are ready: a cancellation of the scope around
`open_master` reaches the body first, and the engine only through the orderly shutdown:

    sources stop -> services end -> what is queued is delivered -> children leave -> the rest is counted

`grace` bounds the whole of it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import trio

from trisig._api.options import Options
from trisig._api.signals import Signals, application_of
from trisig._child.main import ChildMain
from trisig._ipc.inlets import Outbox
from trisig._ipc.messages import Drain
from trisig._ipc.runtime_handlers import RuntimeHandlers
from trisig._model.errors import ChildFailedError
from trisig._model.process import MASTER_VARIABLE
from trisig._sources.raised import Raised
from trisig._sources.runner import Sources
from trisig._util.ki_protection import ki_protected
from trisig._util.own_thread import OwnThread

from .children import Children
from .core import Core
from .dead_letters import DeadLetters
from .extras import Extras
from .orphans import Orphans
from .overview import Overview
from .registry import Registry
from .report import undelivered_report
from .requests import RequestHandler
from .services import MasterService, MasterServices
from .slots import request_bells
from .verbs import MasterVerbs
from .workers import Workers
from .zygotes import Zygotes

if TYPE_CHECKING:  # no run that cannot reload imports it
    from .reloader import Reloader

log = logging.getLogger("trisig")


@ki_protected
class Engine:
    """All the parts of one master.

    Args:
        signals: the application.
        options: of the master.
        core: what signals go through; closed with this.
        extras: what else this master has.

    Attributes:
        app: what the application has declared.
        sources: its event sources.
        children: its processes.
        zygotes: what makes them.
        registry: changes the table and the sources.
        requests: answers what the processes ask.
        overview: what it knows of itself.
        workers: those that somebody stops and wakes.
        dead_letters: what was given up.
        check: refuses what is done in another thread, as `OwnThread` does.
        reloader: has another version of the application run; None if there can be none.
    """

    def __init__(self, signals: Signals, options: Options, core: Core, extras: Extras) -> None:
        self.app = app = application_of(signals)
        self._before = app.verbs, app.in_child
        self.options = options
        self.core = core
        self.extras = extras
        into_channel, from_sources = trio.open_memory_channel[Raised](0)
        schedules = (lambda _: None) if extras.journal is None else extras.journal.schedule
        self.sources = Sources(
            into_channel, app.sources, core.dispatcher.accept_at_once, options.timer_lead, schedules=schedules
        )
        self._services = MasterServices(app.master_services)
        orphans = Orphans()
        self.zygotes = Zygotes(self._child_main(signals), self._private_fds)
        self.children = Children(
            core.topology, core.dispatcher, orphans, self.zygotes.spawn_of, options.grace, core.hook.given_up
        )
        self._open_verbs(signals)
        self._runs = False
        self.check = check = OwnThread().check
        keepers = self.children.keepers
        self.overview = Overview(core, keepers, self.sources, extras, check)
        self.workers = Workers(core.dispatcher, keepers, check, lambda: self.is_over)
        jobs = None if extras.spool is None else extras.spool.dead
        self.dead_letters = DeadLetters(core.ledger, jobs, core.dispatcher, options.cluster, check)
        self.reloader: Reloader | None = None
        self._stages: list[Callable[[], Awaitable[object]]] = [
            partial(core.dispatcher.run, from_sources),
            core.rebalancer.watch,
            core.destinations.later.watch,
            core.retries.watch,
            core.raiser.listen,
            orphans.watch,
            self.zygotes.guard,
            self.children.recycler.run,
        ]
        self._scope = trio.CancelScope()
        self._hurry = trio.CancelScope(shield=True)

    def _child_main(self, signals: Signals) -> ChildMain:
        core, extras = self.core, self.extras
        return ChildMain(
            signals,
            self.app,
            core.topology,
            core.memory.shared,
            core.memory.gate,
            self.options.cores,
            self.options.life_limits,
            self._outbox,
            MASTER_VARIABLE,
            extras.cluster is not None,
            None if extras.spool is None else extras.spool.jobs,
        )

    def _outbox(self, process: str) -> Outbox | None:
        return None if self.extras.journal is None else self.extras.journal.outbox(process)

    def _private_fds(self) -> list[int]:
        return [*self.children.fds(), *self._services.fds()]

    def _open_verbs(self, signals: Signals) -> None:
        """Connect what the application and the children may do with the table, sources, waiting tasks and locks."""
        core, spool, cluster = self.core, self.extras.spool, self.extras.cluster
        handlers = RuntimeHandlers(core.memory.shared.registrations, self.children.push_all)
        self.registry = Registry(core.topology, core.table, handlers, self.sources, core.dispatcher.refresh)
        self.requests = RequestHandler(self.registry, core.destinations, core.locks, handlers, self.app.forget)
        self.requests.slow_handler = self.options.slow_handler
        self.children.open(self.requests, self.registry, core.locks)
        self._verbs = MasterVerbs(signals, core.table, self.registry, core.raiser, core.destinations, core.locks)
        core.post.children, core.post.master = self.children, self._verbs
        if spool is not None:
            core.post.spool = spool.feeder.answered
        if cluster is not None:
            self.registry.has_cluster, self.requests.cluster = True, cluster
            self._verbs.be_in(cluster)

    # What is added before it begins

    def add_service(self, service: MasterService, fds: Callable[[], Sequence[int]] = tuple[int, ...]) -> None:
        """Run a service that is not the application's.

        Args:
            service: given the `Master`, until the shutdown.
            fds: its descriptors, which no child shall hold.
        """
        self._services.add(service, fds)

    def add_stage(self, stage: Callable[[], Awaitable[object]]) -> None:
        """Run something from before the first child is made until the last one has left."""
        self._stages.append(stage)

    # Its life

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or not begun."""
        return not self._runs

    def begin(self) -> None:
        """Fork the zygote, and with it everything that the application has declared so far."""
        self.core.delivery.every_bell = any(one.wants_ends_at_once for one in self.options.instruments)
        self.app.spool = None if self.extras.spool is None else self.extras.spool.writer
        try:
            self.zygotes.open()
        except BaseException as error:
            self._unlink()
            self.core.close()
            if _is_refused_fork(error):
                reason = f"could not be forked: {error}"
                raise ChildFailedError("zygote", None, reason=reason) from error  # noqa: ASYNC104  it is an OSError
            raise
        self.app.verbs = self._verbs
        self.app.in_child = False

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Run everything that must go on until the last child has left."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for stage in self._stages:
                        nursery.start_soon(stage)
                    await nursery.start(self.sources.run)
                    for keeper in self.children:
                        nursery.start_soon(keeper.keep, name=f"keep {keeper.name}")
                    for keeper in self.children:
                        await keeper.wait_state("ready", "cheap")
                    await self.sources.go()
                    for intake in self.extras.intakes:
                        nursery.start_soon(intake.run)
                        await intake.opened.wait()
                    self._scope.shield = True
                    self._runs = True
                    task_status.started()
        finally:
            self._runs = False
            self._hurry.cancel()
            self._unlink()
            with trio.CancelScope(shield=True):
                await self.zygotes.aclose()
                if self.extras.spool is not None:
                    await self.extras.spool.feeder.excuse_unfinished()
            self.overview.end()
            self.core.close()

    def restore_shared(self) -> None:
        """Begin anew in the memory that the children share, after it has lost its content."""
        self.registry.republish()
        self.children.replace_all()

    async def run_services(self, master: object, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the application's services of the master, which are given `master`, until the shutdown."""
        await self._services.run(master, task_status=task_status)

    def _unlink(self) -> None:
        """Nobody can raise or wait any more; what other threads raised until now is accepted."""
        self.app.verbs, self.app.in_child = self._before
        self.app.spool = None
        self.core.raiser.refuse()
        self._verbs.end_waits()

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
            self._hurry.deadline = trio.current_time() + self.options.grace
            self.sources.stop()
            if self.reloader is not None:
                self.reloader.stop()
            for intake in self.extras.intakes:
                intake.stop()
            await self._services.stop()
            self.core.delivery.every_bell = True
            request_bells(self.core.destinations.slots.values(), self.core.delivery)
            self.requests.draining = True
            self.children.push_all(Drain())
            for keeper in self.children:
                await keeper.wait_quiet()
            await self._drained()
            for keeper in self.children:
                keeper.leave(final=True)
            for keeper in self.children:
                await keeper.wait_state("stopped")
            if self.extras.cluster is not None:
                await self.extras.cluster.leave()

    async def _drained(self) -> None:
        while True:
            # In this order: what a handler had raised before it was marked done is in the pipe by then.
            self.core.dispatcher.read_marks()
            for keeper in self.children:
                keeper.take_raised()
            self.core.raiser.take()
            if not self.core.dispatcher.deliverable():
                return
            await self.core.delivery.wait_progress()

    def stop_now(self) -> None:
        """Give up what is not delivered yet, and end the children."""
        self._hurry.cancel()

    def report(self) -> None:
        """Say in the log what was not delivered."""
        for words in undelivered_report(self.overview.statistics(), journaled=self.extras.journal is not None):
            log.warning("master: %s", words)


def _is_refused_fork(error: BaseException) -> bool:
    """Whether no process can be made, or something kills it at once; out of descriptors is another error."""
    if isinstance(error, OSError):
        return error.errno in (errno.EAGAIN, errno.ENOMEM)
    return isinstance(error, trio.BrokenResourceError)
