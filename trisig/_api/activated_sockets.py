"""What an application gets of systemd's socket activation."""

from __future__ import annotations

import os
import socket

from trisig._linux.activation import CONTROL, activated


def activated_sockets(name: str | None = None) -> list[socket.socket]:
    """The sockets that a service manager has opened for this application, by socket activation (sd_listen_fds(3)).

    To be called in any process of the application, at its import, in a start function or in a service. The sockets stay
    open in the service manager and in the master, so connections that come while processes are replaced wait for the
    next one. Each call makes new objects, which the caller may close.

    Args:
        name: of the sockets, as `FileDescriptorName=` gives it; systemd's default is the name of the socket unit, such
            as `app.socket`. None for all but the one on which the master takes commands, which is called `control`.

    Returns:
        Those of that name, in the order of the unit; none if there are none, or without socket activation.
    """
    return [
        socket.socket(fileno=os.dup(fd))
        for found, fd in activated()
        if found == name or (name is None and found != CONTROL)
    ]
