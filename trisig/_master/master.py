"""`Master`: what the application may ask of a running master."""

from __future__ import annotations

from trisig._model.node_info import NodeInfo
from trisig._model.process import ProcessInfo
from trisig._model.statistics import MasterStatistics, ReloadStatistics
from trisig._util.ki_protection import ki_protected

from .dead_letters import DeadLetters
from .engine import Engine


@ki_protected
class Master:
    """A running master; `open_master` yields it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The live processes, the master first: in a test, `processes[0].pid` is the test's own."""
        return self._engine.processes

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes of the cluster, by name, as this one saw them last; none without a cluster."""
        return self._engine.nodes

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
        await self._engine.reload()

    @property
    def is_reloading(self) -> bool:
        """Whether a reload is under way."""
        return self._engine.reloader.is_under_way

    @property
    def last_reload(self) -> ReloadStatistics | None:
        """How the last reload has ended; None if there was none."""
        return self._engine.reloader.last

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
        await self._engine.cheap(number)

    async def wake(self, number: int) -> None:
        """Fill the slot of a worker again. Returns when the worker is ready.

        Args:
            number: of the worker, from 1.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        await self._engine.wake(number)

    def cheap_nowait(self, number: int) -> None:
        """Begin to stop a worker, as `cheap` does, and return at once.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.cheap_nowait(number)

    def wake_nowait(self, number: int) -> None:
        """Begin to fill the slot of a worker, as `wake` does, and return at once.

        Raises:
            TypeError, ValueError: there is no such worker.
            NoMasterError: the master has ended.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.wake_nowait(number)

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
        return await self._engine.drop(signum)

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
        return await self._engine.run_now(name)

    def pause_source(self, name: str) -> None:
        """Let an event source raise no signals until `resume_source`; see `Signals.pause_source`.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.pause_source(name, paused=True)

    def resume_source(self, name: str) -> None:
        """Let an event source that was paused raise signals again.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.pause_source(name, paused=False)

    def remove_source(self, name: str) -> None:
        """Stop an event source for good; see `Signals.remove_source`.

        Args:
            name: what the statistics call the source, or the number of its signal.

        Raises:
            ValueError: no source is called that, or several are.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.remove_source(name)

    def set_log_level(self, level: str) -> None:
        """Change the least level that the root logger takes, in the master and in all its processes.

        Processes that are made later have it too. Loggers and handlers with a level of their own keep it.

        Args:
            level: `debug`, `info`, `warning` or `error`.

        Raises:
            ValueError: another word.
            RuntimeError: this is not the thread that runs the master.
        """
        self._engine.set_log_level(level)

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
        return await self._engine.check_alive(patience, handler_limit)

    def statistics(self) -> MasterStatistics:
        """Where every signal is at this moment, per process and per signal.

        Raises:
            RuntimeError: this is not the thread that runs the master.
        """
        return self._engine.statistics()
