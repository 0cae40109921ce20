"""The system's time zone, followed while the master runs.

The C library reads /etc/localtime when it first needs it, and again only in `tzset`. A cron job without a zone is about
local time, so somebody has to call that when the file is replaced, as `timedatectl set-timezone` does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from trisig._util.ki_protection import ki_protected

from .watcher import Watcher

log = logging.getLogger("trisig.cron")


@ki_protected
class LocalTime:
    """Takes a new zone of the system over; an engine that cron sources share.

    Args:
        open_watcher: the watcher of the master, made when it is first asked for.
        changed: called after the zone has changed.
        path: the file that says which zone the system has.
    """

    def __init__(
        self, open_watcher: Callable[[], Watcher], changed: Callable[[], None], path: str = "/etc/localtime"
    ) -> None:
        self._open_watcher = open_watcher
        self._changed = changed
        self._path = path

    async def drive(self) -> None:
        """Follow the zone until cancelled."""
        try:
            with self._open_watcher().monitor(self._path) as monitor:
                while True:
                    await monitor.next()
                    time.tzset()
                    log.info("the time zone of the system may have changed; cron jobs follow it")
                    self._changed()
        except OSError as error:
            # A cron job works without: a system that is short of watches must not lose its schedules for this.
            log.warning("the time zone of the system is not followed until the next start: %s", error)
