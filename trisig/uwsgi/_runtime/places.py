"""The sockets of an instance: opened before it gives up its rights, and kept when it begins anew."""

from __future__ import annotations

import os

import trio

from trisig._remote.handover import handed_over, taken_over
from trisig._remote.sockets import RemoteSockets, open_sockets
from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._config.settings import Settings

_VARIABLE = "TRISIG_UWSGI_SOCKETS"


def open_places(settings: Settings) -> RemoteSockets:
    """Listen where `socket` says.

    Raises:
        ConfigError: a place cannot be had.
    """
    kept = taken_over(os.environ.pop(_VARIABLE, ""))
    try:
        return trio.run(open_sockets, settings.addresses, settings.chmod_socket, kept)
    except (OSError, trio.BusyResourceError) as error:
        raise ConfigError(str(error)) from None


def keep_places(sockets: RemoteSockets) -> None:
    """Leave the sockets to the program that this process becomes next; who connects meanwhile waits."""
    os.environ[_VARIABLE] = handed_over(sockets)
