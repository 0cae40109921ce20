"""`run`: a master for a whole program, which Unix signals and the control socket stop."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Unpack

import msgspec
import trio

from ._api.options import MasterOptions, Options, path_of
from ._api.reload_triggers import ReloadTriggers
from ._api.signals import Signals, application_of
from ._control.fixed_listener import FixedListener
from ._control.listener import UnixListener, open_listener
from ._control.outlet import Outlet, open_outlet
from ._control.server import ControlServer
from ._linux.activation import activated_control
from ._master.commands import MasterCommands
from ._master.engine import Engine
from ._master.master import Master
from ._master.reload_watch import ReloadWatch
from ._open import open_engine
from ._remote.sockets import RemoteSockets
from ._util.exception_groups import unwrapped
from ._util.log import non_blocking_logging
from ._util.service_manager import ServiceManager
from ._util.stop_signals import StopSignals, hold_stop_signals, waking_trio

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


class Window(msgspec.Struct, frozen=True):
    """Where others may read what the master reports.

    Attributes:
        address: of the outlet.
        answer: answers one client.
    """

    address: str
    answer: Callable[[Master, trio.SocketStream], Awaitable[object]]


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
        reloads = None if options.application is None else ReloadWatch(triggers)
        stopper = Stopper(signals, options.grace, manager, reloads)
        return trio.run(_main, stopper, opening, control, windows, held)


class Stopper:
    """Ends the master in order, and at once when it is asked again.

    Args:
        signals: the application.
        grace: of the master, in seconds.
        manager: is told.
        reloads: reloads the master; None if it cannot reload.

    Attributes:
        body: the scope around the open master, or the one that is opening.
        engine: of the master; None until it is open.
        commands: what an operator may ask.
        further_commands: what the application adds to that.
    """

    def __init__(
        self, signals: Signals, grace: float, manager: ServiceManager, reloads: ReloadWatch | None = None
    ) -> None:
        self._grace = grace
        self._has_terminal = any(os.isatty(fd) for fd in (0, 1, 2))  # one that is closed is none any more
        self.further_commands = application_of(signals).commands
        self.reloads = reloads
        self.manager = manager
        self.body = trio.CancelScope()
        self.engine: Engine | None = None
        self.commands = MasterCommands(signals, grace, self.stop, None if reloads is None else reloads.ask)

    async def listen(self, signals: StopSignals) -> None:
        """Obey the Unix signals. All of them stop the master, but for a SIGHUP that no closed terminal has sent."""
        while True:
            number = await signals.arrival()
            name = signal.Signals(number).name
            if number == signal.SIGHUP and self.reloads is not None and not self._has_terminal:
                log.info("master: SIGHUP")
                self.reloads.ask()
                continue
            since = self.commands.stopping_since
            if since is None:
                self.stop(f"{name}; send it again to stop at once")
            elif trio.current_time() - since >= SAME_REQUEST_S and self.engine is not None:
                log.warning("master: %s again: stopping at once", name)
                self.engine.stop_now()
                return  # there is no more to ask for

    def stop(self, why: str) -> None:
        """Begin the orderly end; does nothing if it has begun."""
        if self.commands.stopping_since is None:
            self.commands.stopping_since = trio.current_time()
            log.info("master: stopping: %s", why)
            self.manager.stopping(self._grace + SAME_REQUEST_S)
            self.body.cancel()


async def _main(
    stopper: Stopper,
    opening: AbstractAsyncContextManager[Engine],
    control: Sequence[Path],
    windows: Sequence[Window],
    held: StopSignals,
) -> int:
    with waking_trio(), unwrapped():
        # Connections end last: for `trisig stop` that is when the next master may have the path.
        async with trio.open_nursery() as connections:
            async with _listening(control) as listener, _opened(windows) as outlets, trio.open_nursery() as nursery:
                nursery.start_soon(stopper.listen, held)
                if listener is not None:
                    commands = {**stopper.further_commands, **stopper.commands.commands()}
                    server = ControlServer(commands, stopper.commands.progress())
                    nursery.start_soon(server.serve, listener, connections)
                    nursery.start_soon(listener.keep)
                with stopper.body:
                    async with opening as stopper.engine:
                        stopper.commands.master = master = Master(stopper.engine)
                        log.info("master: ready, %s", _listed(master))
                        stopper.manager.ready(_listed(master))
                        for outlet, window in outlets:
                            nursery.start_soon(outlet.serve, partial(window.answer, master))
                        reloader = stopper.engine.reloader
                        if reloader is not None:
                            reloader.told = partial(_tell_of_reload, master, stopper.manager)
                        async with trio.open_nursery() as body:
                            body.start_soon(_prove_alive, master, stopper.manager)
                            if stopper.reloads is not None and reloader is not None:
                                body.start_soon(stopper.reloads.run, master, reloader)
                nursery.cancel_scope.cancel()
            connections.cancel_scope.cancel()
    log.info("master: stopped")
    return 0


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


@asynccontextmanager
async def _listening(paths: Sequence[Path]) -> AsyncIterator[UnixListener | FixedListener | None]:
    """The control socket. It is made before any child, so a path that cannot be used is an error at once."""
    inherited = activated_control()
    async with AsyncExitStack() as stack:
        if inherited is not None:
            listener = FixedListener.inherited(inherited)
            stack.callback(listener.close)
            log.info("master: control socket %s, from the service manager", listener.name)
            yield listener
        else:
            yield await _first_free(paths, stack) if paths else None


async def _first_free(paths: Sequence[Path], stack: AsyncExitStack) -> UnixListener:
    *others, last = paths
    for path in others:
        with suppress(trio.BusyResourceError):
            return await stack.enter_async_context(open_listener(path))
    return await stack.enter_async_context(open_listener(last))


@asynccontextmanager
async def _opened(windows: Sequence[Window]) -> AsyncIterator[list[tuple[Outlet, Window]]]:
    """The sockets of the windows, made before any child as well."""
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(open_outlet(window.address)), window) for window in windows]


def _listed(master: Master) -> str:
    return ", ".join(f"{process.name} {process.pid}" for process in master.processes)
