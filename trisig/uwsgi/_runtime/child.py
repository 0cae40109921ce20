"""The life of a child: trio in a thread, the application in the main one."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType, TracebackType

import trio

from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._config.settings import Settings

from .application import ApplicationError, import_application, import_name_or_file, program_of, run_script
from .hooks import run_hooks
from .main_thread import MainThread, ProcessEnds
from .probe import Notes
from .processes import Processes
from .store import Store

log = logging.getLogger("trisig")

FAILURE = 1
RESPAWN_PAUSE_S = 1.0  # as in uWSGI, whose master looks once a second


@dataclass(frozen=True)
class Shared:
    """What all processes have.

    Attributes:
        store: a file.
        notes: what the application has asked for, where each process imports it.
    """

    store: Store
    notes: Notes


class ChildProcess:
    """What a child does. Made in the master; each child has a copy.

    Args:
        settings: the options.
        processes: who this is.
        main: of this process.
        module: `uwsgi`, whose attributes are the hooks.
        shared: what it shares with other processes.

    Attributes:
        idle: its hooks have returned, and it has no program.
    """

    def __init__(
        self, settings: Settings, processes: Processes, main: MainThread, module: ModuleType, shared: Shared
    ) -> None:
        self._store, self._notes = shared.store, shared.notes
        self._settings = settings
        self._processes = processes
        self._main = main
        self._module = module
        self._ended = self._stopping = False
        self._begun = trio.Event()
        self.idle = trio.Event()
        self._error: BaseException | None = None
        self._leave: Callable[[], object] = lambda: None

    def leave_now(self) -> None:
        """Ask the master to let this process end, and to replace it. To be called in trio's thread."""
        self._leave()

    # The main thread

    def host(self, life: Callable[[], Awaitable[None]], leave: Callable[[], None]) -> None:
        """Live in a thread, and run here what is to run in the main one; see `Application.host`."""
        self._leave = leave
        sys.excepthook = _show_unless_ending
        self._main.begin(leave)
        thread = threading.Thread(target=self._run_trio, args=(life,), name="trio")
        thread.start()
        self._main.serve(lambda: self._ended)
        thread.join()
        self._at_exit()
        if self._error is not None:
            raise self._error

    def _run_trio(self, life: Callable[[], Awaitable[None]]) -> None:
        try:
            trio.run(self._main.attend, life)
        except BaseException as error:  # noqa: BLE001, ASYNC103  the main thread raises it
            self._error = error
        finally:
            self._ended = True
            self._main.wake()

    def _at_exit(self) -> None:
        hook = getattr(self._module, "atexit", None)
        if callable(hook):
            try:
                hook()
            except Exception:
                log.exception("%s: uwsgi.atexit failed", self._processes.name)

    # The thread of trio

    async def start(self) -> None:
        """Do the hooks, and import what this process has to import itself; a start function of every child."""
        try:
            await self._main.run(self._import)
        except ConfigError as error:
            await self._end_instance(error)

    async def _end_instance(self, error: ConfigError) -> None:
        """A hook has failed: as in uWSGI, that ends it all. This process goes no further."""
        log.error("%s", error)
        self._end_all(FAILURE)
        await trio.sleep_forever()

    def _end_all(self, status: int) -> None:
        if self._store.end_with(status):  # a second SIGTERM would be an order to hurry
            os.kill(self._processes.master, signal.SIGTERM)

    def _import(self) -> None:
        sys.argv = ["uwsgi", *self._settings.pyargv.split()]
        self._store.enter_process(self._processes.name)
        run_hooks(self._settings.hook_post_fork)
        if self._processes.kind == "mule":
            run_hooks(self._settings.hook_as_mule)
        if self._settings.lazy_apps:
            self._notes.mode = "skip"
            import_application(self._settings)
            self._notes.mode = "do"
        if self._processes.kind == "spooler":
            for name in self._settings.spooler_import:
                import_name_or_file(name)

    async def live(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the hooks and the program of this process, before its first handler; a service of every child."""
        async with trio.open_nursery() as nursery:
            is_for_script = self._settings.pyrun and self._processes.number("worker")
            nursery.start_soon(self._run_script if is_for_script else self._run_program)
            await self._begun.wait()  # its job is the first in the queue
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._stopping = True
                self._main.cut_program()

    async def _run_program(self) -> None:
        program = self._program()
        self._begun.set()  # no checkpoint from here to the queue
        try:
            await self._main.run(self._hooks_and, program, is_program=True)
            if program is None:
                self.idle.set()
                return
            log.warning("%s: its program has ended; restarting it", self._processes.name)
        except ConfigError as error:
            if not self._stopping:
                await self._end_instance(error)
            return
        except SystemExit as end:
            if self._stopping:
                return
            log.warning("%s: its program has ended with sys.exit(%s); restarting it", self._processes.name, end)
        except Exception:
            log.exception("%s: its program has failed; restarting it", self._processes.name)
        await trio.sleep(RESPAWN_PAUSE_S)
        self._leave()

    async def _run_script(self) -> None:
        """Run the script of `pyrun`; the instance ends with it, and with its status, which uWSGI forgets."""
        self._begun.set()  # no checkpoint from here to the queue
        status = FAILURE
        try:
            await self._main.run(self._hooks_and, self._script, is_program=True)
            status = 0
        except SystemExit as end:
            status = self._status_of(end.code)
        except (ApplicationError, ConfigError) as error:
            log.error("%s", error)  # noqa: TRY400
        except Exception:
            log.exception("%s has failed", self._settings.pyrun)
        if not self._stopping:
            self._end_all(status & 0xFF)

    def _status_of(self, code: object) -> int:
        """As Python has it: a number, None, or something that is said, and is a failure."""
        if code is None or isinstance(code, int):
            return code or 0
        log.error("%s: %s", self._settings.pyrun, code)
        return FAILURE

    def _script(self) -> None:
        sys.argv = [self._settings.pyrun, *self._settings.pyargv.split()]
        run_script(self._settings.pyrun)

    def _hooks_and(self, program: Callable[[], object] | None) -> None:
        hook = getattr(self._module, "post_fork_hook", None)
        if callable(hook):
            try:
                hook()
            except Exception:
                log.exception("%s: uwsgi.post_fork_hook failed", self._processes.name)
        if number := self._processes.number("worker"):
            first = self._store.lives_of(self._processes.name) == 1
            run_hooks(self._settings.hooks_of_ready_worker(number, is_first_life=first))
        if program is not None:
            program()

    def _program(self) -> Callable[[], object] | None:
        number = self._processes.number("mule")
        text = self._settings.programs[number - 1] if number else ""
        try:
            return program_of(text) if text else None
        except ApplicationError as error:
            log.error("mule %d has nothing to run: %s", number, error)  # noqa: TRY400
            return None


def _show_unless_ending(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """The decorators of uWSGI show whatever ends a mule; the end of the process is no failure."""
    if not isinstance(error, ProcessEnds):
        sys.__excepthook__(kind, error, traceback)
