"""Whether somebody listens on a unix socket."""

from __future__ import annotations

import socket
from pathlib import Path


def is_listened_on(path: Path) -> bool:
    """Whether a socket belongs to a living program; one that refuses connections belongs to nobody.

    Raises:
        OSError: there is no such socket, or it cannot be reached.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its backlog is full
            pass
    return True
