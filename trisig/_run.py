"""`run`: a master for a whole program, which Unix signals and the control socket stop."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import trio

from ._api.options import MasterOptions, Options, path_of
from ._api.reload_triggers import ReloadTriggers
from ._api.signals import Signals
from ._extras import open_desk, watch_for_reloads
from ._master.engine import Engine
from ._master.master import Master
from ._open import open_engine
from ._util.exception_groups import unwrapped
from ._util.log import non_blocking_logging
from ._util.service_manager import ServiceManager
from ._util.stop_signals import StopSignals, hold_stop_signals, waking_trio

if TYPE_CHECKING:
    from ._desk import Desk, Window
    from ._master.reload_watch import ReloadWatch
    from ._master.reloader import Reloader
    from ._remote.sockets import RemoteSockets

log = logging.getLogger("trisig")

# GNU timeout and some supervisors signal a process and, in the same moment, its group; both mean one request.
SAME_REQUEST_S = 1.0


def run(
    signals: Signals,
    *,
    control: str | os.PathLike[str] | None = None,
    touch_reload: Sequence[str | os.PathLike[str]] = (),
    **options: Unpack[MasterOptions],
) -> int:
    """Open a master and run it until SIGTERM, SIGINT, SIGHUP or SIGQUIT.

    Another one that comes more than a second later stops at once: handlers that still run are killed, the log counts
    what was not delivered, and the status is 0 all the same. SIGHUP and SIGQUIT stop it only if nothing else is done
    with them: neither `nohup` nor a handler of the application's own is overruled.

    With `application=`, where a reload finds it, and without a terminal, SIGHUP reloads instead.

    To be called in the main thread, outside `trio.run`.

    Args:
        signals: the application.
        control: where to listen for commands (`trisig send`, `drop`, `status`, `run-now`, `pause`, `resume`, `cheap`,
            `wake`, `reload`, `stop`): a unix socket that only its owner may use. None listens nowhere,
            unless the service manager has opened a socket named `control`.
        touch_reload: files; whatever is done to one of them reloads the application. It needs `application=`.
        options: see `MasterOptions`.

    Returns:
        The exit status, 0.

    Raises:
        trio.BusyResourceError: another master listens at `control`.
        OSError: the socket cannot be made.
        Exception: as `open_master`.
    """
    path = path_of("control", control)
    touched = [found for one in touch_reload if (found := path_of("touch_reload", one)) is not None]
    checked = Options.given_to("run", options)
    if touched and checked.application is None:
        raise ValueError('touch_reload needs application="MODULE:NAME", which says what is imported again')
    return serve(signals, checked, () if path is None else (path,), ReloadTriggers(touched))


def serve(
    signals: Signals,
    options: Options,
    control: Sequence[Path],
    triggers: ReloadTriggers = ReloadTriggers(),  # noqa: B008
    windows: Sequence[Window] = (),
    sockets: RemoteSockets | None = None,
) -> int:
    """Do as `run` does, with options that are checked.

    Args:
        signals: the application.
        options: of the master.
        control: where to listen for commands: the first of these on which no other master does.
        triggers: what a reload follows.
        windows: what else to serve.
        sockets: where to take signals of other programs; None for what the options say. Given ones stay open.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:  # as some supervisors leave it
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    opening, manager = open_engine(signals, options, sockets), ServiceManager(os.environ)
    with hold_stop_signals() as held, non_blocking_logging():
        stopper = Stopper(options.grace, manager, watch_for_reloads(options, triggers))
        reload_soon = None if stopper.reloads is None else stopper.reloads.ask
        desk = open_desk(signals, stopper, reload_soon, control, windows)
        return trio.run(_main, stopper, opening, desk, held)


class Stopper:
    """Ends the master in order, and at once when it is asked again.

    Args:
        grace: of the master, in seconds.
        manager: is told.
        reloads: reloads the master; None if it cannot reload.

    Attributes:
        body: the scope around the open master, or the one that is opening.
        engine: of the master; None until it is open.
        since: the moment at which the end began, by trio's clock; None before.
    """

    def __init__(self, grace: float, manager: ServiceManager, reloads: ReloadWatch | None = None) -> None:
        self.grace = grace
        self._has_terminal = any(os.isatty(fd) for fd in (0, 1, 2))  # one that is closed is none any more
        self.reloads = reloads
        self.manager = manager
        self.body = trio.CancelScope()
        self.engine: Engine | None = None
        self.since: float | None = None

    async def listen(self, signals: StopSignals) -> None:
        """Obey the Unix signals. All of them stop the master, but for a SIGHUP that no closed terminal has sent."""
        while True:
            number = await signals.arrival()
            name = signal.Signals(number).name
            if number == signal.SIGHUP and self.reloads is not None and not self._has_terminal:
                log.info("master: SIGHUP")
                self.reloads.ask()
            elif self.since is None:
                self.stop(f"{name}; send it again to stop at once")
            elif trio.current_time() - self.since >= SAME_REQUEST_S and self.engine is not None:
                log.warning("master: %s again: stopping at once", name)
                self.engine.stop_now()
                return  # there is no more to ask for

    def stop(self, why: str) -> None:
        """Begin the orderly end; does nothing if it has begun."""
        if self.since is None:
            self.since = trio.current_time()
            log.info("master: stopping: %s", why)
            self.manager.stopping(self.grace + SAME_REQUEST_S)
            self.body.cancel()


async def _main(
    stopper: Stopper,
    opening: AbstractAsyncContextManager[Engine],
    desk: AbstractAsyncContextManager[Desk | None],
    held: StopSignals,
) -> int:
    with waking_trio(), unwrapped():
        async with desk as operators, trio.open_nursery() as nursery:
            nursery.start_soon(stopper.listen, held)
            with stopper.body:
                async with opening as stopper.engine:
                    master = Master(stopper.engine)
                    log.info("master: ready, %s", _listed(master))
                    stopper.manager.ready(_listed(master))
                    if operators is not None:
                        operators.opened(master)
                    await _live(master, stopper.engine.reloader, stopper)
            nursery.cancel_scope.cancel()
    log.info("master: stopped")
    return 0


async def _live(master: Master, reloader: Reloader | None, stopper: Stopper) -> None:
    """Do what there is to be done while the master is open; until cancelled."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_prove_alive, master, stopper.manager)
        if reloader is not None and stopper.reloads is not None:
            reloader.told = partial(_tell_of_reload, master, stopper.manager)
            nursery.start_soon(stopper.reloads.run, master, reloader)


async def _prove_alive(master: Master, manager: ServiceManager) -> None:
    """Tell the service manager that all is well, as often as it wants to hear it; until cancelled."""
    if manager.watchdog is None:
        await trio.sleep_forever()
    while True:
        problems = await master.check_alive(manager.watchdog / 3)
        for problem in problems:
            log.error("master: %s", problem)
        if not problems:
            manager.alive()
        await trio.sleep(manager.watchdog / 3)


def _tell_of_reload(master: Master, manager: ServiceManager, begins: bool) -> None:  # noqa: FBT001  what the reloader says
    if begins:
        manager.reloading()
    else:
        manager.ready(_listed(master))


def _listed(master: Master) -> str:
    return ", ".join(f"{process.name} {process.pid}" for process in master.processes)
