"""The way from an attached process to its master: a connection for each call, so threads and forks share nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

from trisig import NoMasterError
from trisig._control.client import ControlClient, ControlError, RefusedError
from trisig._control.places import CONTROL_VARIABLE, living_sockets

T = TypeVar("T")

_AGAIN_S = 0.05  # nothing tells when a program begins to listen on a socket


class MasterLink:
    """Asks one master, wherever it listens.

    Args:
        control: its control socket; None for the one in the environment, or the only one.
        timeout: seconds to wait for it.
    """

    def __init__(self, control: str | None, timeout: float) -> None:
        self._control = None if control is None else os.path.abspath(control)  # noqa: PTH100  links are not resolved
        self._timeout = timeout

    def ask(self, do: str, **arguments: object) -> Any:
        """The answer to a command of the control socket.

        Raises:
            NoMasterError: no master answers in time.
            RuntimeError: it refuses.
        """

        def once() -> Any:
            with closing(self._connect()) as client:
                return client.ask(do, **arguments)

        return self._until_answered(once)

    def hold(self, do: str, **arguments: object) -> ControlClient:
        """Ask for a command that says `held`, and lasts until the connection that is returned is closed.

        Raises:
            NoMasterError, RuntimeError: as `ask`.
        """

        def once() -> ControlClient:
            client = self._connect()
            try:
                client.ask_until("held", do, **arguments)
            except BaseException:
                client.close()
                raise
            return client

        return self._until_answered(once)

    def _until_answered(self, ask: Callable[[], T]) -> T:
        give_up = time.monotonic() + self._timeout
        while True:
            try:
                return ask()
            except RefusedError as error:
                if str(error).startswith("unknown command"):
                    told = "this master serves no attached processes: it has to be one of `trisig uwsgi`"
                    raise RuntimeError(told) from None
                if "starting" not in str(error):
                    raise RuntimeError(str(error)) from None
                why: ControlError = error
            except ControlError as error:
                why = error
            if time.monotonic() >= give_up:
                raise NoMasterError(f"no master has answered for {self._timeout:g} s: {why}") from None
            time.sleep(_AGAIN_S)

    def _connect(self) -> ControlClient:
        return ControlClient(Path(self._path()), lambda _: None)

    def _path(self) -> str:
        path = self._control or os.environ.get(CONTROL_VARIABLE)
        if path:
            return path
        sockets = living_sockets()
        if len(sockets) != 1:
            found = "no master listens" if not sockets else f"{len(sockets)} masters listen"
            raise ControlError(f"{found} in the run folder: name a socket with attach(PATH) or {CONTROL_VARIABLE}")
        return str(sockets[0])
