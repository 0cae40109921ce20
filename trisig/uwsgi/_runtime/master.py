"""What the master does beside signals: commands of crons and hooks, and reloads."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import trio

from trisig import Master, Signals
from trisig.uwsgi._config.hooks import Hook
from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._config.settings import Settings
from trisig.uwsgi._config.values import CronCommand

from .due_now import is_due_now
from .handlers import Handlers
from .hangup import Hangups
from .hooks import do_hooks
from .master_fifo import obey_fifo
from .store import Store

log = logging.getLogger("trisig")

RELOAD = "reload"


class MasterWork:
    """The work of one master.

    Args:
        signals: the application.
        settings: the options.
        handlers: gives numbers that the application does not use. Nobody handles them: the master waits for them.
        store: what the processes share.

    Attributes:
        raised_early: signals that the application has raised while it was imported.
    """

    def __init__(self, signals: Signals, settings: Settings, handlers: Handlers, store: Store) -> None:
        self._signals = signals
        self._settings = settings
        self._handlers = handlers
        self._store = store
        self._crons: list[tuple[int, CronCommand]] = []
        self._touched: list[tuple[int, Hook]] = []
        self._renewed: list[tuple[int, str]] = []
        self._reload: int | None = None
        self._hangups = Hangups()
        self.raised_early: list[int] = []

    def declare(self) -> None:
        """Add what the options raise, and catch SIGHUP."""
        self._hangups.catch()
        signals, settings = self._signals, self._settings
        for event in settings.timer:
            signals.add_timer(event.signum, int(event.of))
        for event in settings.rbtimer:
            signals.add_rb_timer(event.signum, int(event.of))
        for event in settings.touch_signal:
            signals.add_file_monitor(event.signum, os.path.abspath(event.of), missing_ok=True)  # noqa: PTH100
        self._crons = [(self._handlers.reserve(), cron) for cron in (*settings.cron, *settings.cron2)]
        for number, cron in self._crons:
            source = signals.add_cron(number, *cron.when)
            if settings.strict_uwsgi and is_due_now(source):
                self.raised_early.append(number)
        for touch in settings.hook_touch:
            self._touched.append((self._watch([touch.path]), touch.hook))
        self._renewed = [(self._watch(paths), kind) for kind, paths in settings.touched.items() if paths]
        if settings.touch_reload:
            self._reload = self._watch(settings.touch_reload)

    def _watch(self, paths: Sequence[str]) -> int:
        """The number of a signal that is raised when one of some files is changed."""
        number = self._handlers.reserve()
        for path in paths:
            self._signals.add_file_monitor(number, os.path.abspath(path), missing_ok=True)  # noqa: PTH100
        return number

    async def serve(self, master: Master) -> None:
        """Do it; a service of the master."""
        for signum in self.raised_early:
            await self._signals.send(signum)
        await do_hooks(self._settings.hook_master_start, self._settings.grace)
        async with trio.open_nursery() as nursery:
            for number, cron in self._crons:
                nursery.start_soon(self._run_each_time, number, cron)
            for number, hook in self._touched:
                nursery.start_soon(self._do_each_time, number, hook)
            for number, kind in self._renewed:
                nursery.start_soon(self._renew_each_time, number, master, kind)
            for path in self._settings.master_fifo:
                nursery.start_soon(obey_fifo, path, self._acts(master))
            if self._reload is not None:
                nursery.start_soon(self._reload_at, self._reload)

    async def _run_each_time(self, number: int, cron: CronCommand) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                await self._signals.wait(number)
                if cron.unique and nursery.child_tasks:
                    log.info("master: cron: %s: skipped, the last one still runs", cron.command)
                else:
                    nursery.start_soon(self._run, cron)

    async def _do_each_time(self, number: int, hook: Hook) -> None:
        while True:
            await self._signals.wait(number)
            try:
                await do_hooks([hook], self._settings.grace)
            except ConfigError as error:
                log.error("master: %s", error)  # noqa: TRY400

    async def _renew_each_time(self, number: int, master: Master, kind: str) -> None:
        while True:
            await self._signals.wait(number)
            _renew(master, kind, "a file has changed")

    async def _run(self, cron: CronCommand) -> None:
        log.info("master: cron: %s", cron.command)
        seconds = cron.harakiri or self._settings.cron_harakiri
        with trio.move_on_after(seconds or float("inf")) as limit:
            done = await trio.run_process(["/bin/sh", "-c", cron.command], stdin=subprocess.DEVNULL, check=False)
            if done.returncode:
                log.warning("master: cron: %s: status %d", cron.command, done.returncode)
        if limit.cancelled_caught:
            log.error("master: cron: %s: killed after %d s", cron.command, seconds)

    def _acts(self, master: Master) -> dict[str, Callable[[], object]]:
        """What the letters of `master-fifo` do."""
        anew = partial(self.begin_anew, "master-fifo")
        workers = partial(_renew, master, "worker", "master-fifo")
        stop = partial(os.kill, os.getpid(), signal.SIGTERM)
        return {"r": anew, "R": anew, "c": workers, "w": workers, "W": workers, "q": stop, "Q": stop}

    async def _reload_at(self, number: int) -> None:
        await self._signals.wait(number)
        self.begin_anew("a file has changed")

    async def reload_on_hangup(self, _master: Master) -> None:
        """Begin anew at SIGHUP; a service of the master."""
        await self._hangups.serve(self.begin_anew)

    def begin_anew(self, why: str) -> None:
        """End in order; the command starts itself again then."""
        if self._store.wish(RELOAD):  # a second SIGTERM would be an order to hurry
            log.info("master: reloading: %s", why)
            os.kill(os.getpid(), signal.SIGTERM)


def _renew(master: Master, kind: str, why: str) -> None:
    """Replace the processes of a kind, in order and within the grace."""
    log.info("master: the %ss begin anew: %s", kind, why)
    for process in master.processes:
        if process.kind == kind:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)  # one that ignores it as yet has imported nothing
