"""A daemon that outlives the instance: `smart-attach-daemon`. Its pidfile tells whether it is there.

uWSGI looks into the pidfile once a second. Here the process that it names is waited for, and the pidfile is watched
only while it names none. So a pidfile that is removed starts no second daemon beside the first one.
"""

from __future__ import annotations

import logging
import os
import subprocess

import trio

from trisig.uwsgi._config.daemons import Daemon

from .commands import launched
from .pidfile import named_in, reap_named_in, wait_named

log = logging.getLogger("trisig")

_QUICK_S = 3.0  # one that has ended sooner waits before it is started again, as in uWSGI


class SmartDaemon:
    """One of them.

    Args:
        daemon: as it was written.

    Attributes:
        beginning: its command, as long as the pidfile names nobody; it ends with the instance.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.beginning: subprocess.Popen[bytes] | None = None
        self._old = 0  # a number that another process has had
        self._is_kept = False

    @property
    def _pidfile(self) -> str:
        return os.path.abspath(self.daemon.pidfile)  # noqa: PTH100

    async def keep(self) -> None:
        """Wait for its end if it is there, start it if not, and so on."""
        self._is_kept = True
        self._old = self._reused_number()
        quick = 0
        async with trio.open_nursery() as nursery:
            while True:
                began = trio.current_time()
                if not await self._outlived():
                    await self._start(nursery)
                    await self._outlived()
                quick = quick + 1 if trio.current_time() - began < _QUICK_S else 0
                await trio.sleep(min(quick, self.daemon.longest_pause))

    def notify(self, *, reloading: bool) -> None:
        """Tell it that the instance stops or reloads, if it is to be told; the pidfile may name another one by now."""
        if self._is_kept and self.daemon.is_notified:
            with named_in(self._pidfile) as found:
                if found is not None:
                    found.send(self.daemon.reload_signal if reloading else self.daemon.stop_signal)

    def _reused_number(self) -> int:
        """The number in the pidfile, if a process has it that this instance has started: that is no daemon of before.

        In a container, where numbers begin anew, it happens.
        """
        if "UWSGI_RELOADS" in os.environ:
            reap_named_in(self._pidfile)  # which may have ended when it was told of the reload
            return 0
        with named_in(self._pidfile) as found:
            return found.pid if found is not None and found.is_child() else 0

    async def _outlived(self) -> bool:
        """Wait for the end of the one that is there, and of any in its place; False if none was there."""
        was_there = False
        while True:
            with named_in(self._pidfile, self._old) as found:
                if found is None:
                    return was_there
                was_there = True
                log.info("master: daemon: %s: pid %d, as %s says", self.daemon.command, found.pid, self.daemon.pidfile)
                await found.ended()
                log.warning("master: daemon: %s: pid %d has ended", self.daemon.command, found.pid)

    async def _start(self, nursery: trio.Nursery) -> None:
        """Run its command, until the pidfile names somebody, or has named nobody for too long."""
        try:
            process = launched(self.daemon)
        except OSError as error:
            log.error("master: daemon: %s: cannot be started: %s", self.daemon.command, error)  # noqa: TRY400
            return
        self.beginning = process
        with trio.CancelScope() as patience:
            nursery.start_soon(self._attend, process, patience)
            await wait_named(self._pidfile, self._old)
        self.beginning = None
        if patience.cancelled_caught:
            log.warning(
                "master: daemon: %s: its command has ended, and %s names no process",
                self.daemon.command,
                self.daemon.pidfile,
            )

    async def _attend(self, command: subprocess.Popen[bytes], patience: trio.CancelScope) -> None:
        """Reap the command. The pidfile has to name somebody soon after its end, if it does not before."""
        pidfd = os.pidfd_open(command.pid)
        try:
            with trio.move_on_after(self.daemon.patience):
                await trio.lowlevel.wait_readable(pidfd)
            if self.beginning is command and command.poll() is None:
                self._warn_of_foreground()
            await trio.lowlevel.wait_readable(pidfd)
        except trio.Cancelled:
            if self.beginning is not command:
                command.returncode = 0  # it is the daemon, and goes on; else it warns of that when it is dropped
            raise
        finally:
            os.close(pidfd)
        if command.wait() and self.beginning is command:
            log.warning("master: daemon: %s: status %d", self.daemon.command, command.returncode)
            patience.cancel()
        patience.deadline = trio.current_time() + self.daemon.patience

    def _warn_of_foreground(self) -> None:
        log.warning(
            "master: daemon: %s: %s names no process after %d s; for a program that stays in the foreground write "
            "smart-attach-daemon2, which writes the pidfile",
            self.daemon.command,
            self.daemon.pidfile,
            self.daemon.patience,
        )
