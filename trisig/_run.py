"""`run`: a master for a whole program, which stops on SIGTERM and SIGINT."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import trio

from ._groups import unwrapped
from ._master import Master, open_master
from ._signals import Signals

log = logging.getLogger("trisig")


def run(
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
    journal: str | os.PathLike[str] | None = None,
) -> int:
    """Open a master and run it until SIGTERM or SIGINT; a second one stops at once.

    To be called in the main thread, outside `trio.run`. Arguments and exceptions as for `open_master`.

    Returns:
        The exit status, 0.
    """
    opened = partial(
        open_master,
        signals,
        workers=workers,
        mules=mules,
        farms=farms,
        spoolers=spoolers,
        cores=cores,
        grace=grace,
        max_attempts=max_attempts,
        max_queued=max_queued,
        handler_timeout=handler_timeout,
        journal=journal,
    )
    return trio.run(_main, opened)


class _Stopper:
    """What the unix signals do."""

    def __init__(self) -> None:
        self.body = trio.CancelScope()
        self.master: Master | None = None

    async def listen(self, arrivals: AsyncIterator[int]) -> None:
        async for number in arrivals:
            name = signal.Signals(number).name
            if not self.body.cancel_called:
                log.info("master: %s, stopping; once more stops at once", name)
                self.body.cancel()
            elif self.master is not None:
                log.warning("master: %s again, stopping at once", name)
                self.master.stop_now()


async def _main(opened: Callable[[], AbstractAsyncContextManager[Master]]) -> int:
    stopper = _Stopper()
    with unwrapped(), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrivals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopper.listen, arrivals)
            with stopper.body:
                async with opened() as stopper.master:
                    log.info("master: ready, %s", _told(stopper.master))
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()
    log.info("master: stopped")
    return 0


def _told(master: Master) -> str:
    return ", ".join(f"{process.name} {process.pid}" for process in master.processes)
