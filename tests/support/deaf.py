"""Cuts this process off from its database: the kernel drops what comes for it, before TCP, which acknowledges nothing.

A socket filter that passes nothing needs no privileges. Connections that are made meanwhile get no answer either.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import trio

from trisig._cluster.postgres import link
from trisig._sources.postgres.server import Server
from trisig._sources.postgres.wire import Wire, connect

_ATTACH, _DETACH = 26, 27  # SO_ATTACH_FILTER, SO_DETACH_FILTER
_NOTHING = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
_FILTER = struct.pack("HxxxxxxP", 1, ctypes.addressof(_NOTHING))


class Network:
    """What connects the cluster in this process with its database over TCP.

    Attributes:
        is_cut: whether it is gone.
    """

    def __init__(self) -> None:
        self._mended = trio.Event()
        self.is_cut = False
        link.__dict__["connect"] = self._connect_if_heard

    def cut(self) -> None:
        """Nothing comes any more."""
        self.is_cut, self._mended = True, trio.Event()
        for one in _sockets():
            one.setsockopt(socket.SOL_SOCKET, _ATTACH, _FILTER)

    def mend(self) -> None:
        """All comes again, what TCP repeats too."""
        for one in _sockets():
            one.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
        self.is_cut = False
        self._mended.set()

    async def _connect_if_heard(self, server: Server) -> Wire:
        while True:
            if self.is_cut:
                await self._mended.wait()
            wire = await connect(server)
            if not self.is_cut:
                return wire
            wire.close()  # it was made while the network went


def _sockets() -> Iterator[socket.socket]:
    for fd in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        try:
            with socket.socket(fileno=os.dup(fd)) as one:
                if one.family == socket.AF_INET:
                    yield one
        except OSError:
            pass  # no socket, or it has no filter
