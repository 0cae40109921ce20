"""`Master`: what the application may ask of a running master."""

from __future__ import annotations

import logging

import trio

from trisig._ipc.messages import SetLogLevel
from trisig._model.errors import NoMasterError
from trisig._model.node_info import NodeInfo
from trisig._model.process import ProcessInfo
from trisig._model.signum import check_signum
from trisig._model.statistics import MasterStatistics, ReloadStatistics
from trisig._util.ki_protection import ki_protected
from trisig._util.log import LEVELS, set_level

from .dead_letters import DeadLetters
from .engine import Engine
from .health import Limits
from .report import counted

log = logging.getLogger("trisig")

_DROPPED_AT_ONCE = 1000  # signals, between two checkpoints


@ki_protected
class Master:
    """A running master; `open_master` yields it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The live processes, the master first: in a test, `processes[0].pid` is the test's own."""
        return self._engine.overview.processes

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes of the cluster, by name, as this one saw them last; none without a cluster."""
        return self._engine.overview.nodes

    @property
    def dead_letters(self) -> DeadLetters:
        """The signals and tasks that were given up: to list, to requeue, and to drop."""
        return self._engine.dead_letters

    async def reload(self) -> None:
        """Import the application again, and replace child after child by one that runs the new version.

        No handler is cut off, and nothing is lost: what is queued for a process that is replaced waits for the next
        one. If the new version cannot be imported, or one of its processes cannot start, those that were replaced are
        replaced back. A cancelled call leaves the reload to itself.

        What runs in the master stays as it is: its services, and event sources of the application's own. Timers, crons
        and file monitors that are the same in both versions go on without a tick twice or missed; others are removed
        or added when the last child has been replaced, and so are signals and tasks. Options of the master stay.

        Raises:
            ChildFailedError: the new version cannot be imported, or cannot start, and why.
            OSError: out of processes, memory or descriptors; the old version runs.
            trio.BusyResourceError: another reload is under way.
            NoMasterError: the master has ended, or shuts down.
            RuntimeError: the master was opened without `application=`; or this is not its thread.
        """
        engine = self._engine
        engine.check("a master is reloaded", "master.reload")
        if engine.is_over:
            raise NoMasterError("this master has ended")
        if engine.reloader is None:
            raise RuntimeError(
                "this master does not know where its application is, and cannot reload it: "
                'open it with application="MODULE:NAME"'
            )
        if engine.app.has_messages:
            raise RuntimeError("an application with messages between processes cannot be reloaded: restart it")
        await trio.lowlevel.checkpoint()
        await engine.reloader.reload()

    @property
    def is_reloading(self) -> bool:
        """Whether a reload is under way."""
        return self._engine.reloader is not None and self._engine.reloader.is_under_way

    @property
    def last_reload(self) -> ReloadStatistics | None:
        """How the last reload has ended; None if there was none."""
        return None if self._engine.reloader is None else self._engine.reloader.last

    async def cheap(self, number: int) -> None:
        """Stop a worker; its slot stays empty until `wake`. Returns when its process has ended.

        The worker finishes the handler that it runs, within the master's `grace`, and is killed after that. What it
        has not started goes back: to the other workers if it was for any of them, else it waits for the slot to be
        filled again. A cancelled call goes on stopping the worker.

        Args:
            number: of the worker, from 1.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        await self._engine.workers.cheap(number)

    async def wake(self, number: int) -> None:
        """Fill the slot of a worker again. Returns when the worker is ready.

        Args:
            number: of the worker, from 1.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        await self._engine.workers.wake(number)

    def cheap_nowait(self, number: int) -> None:
        """Begin to stop a worker, as `cheap` does, and return at once.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.workers.cheap_nowait(number)

    def wake_nowait(self, number: int) -> None:
        """Begin to fill the slot of a worker, as `wake` does, and return at once.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.workers.wake_nowait(number)

    async def drop(self, signum: int) -> int:
        """Remove the queued signals of a number that has no handler, as if they had been waited for.

        Signals that a `wait` has already been given are not touched. A cancelled call has removed some.

        Args:
            signum: 0 to 255.

        Returns:
            How many were removed; they count as done.

        Raises:
            TypeError, ValueError: not a signal number.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.check("signals are dropped", f"master.drop, {signum!r}")
        check_signum(signum)
        waiters, dropped = self._engine.core.destinations.waiters, 0
        await trio.lowlevel.checkpoint()
        while some := waiters.drop(signum, _DROPPED_AT_ONCE):
            dropped += some
            await trio.lowlevel.checkpoint()
        if dropped:
            log.warning("master: dropped %s with the number %d", counted(dropped), signum)
        return dropped

    async def run_now(self, name: str) -> bool:
        """Raise the signal of an event source now, paused or not; returns once the master's queue has it.

        The source goes on as if nothing had happened: its schedule and its iterations stay. In the handler,
        `Signals.event()` has the name of the source, and nothing else.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Returns:
            Whether it was raised: False if `overlap=` allows no further signal now.

        Raises:
            ValueError: no source is called that, or several are; or it is one of the application, which may raise any
                signal.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.check("sources are run", f"master.run_now, {name!r}")
        skipped = self._engine.core.ledger.turns.skipped
        signum, event = self._engine.sources.occasion(name)
        await trio.lowlevel.checkpoint()
        before = skipped[signum]
        await self._engine.core.dispatcher.raise_for(signum, event)
        return skipped[signum] == before

    def pause_source(self, name: str) -> None:
        """Let an event source raise no signals until `resume_source`; see `Signals.pause_source`.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        sources = self._engine.sources
        sources.pause(sources.key_of_name(name), paused=True)

    def resume_source(self, name: str) -> None:
        """Let an event source that was paused raise signals again.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        sources = self._engine.sources
        sources.pause(sources.key_of_name(name), paused=False)

    def remove_source(self, name: str) -> None:
        """Stop an event source for good; see `Signals.remove_source`.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        sources = self._engine.sources
        sources.remove(sources.key_of_name(name))

    def set_log_level(self, level: str) -> None:
        """Change the least level that the root logger takes, in the master and in all its processes.

        Processes that are made later have it too. Loggers and handlers with a level of their own keep it.

        Args:
            level: `debug`, `info`, `warning` or `error`.

        Raises:
            ValueError: another word.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.check("the log level is set", f"master.set_log_level, {level!r}")
        if level not in LEVELS:
            raise ValueError(f"{level!r} is not a level: write one of {', '.join(LEVELS)}")
        set_level(level)
        self._engine.requests.log_level = level
        self._engine.children.push_all(SetLogLevel(level))
        log.info("master: the log level is %s", level)

    async def check_alive(self, patience: float = 5.0, handler_limit: float | None = None) -> tuple[str, ...]:
        """Whether all is well: a sentence for each problem, none if there is none.

        Problems are a process that is idle and does not answer, one that takes long to start or waits after failures,
        an event source that has failed or is late, and a handler that runs for too long.

        Args:
            patience: seconds that may pass before something is a problem; the call takes as long if a process hangs.
            handler_limit: seconds that a handler may run. With None that is `handler_timeout` and the patience, within
                which its process is killed; without a timeout a handler may take any time.

        Raises:
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.check("a master is checked", "master.check_alive")
        limits = Limits.given(patience, handler_limit, self._engine.options.handler_timeout)
        return await self._engine.overview.problems(limits)

    def statistics(self) -> MasterStatistics:
        """Where every signal is at this moment, per process and per signal.

        Raises:
            RuntimeError: this is not the thread that runs the master.
        """
        return self._engine.overview.statistics()
