"""Where operators reach a run: the control socket, and windows through which others see what the master reports."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import trio

from ._api.signals import Signals, application_of
from ._control.fixed_listener import FixedListener
from ._control.listener import UnixListener, open_listener
from ._control.outlet import Outlet, open_outlet
from ._control.server import ControlServer
from ._linux.activation import activated_control
from ._master.commands import MasterCommands, Stopping
from ._master.master import Master

log = logging.getLogger("trisig")


class Window(msgspec.Struct, frozen=True):
    """Where others may read what the master reports.

    Attributes:
        address: of the outlet.
        answer: answers one client.
    """

    address: str
    answer: Callable[[Master, trio.SocketStream], Awaitable[object]]


class Desk:
    """Takes commands, and shows what the windows show; made by `open_desk`."""

    def __init__(
        self, commands: MasterCommands, outlets: Sequence[tuple[Outlet, Window]], nursery: trio.Nursery
    ) -> None:
        self._commands = commands
        self._outlets = outlets
        self._nursery = nursery

    def opened(self, master: Master) -> None:
        """The master is open: until now commands were refused, and nobody saw anything."""
        self._commands.master = master
        for outlet, window in self._outlets:
            self._nursery.start_soon(outlet.serve, partial(window.answer, master))


@asynccontextmanager
async def open_desk(
    signals: Signals,
    stopping: Stopping,
    reload_soon: Callable[[], object] | None,
    control: Sequence[Path],
    windows: Sequence[Window],
) -> AsyncIterator[Desk]:
    """Serve operators while the block runs.

    Args:
        signals: the application.
        stopping: ends the master in order.
        reload_soon: asks for a reload, and waits for nothing; None if the master cannot reload.
        control: where to listen for commands: the first of these on which no other master does.
        windows: what else to serve.
    """
    commands = MasterCommands(signals, stopping, reload_soon)
    # Connections end last: for `trisig stop` that is when the next master may have the path.
    async with trio.open_nursery() as connections:
        async with _listening(control) as listener, _opened(windows) as outlets, trio.open_nursery() as nursery:
            if listener is not None:
                everything = {**application_of(signals).commands, **commands.commands()}
                server = ControlServer(everything, commands.progress())
                nursery.start_soon(server.serve, listener, connections)  # noqa: ASYNC113  clients wait at the socket
                nursery.start_soon(listener.keep)
            yield Desk(commands, outlets, nursery)
            nursery.cancel_scope.cancel()
        connections.cancel_scope.cancel()


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
