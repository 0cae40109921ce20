"""What an operator may ask of a running master; the control socket offers these by name.

Each command is a small async function. For those that may take long, a plain function of the same arguments says what
they wait for.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from trisig._api.signals import Signals
from trisig._linux.resident import resident_bytes
from trisig._model.dead_letter import DeadLetter
from trisig._model.errors import ChildFailedError, NoMasterError
from trisig._model.statistics import MasterStatistics, ProcessStatistics
from trisig._model.text import times

from .master import Master
from .report import counted, unhandled

log = logging.getLogger("trisig")


class Stopping(Protocol):
    """Ends the master in order.

    Attributes:
        grace: seconds that the end of a process, or of the master, may take.
        since: the moment at which the end began, by trio's clock; None before.
    """

    @property
    def grace(self) -> float: ...
    @property
    def since(self) -> float | None: ...
    def stop(self, why: str) -> None: ...


class MasterCommands:
    """The commands of one master.

    Args:
        signals: the application.
        stopping: ends the master.
        reload_soon: asks for a reload, and waits for nothing; None if the master cannot reload.

    Attributes:
        master: None until it is open.
    """

    def __init__(self, signals: Signals, stopping: Stopping, reload_soon: Callable[[], object] | None = None) -> None:
        self._reload_soon = reload_soon
        self._signals = signals
        self._stopping = stopping
        self._since = time.monotonic()
        self.master: Master | None = None

    def commands(self) -> dict[str, Callable[..., Awaitable[object]]]:
        """The commands by name."""
        return {
            "status": self.status,
            "log": self.log,
            "send": self.send,
            "drop": self.drop,
            "run-now": self.run_now,
            "pause": self.pause,
            "remove-source": self.remove_source,
            "check-alive": self.check_alive,
            "resume": self.resume,
            "dead-letters": self.dead_letters,
            "requeue": self.requeue,
            "drop-letter": self.drop_letter,
            "cheap": self.cheap,
            "wake": self.wake,
            "reload": self.reload,
            "stop": self.stop,
            "wait": self.wait,
        }

    def progress(self) -> dict[str, Callable[..., str]]:
        """By the name of a command, what it waits for; called with the seconds since it began and its arguments."""
        return {
            "send": self._sending,
            "cheap": self._stopping_worker,
            "wake": self._starting_worker,
            "reload": self._reloading,
            "wait": self._ending,
        }

    async def status(self) -> dict[str, object]:
        """All statistics, and what the master itself does."""
        return {"master": self._state(), **dataclasses.asdict(self._statistics())}

    def _state(self) -> dict[str, object]:
        opened, last = self._opened(), self._opened().last_reload
        uptime = time.monotonic() - self._since
        return {
            "pid": opened.processes[0].pid,
            "state": self._doing(opened),
            "uptime": uptime,
            "rss": resident_bytes(),
            "last_reload": None if last is None else dataclasses.asdict(last),
        }

    def _doing(self, master: Master) -> str:
        if self._stopping.since is not None:
            return "stopping"
        return "reloading" if master.is_reloading else "running"

    async def send(self, signum: int) -> str | None:
        """Raise a signal; with a remark if nobody would take it."""
        self._opened()
        await self._signals.send(signum)
        waiting = self._without_a_taker(signum)
        if not waiting:
            return None
        remark = f"no handler and no wait() takes signal {signum} ({waiting} queued)"
        log.warning("master: %s", remark)
        return f"{remark}; `trisig drop {signum}` removes them"

    async def drop(self, signum: int) -> str:
        """Remove the signals of a number that nobody takes."""
        dropped = await self._opened().drop(signum)
        return f"dropped {counted(dropped)} with the number {signum}"

    async def run_now(self, source: str) -> str | None:
        """Raise the signal of a source; with a remark if it was skipped."""
        if await self._opened().run_now(source):
            return None
        return "skipped, because overlap= allows no further signal while one waits or runs"

    async def pause(self, source: str) -> None:
        """Let a source raise nothing until it is resumed."""
        self._opened().pause_source(source)

    async def remove_source(self, source: str) -> None:
        """Stop a source for good."""
        self._opened().remove_source(source)

    async def check_alive(self, patience: float, handler_limit: float | None = None) -> list[str]:
        """What is not well."""
        return list(await self._opened().check_alive(patience, handler_limit))

    async def resume(self, source: str) -> None:
        """Let a source raise signals again."""
        self._opened().resume_source(source)

    async def dead_letters(self) -> list[dict[str, object]]:
        """What was given up, with the sizes of arguments in their place."""
        return [_described(letter) for letter in await self._opened().dead_letters.list()]

    async def requeue(self, id: str) -> str:  # noqa: A002  as the letter has it
        """Let a dead letter run again."""
        letter = await self._opened().dead_letters.requeue(id)
        return f"requeued {letter} for {letter.destination}"

    async def drop_letter(self, id: str) -> str:  # noqa: A002
        """Forget a dead letter."""
        letter = await self._opened().dead_letters.drop(id)
        return f"dropped {letter} for {letter.destination}"

    async def cheap(self, number: int, *, wait: bool = True) -> str | None:
        """Stop a worker until it is woken; return when it has ended, or at once."""
        before = self._process(number)
        if wait:
            await self._opened().cheap(number)
        else:
            self._opened().cheap_nowait(number)
        was_stopped = before is not None and before.state == "cheap"
        return f"worker{number} was stopped already" if was_stopped else None

    async def wake(self, number: int, *, wait: bool = True) -> str | None:
        """Start a worker again; return when it is ready, or at once."""
        before = self._process(number)
        if wait:
            await self._opened().wake(number)
        else:
            self._opened().wake_nowait(number)
        after = self._process(number)
        # A worker that was being stopped has been replaced by now, or will be.
        was_awake = (
            wait and before is not None and before.state == "ready" and after is not None and before.pid == after.pid
        )
        return f"worker{number} was awake already" if was_awake else None

    async def reload(self, *, wait: bool = True) -> dict[str, object]:
        """Have another version of the application run; how long it took, or why the one of before runs."""
        opened = self._opened()
        if not wait and self._reload_soon is not None:
            self._reload_soon()
            return {}
        try:
            await opened.reload()
        except ChildFailedError as error:
            return {"error": str(error), "traceback": error.traceback}
        last = opened.last_reload
        return {"seconds": 0.0 if last is None else last.seconds}

    async def log(self, level: str) -> None:
        """Change the level of the log."""
        self._opened().set_log_level(level)

    async def stop(self) -> float:
        """Begin the end of the master; return its grace."""
        self._stopping.stop("asked through the control socket")
        return self._stopping.grace

    async def wait(self) -> None:
        """Never return: the connection ends when the master has ended."""
        await trio.sleep_forever()

    # What is waited for

    def _sending(self, _elapsed: float, signum: int) -> str:
        return f"the queue is full: {counted(self._statistics().queued)} waiting; signal {signum} waits for room"

    def _stopping_worker(self, elapsed: float, number: int, *, wait: bool = True) -> str:  # noqa: ARG002  as cheap
        process = self._process(number)
        doing = f"still running {_running(process)}" if process and process.running else "stopping"
        left = max(self._stopping.grace - elapsed, 0)
        return f"worker{number} is {doing}; it is killed if it has not ended in {left:.0f} s"

    def _starting_worker(self, _elapsed: float, number: int, *, wait: bool = True) -> str:  # noqa: ARG002  as wake
        process = self._process(number)
        return f"worker{number} is {process.state if process else 'not there'}, not ready yet"

    def _reloading(self, elapsed: float, *, wait: bool = True) -> str:  # noqa: ARG002  as reload
        now = self._statistics().processes.values()
        old = [f"{one.name} is running {_running(one)}" for one in now if one.state == "ready" and one.running]
        new = [f"{one.name} is {one.state}" for one in now if one.state not in ("ready", "cheap")]
        return f"reloading for {elapsed:.0f} s: {'; '.join(new or old) or 'the application is imported'}"

    def _ending(self, _elapsed: float) -> str:
        if self.master is None or self._stopping.since is None:
            return "the master is running"
        now = self.master.statistics()
        running = "; ".join(f"{one.name}: {_running(one)}" for one in now.processes.values() if one.running)
        left = max(self._stopping.since + self._stopping.grace - trio.current_time(), 0)
        held = f"{counted(now.queued + now.in_flight)} left{f' ({running})' if running else ''}"
        return f"the master is stopping: {held}; it ends in {left:.0f} s at the latest"

    # The master

    def _opened(self) -> Master:
        """The master.

        Raises:
            NoMasterError: it is not open yet.
        """
        if self.master is None:
            raise NoMasterError("the master is still starting; its log says what it waits for")
        return self.master

    def _statistics(self) -> MasterStatistics:
        return self._opened().statistics()

    def _process(self, number: int) -> ProcessStatistics | None:
        return self._statistics().processes.get(f"worker{number}")

    def _without_a_taker(self, signum: int) -> int:
        """How many signals of a number wait for a handler, or a `wait`, that does not exist."""
        one = self._statistics().signals.get(signum)
        return unhandled(one) if one is not None else 0


def _described(letter: DeadLetter) -> dict[str, object]:
    fields = dataclasses.asdict(letter)
    arguments = fields.pop("arguments")
    return {**fields, "reason": letter.reason or _count_of_attempts(letter), "size": len(arguments)}


def _count_of_attempts(letter: DeadLetter) -> str:
    said = []
    if letter.attempts:
        said.append(f"ended its process {times(letter.attempts)}")
    if letter.failures:
        said.append(f"failed {times(letter.failures)}")
    return " and ".join(said)


def _running(process: ProcessStatistics) -> str:
    numbers = ", ".join(map(str, process.running))
    return f"signal{'s' if len(process.running) > 1 else ''} {numbers}"
