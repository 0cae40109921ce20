"""What a master may have or not have: each part is imported and made here, and only if the options ask for it.

So a run that does without a part neither waits for its import, nor has it in the memory of each process.
"""

# ruff: noqa: PLC0415  as said above

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import trio

from ._api.options import Options
from ._api.signals import Signals, application_of
from ._linux.activation import activated_control
from ._master.core import Core
from ._master.engine import Engine
from ._master.extras import Extras, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from ._api.reload_triggers import ReloadTriggers
    from ._desk import Desk, Window
    from ._master.cluster_seat import ClusterSeat
    from ._master.commands import Stopping
    from ._master.journaling import Journaling
    from ._master.reload_watch import ReloadWatch
    from ._remote.sockets import RemoteSockets
    from ._spool.directory import SpoolDirectory


async def make_engine(signals: Signals, options: Options) -> Engine:
    """Make the engine of a master, which has taken over what an earlier one left in the journal, if there is one."""
    spool = await _open_spool(options.spool_path)
    journal = await _open_journal(signals, options)
    with ExitStack() as undo:
        if journal is not None:
            undo.callback(journal.close)
        core = Core(application_of(signals), options, journal)
        undo.pop_all()
        undo.callback(core.close)
        seat = _join_cluster(signals, options, core)
        engine = Engine(signals, options, core, Extras(journal, _feed(spool, options, core), seat))
        if seat is not None:
            engine.add_service(seat.leader.run)
        _add_watches(engine, options)
        _let_reload(engine, options)
        if journal is not None:
            engine.add_stage(partial(journal.watch, core.ledger, engine.restore_shared))
            journal.resume(core, engine.overview)
        undo.pop_all()
    return engine


async def _open_journal(signals: Signals, options: Options) -> Journaling | None:
    if options.journal_path is None:
        return None
    from ._master.journaling import open_journaling

    in_cluster = options.cluster is not None
    return await open_journaling(options.journal_path, application_of(signals), options.topology, in_cluster=in_cluster)


async def _open_spool(path: Path | None) -> SpoolDirectory | None:
    if path is None:
        return None
    from ._spool.directory import SpoolDirectory

    return await trio.to_thread.run_sync(SpoolDirectory, path)


def _feed(directory: SpoolDirectory | None, options: Options, core: Core) -> Spool | None:
    if directory is None:
        return None
    from ._child.job_runner import JobRunner
    from ._master.job_feeder import JobFeeder
    from ._spool.committer import Committer
    from ._spool.dead_jobs import DeadJobs
    from ._spool.writer import SpoolWriter

    feeder = JobFeeder(directory, core.dispatcher, core.tasks.all, options.cores, core.hook.given_up)
    return Spool(feeder, SpoolWriter(Committer(directory)), JobRunner(directory), DeadJobs(directory))


def _join_cluster(signals: Signals, options: Options, core: Core) -> ClusterSeat | None:
    if options.cluster is None:
        return None
    from ._master.cluster_seat import ClusterSeat

    least = len(core.topology.processes()) * options.cores
    return ClusterSeat(options.cluster, application_of(signals), core, least)


def _add_watches(engine: Engine, options: Options) -> None:
    core, keepers = engine.core, engine.children.keepers
    if options.elasticity is not None:
        from ._master.elastic import Elastic

        engine.add_stage(Elastic(options.elasticity, core.dispatcher, core.delivery, keepers).run)
    if options.handler_timeout is not None:
        from ._master.harakiri import Harakiri

        slots, kill = core.destinations.slots.values(), engine.children.kill
        read_marks = core.dispatcher.read_marks
        engine.add_stage(Harakiri(options.handler_timeout, slots, core.delivery, read_marks, kill).watch)


def _let_reload(engine: Engine, options: Options) -> None:
    if options.application is None:
        return
    from ._api.manifest import manifest_of
    from ._master.adoption import Adoption
    from ._master.fresh_start import FreshStart
    from ._master.reloader import Reloader

    core, spool = engine.core, engine.extras.spool
    feeder = None if spool is None else spool.feeder
    start = FreshStart(options, core.memory, engine.extras.journal)
    adoption = Adoption(core.tasks, core.table, engine.registry, core.dispatcher, feeder)
    reloader = Reloader(manifest_of(engine.app), start, engine.zygotes, engine.children.keepers, adoption)
    engine.reloader = reloader
    engine.add_stage(reloader.run)


async def open_remote(options: Options) -> RemoteSockets | None:
    """Listen for signals of other programs; None for nowhere."""
    if not options.addresses:
        return None
    from ._remote.sockets import open_sockets

    return await open_sockets(options.addresses)


def serve_remote(engine: Engine, signals: Signals, sockets: RemoteSockets, *, closes: bool) -> None:
    """Have an engine take signals of other programs.

    Args:
        engine: which has not begun.
        signals: raises them.
        sockets: to which the programs connect.
        closes: whether they are closed at the end of the engine.
    """
    from ._remote.server import RemoteServer

    engine.add_service(RemoteServer(signals, sockets, closes=closes).serve, sockets.fds)


def watch_for_reloads(options: Options, triggers: ReloadTriggers) -> ReloadWatch | None:
    """What follows the triggers of reloads; None if the master cannot reload."""
    if options.application is None:
        return None
    from ._master.reload_watch import ReloadWatch

    return ReloadWatch(triggers)


def open_desk(
    signals: Signals,
    stopping: Stopping,
    reload_soon: Callable[[], object] | None,
    control: Sequence[Path],
    windows: Sequence[Window],
) -> AbstractAsyncContextManager[Desk | None]:
    """Serve operators while the block runs, if there is anywhere where they may come; see `Desk`."""
    if not control and not windows and activated_control() is None:
        return nullcontext()
    from . import _desk

    return _desk.open_desk(signals, stopping, reload_soon, control, windows)
