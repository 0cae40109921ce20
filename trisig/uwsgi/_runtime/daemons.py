"""The programs beside the processes: `attach-daemon`. They outlive the services of the master, and end after the queue.

A handler that runs while the instance ends may need one of them, so the master's service only starts them and starts
them again. When the master is closed, whoever has opened it calls `end`. Those that have a pidfile outlive that, too.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress

import trio

from trisig import Master
from trisig.uwsgi._config.daemons import Daemon

from .commands import launched
from .smart_daemon import SmartDaemon

log = logging.getLogger("trisig")

_QUICK_S = 3.0  # one that has ended sooner waits before it is started again, as in uWSGI
_MERCY_S = 3.0


class Daemons:
    """The daemons of one instance.

    Args:
        daemons: as they were written.
        mercy: seconds within which they have to end when they are asked to; 0 for uWSGI's three.
    """

    def __init__(self, daemons: Sequence[Daemon], mercy: float) -> None:
        self._daemons = [daemon for daemon in daemons if not daemon.pidfile]
        self._smart = [SmartDaemon(daemon) for daemon in daemons if daemon.pidfile]
        self._mercy = mercy or _MERCY_S
        self._running: dict[subprocess.Popen[bytes], Daemon] = {}

    async def serve(self, _master: Master) -> None:
        """Start them, and again when they end; a service of the master, after which those that run go on."""
        async with trio.open_nursery() as nursery:
            for daemon in self._daemons:
                nursery.start_soon(self._keep, daemon)
            for smart in self._smart:
                nursery.start_soon(smart.keep)

    async def _keep(self, daemon: Daemon) -> None:
        quick = 0
        while True:
            began = trio.current_time()
            await self._run(daemon)
            if daemon.control:
                os.kill(os.getpid(), signal.SIGTERM)
                return
            quick = quick + 1 if trio.current_time() - began < _QUICK_S else 0
            await trio.sleep(min(quick, daemon.longest_pause))

    async def _run(self, daemon: Daemon) -> None:
        """Until it ends by itself."""
        try:
            process = launched(daemon)
        except OSError as error:
            log.error("master: daemon: %s: cannot be started: %s", daemon.command, error)  # noqa: TRY400
            return
        self._running[process] = daemon
        log.info("master: daemon: %s: pid %d", daemon.command, process.pid)
        pidfd = os.pidfd_open(process.pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            os.close(pidfd)
        _signal_group(process.pid, daemon.stop_signal)  # its number is its own until it is reaped
        log.warning("master: daemon: %s: ended: status %d", daemon.command, process.wait())
        del self._running[process]

    def end(self, *, reloading: bool) -> None:
        """End them all, and wait for it, within the mercy; called when trio has ended.

        Those that have a pidfile go on; some of them are told.
        """
        for smart in self._smart:
            smart.notify(reloading=reloading)
            if smart.beginning is not None:
                self._running[smart.beginning] = smart.daemon
        for process, daemon in self._running.items():
            _signal_group(process.pid, daemon.reload_signal if reloading else daemon.stop_signal)
        left = {process.pid for process in self._running}
        reaper = threading.Thread(target=_reap, args=(left,))
        reaper.start()
        reaper.join(self._mercy)
        for process, daemon in self._running.items():
            if process.pid in left:
                log.warning("master: daemon: %s: has not ended within %g s: killed", daemon.command, self._mercy)
                _signal_group(process.pid, signal.SIGKILL)
        reaper.join()
        for process in self._running:
            process.poll()  # it learns here that it has been reaped
        self._running.clear()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _reap(groups: set[int]) -> None:
    """Wait until the groups are empty: what a member leaves behind is a child of this process, which is a subreaper."""
    for group in list(groups):
        with suppress(ChildProcessError):
            while True:
                os.waitid(os.P_PGID, group, os.WEXITED)
        groups.discard(group)
