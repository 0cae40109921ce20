"""What a service tells systemd, by the protocol of sd_notify(3): a datagram for each piece of news."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("trisig")


class ServiceManager:
    """The service manager that has started this program, if one has that listens.

    Args:
        environment: of the program. What concerns it is taken out, so that no child speaks for the service.

    Attributes:
        watchdog: seconds within which the next `alive` has to come; None if nobody waits for it.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_for_us = not pid or pid == str(os.getpid())
        self.watchdog = int(microseconds) / 1e6 if address and is_for_us and microseconds.isdecimal() else None

    def ready(self, status: str) -> None:
        """The service serves."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The service reloads; `ready` says that it has done so."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reloading")

    def stopping(self, seconds: float) -> None:
        """The service ends, and may take so long."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}", "STATUS=delivering what is queued")

    def alive(self) -> None:
        """The service is well."""
        self._tell("WATCHDOG=1")

    def _tell(self, *news: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(news).encode(), self._address)
        except OSError as error:
            log.warning("master: the service manager cannot be told %s: %s", news[0], error)
