"""`open_master`: a master that runs as long as a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Unpack

import trio

from ._api.options import MasterOptions, Options
from ._api.signals import Signals, application_of
from ._extras import make_engine, open_remote, serve_remote
from ._ipc.descriptors import check_descriptors
from ._linux.activation import hide_from_programs
from ._master.engine import Engine
from ._master.master import Master
from ._util.exception_groups import unwrapped
from ._util.log import non_blocking_logging

if TYPE_CHECKING:
    from ._remote.sockets import RemoteSockets


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # see _util/ki_protection
async def open_master(signals: Signals, **options: Unpack[MasterOptions]) -> AsyncIterator[Master]:
    """Open a master and its children inside a running `trio.run`; the block begins when every child is ready.

    When the block ends, sources stop, services end, queued signals are delivered and the children leave, all within
    `grace` seconds. What has not finished by then is killed, and the log counts its signals. Cancelling the scope
    around the block does the same.

    Args:
        signals: the application.
        options: see `MasterOptions`.

    Raises:
        TargetError: a target, hook, service or farm names processes that do not exist.
        ValueError, TypeError: another argument is wrong, or the journal is not a journal or is damaged; or a task is
            durable and there is no spool.
        ChildFailedError: a child could not start; nothing is left running.
        OSError: the journal cannot be read or made, and the file that is there is left as it is; or the spool cannot be
            made, read or written; or there are too few
            descriptors for so many processes (EMFILE), and nothing was started; or the kernel refuses what an event
            source needs, and the message names the limit to raise.
        ClusterError: the database of the cluster cannot be used.
        trio.BusyResourceError: these signals have an open master already, or another master uses the journal, or
            another node of the cluster has the name.
    """
    async with open_engine(signals, Options.given_to("open_master", options)) as engine:
        yield Master(engine)


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # see _util/ki_protection
async def open_engine(
    signals: Signals, options: Options, sockets: RemoteSockets | None = None
) -> AsyncIterator[Engine]:
    """Open a master as `open_master` does, and yield its engine, which can do more than users may ask of a `Master`.

    Args:
        signals: the application.
        options: of the master.
        sockets: where it takes signals of other programs; None for what the options say. Given ones stay open.
    """
    topology, _, spool = options.topology, options.journal_path, options.spool_path  # checked before anything is opened
    app = application_of(signals)
    app.check(topology, has_spool=spool is not None, has_cluster=options.cluster is not None)
    check_descriptors(len(topology.processes()))
    hide_from_programs()
    with app.opening(), non_blocking_logging():
        async with _made(signals, options, sockets) as engine:
            with unwrapped() as body:
                async with trio.open_nursery() as nursery:
                    engine.begin()
                    try:
                        await nursery.start(engine.run)
                        await nursery.start(engine.run_services, Master(engine))
                        # Cancelled at its last step, `run` has started and ended: then there is no master to yield.
                        await trio.lowlevel.checkpoint_if_cancelled()
                        with body:
                            yield engine
                    finally:
                        with trio.CancelScope(shield=True):
                            await engine.end()


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def _made(signals: Signals, options: Options, sockets: RemoteSockets | None) -> AsyncIterator[Engine]:
    """An engine that has not begun, for a block; at its end the log says what was not delivered."""
    opened = await open_remote(options) if sockets is None else sockets
    try:
        engine = await make_engine(signals, options)
        if opened is not None and opened.listeners:
            serve_remote(engine, signals, opened, closes=sockets is None)
        try:
            yield engine
        finally:
            engine.report()
    finally:
        if sockets is None and opened is not None:
            opened.close()
