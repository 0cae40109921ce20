"""`open_master`: a master for the length of a block."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ._groups import unwrapped
from ._ledger import DeadLetter
from ._log import no_waiting
from ._master import Master
from ._options import Options, path_of
from ._reopen import open_journal
from ._shared import shared_bytes
from ._signals import Signals, application_of
from ._slots import queue_names
from ._targets import Topology
from ._wires import check_descriptors


@asynccontextmanager
@trio.lowlevel.enable_ki_protection  # see _interrupt
async def open_master(
    signals: Signals,
    *,
    workers: int = 1,
    mules: int = 0,
    farms: Mapping[str, Sequence[int]] | None = None,
    spoolers: int = 0,
    cores: int = 1,
    grace: float = 10.0,
    max_attempts: int = 3,
    max_queued: int = 64_000_000,
    handler_timeout: float | None = None,
    on_dead_letter: Callable[[DeadLetter], object] | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> AsyncIterator[Master]:
    """Open a master and its children inside a running `trio.run`; ready when every child is.

    On leaving, sources stop, services end, what is queued is delivered and the children leave, all within
    `grace` seconds; what is left then is killed, and what it did not finish is counted in the log. Cancelling
    the scope around it does the same.

    Args:
        signals: the application.
        workers: how many workers.
        mules: how many mules.
        spoolers: how many spoolers.
        farms: names of mule farms, each with the numbers of its mules, for example `{"busy": (1, 2)}`.
        cores: how many async handlers one process may run at a time.
        grace: seconds that a shutdown may take.
        max_attempts: how often a handler may end its process before its signal is dead-lettered.
        max_queued: pending signals at which `send` waits and `send_nowait` raises `trio.WouldBlock`.
        handler_timeout: seconds after which a process whose handler still runs is killed; None for no limit.
        on_dead_letter: called in the master with each signal that is dead-lettered; must not block.
        journal: a file that keeps what is pending even if the master is killed; the next master with the same
            file delivers it, or refuses with ValueError what is not a journal. None keeps it in memory only.

    Raises:
        TargetError: a target, hook, service or farm names processes that there are not.
        ValueError, TypeError: another argument that cannot be.
        ChildFailedError: a child could not start; nothing is left running.
        OSError: the journal cannot be read or made; the one that is there is left as it is.
        OSError: there are too few descriptors for so many processes (EMFILE); nothing was started.
        OSError: the kernel refuses what an event source needs; the message names the limit to raise.
        trio.BusyResourceError: these signals have an open master already, or another master uses the journal.
    """
    topology = Topology(workers, mules, spoolers, farms or {})
    options = Options(cores, grace, max_attempts, max_queued, handler_timeout, on_dead_letter)
    path = path_of("journal", journal)
    app = application_of(signals)
    app.check(topology)
    check_descriptors(len(topology.processes()))
    with app.opening(), no_waiting():
        master = await _make_master(signals, topology, options, path)
        try:
            with unwrapped() as body:
                async with trio.open_nursery() as nursery:
                    master.begin()
                    try:
                        await nursery.start(master.run)
                        # Cancelled at its last step, `run` has started and ended: then there is no master to yield.
                        await trio.lowlevel.checkpoint_if_cancelled()
                        with body:
                            yield master
                    finally:
                        with trio.CancelScope(shield=True):
                            await master.end()
        finally:
            master.report()


async def _make_master(signals: Signals, topology: Topology, options: Options, journal: Path | None) -> Master:
    """A master that has taken over what the one before it left in the journal, if there is one."""
    if journal is None:
        return Master(signals, topology, options, None)
    slots = len(topology.processes())
    names = queue_names(topology)
    kept, pending = await open_journal(journal, names, slots, shared_bytes(slots))
    try:
        master = Master(signals, topology, options, kept)
    except BaseException:
        kept.close()
        raise
    master.go_on_with(pending)
    return master
