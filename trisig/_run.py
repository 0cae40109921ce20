"""`run`: a master for a whole program, which stops on SIGTERM and SIGINT."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from pathlib import Path

import trio

from ._endpoint import Command, Endpoint, open_listener
from ._errors import NoMasterError
from ._groups import unwrapped
from ._ledger import DeadLetter
from ._log import no_waiting
from ._master import Master
from ._open import open_master
from ._options import path_of
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
    on_dead_letter: Callable[[DeadLetter], object] | None = None,
    journal: str | os.PathLike[str] | None = None,
    control: str | os.PathLike[str] | None = None,
) -> int:
    """Open a master and run it until SIGTERM or SIGINT; a second one stops at once.

    To be called in the main thread, outside `trio.run`.

    Args:
        signals: the application.
        workers: how many workers.
        mules: how many mules.
        farms: names of farms and the numbers of their mules.
        spoolers: how many spoolers.
        cores: how many async handlers one process may run at a time.
        grace: seconds that a shutdown may take.
        max_attempts: how often a handler may end its process before its signal is dead-lettered.
        max_queued: pending signals at which raisers wait.
        handler_timeout: seconds that a handler may run.
        on_dead_letter: called in the master with each signal that is given up.
        journal: a file that keeps what is pending.
        control: where to listen for commands (`trisig send`, `status`, `cheap`, `wake`, `stop`); a unix socket
            that only its owner may use. None listens nowhere.

    Returns:
        The exit status, 0.

    Raises:
        trio.BusyResourceError: another master listens at `control`.
        OSError: the socket cannot be made.
        Exception: as `open_master`.
    """
    listens_at = path_of("control", control)
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # as some supervisors leave it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
        on_dead_letter=on_dead_letter,
        journal=journal,
    )
    with no_waiting():
        return trio.run(_main, signals, opened, listens_at, grace)


class _Stopper:
    """What the unix signals do.

    Attributes:
        body: ends the master, open or still opening, when it is cancelled.
        master: None until it is open.
    """

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

    def opened(self) -> Master:
        """The master.

        Raises:
            NoMasterError: it is not open yet.
        """
        if self.master is None:
            raise NoMasterError("the master is still starting: its log says what it waits for")
        return self.master


async def _main(
    signals: Signals,
    opened: Callable[[], AbstractAsyncContextManager[Master]],
    control: Path | None,
    grace: float,
) -> int:
    stopper = _Stopper()
    with unwrapped(), trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrivals:
        # Connections end last: for `trisig stop` that is when the next master may have the path.
        async with trio.open_nursery() as connections:
            async with _listening(control) as listener, trio.open_nursery() as nursery:
                nursery.start_soon(stopper.listen, arrivals)
                if listener is not None:
                    endpoint = Endpoint(_commands(signals, stopper, grace))
                    nursery.start_soon(endpoint.serve, listener, connections)
                with stopper.body:
                    async with opened() as stopper.master:
                        log.info("master: ready, %s", _told(stopper.master))
                        await trio.sleep_forever()
                nursery.cancel_scope.cancel()
            connections.cancel_scope.cancel()
    log.info("master: stopped")
    return 0


def _listening(path: Path | None) -> AbstractAsyncContextManager[trio.SocketListener | None]:
    """The control socket, made before any child is: what is wrong with its path is said at once."""
    return nullcontext() if path is None else open_listener(path)


def _commands(signals: Signals, stopper: _Stopper, grace: float) -> dict[str, Command]:
    """What may be asked of a master, as soon as it begins to open."""

    async def status() -> object:
        return dataclasses.asdict(stopper.opened().statistics())

    async def stop() -> float:
        log.info("master: stopping, as asked through the control socket")
        stopper.body.cancel()
        return grace

    async def send(signum: int) -> None:
        stopper.opened()
        await signals.send(signum)

    async def cheap(number: int) -> None:
        await stopper.opened().cheap(number)

    async def wake(number: int) -> None:
        await stopper.opened().wake(number)

    return {"status": status, "send": send, "cheap": cheap, "wake": wake, "stop": stop}


def _told(master: Master) -> str:
    return ", ".join(f"{process.name} {process.pid}" for process in master.processes)
