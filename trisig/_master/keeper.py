"""One process slot in the master: make the process, watch it, make the next one when it ends.

Everything that a process says arrives on a descriptor with a task waiting for it (see `hearing`), and so does its
death, on the pidfd. A dead process is reaped first; then what it had still said is read to the end; only then does the
ledger decide what was lost on the way. The next process gets fresh descriptors.

A process that fails quickly, without having handled anything, is replaced after a pause that doubles up to
30 seconds. One that was ready and did something is replaced at once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import trio

from trisig._ipc.cargo import CargoSender
from trisig._ipc.descriptors import open_descriptors
from trisig._ipc.messages import Begin, Leave, Push, Ring, encode
from trisig._model.dead_letter import DeadLetter
from trisig._model.errors import ChildFailedError
from trisig._model.event import Event
from trisig._model.process import ProcessInfo
from trisig._util.exit_status import exit_in_words
from trisig._util.ki_protection import ki_protected

from .hearing import Acceptor, Hearing
from .incarnation import Incarnation
from .restart import RestartPolicy, judge
from .slots import Slot

log = logging.getLogger("trisig")

State = Literal["starting", "ready", "waiting", "cheap", "stopped"]
Spawn = Callable[[str, Sequence[int]], Awaitable[tuple[int, int]]]


class Office(Acceptor, Protocol):
    """What the rest of the master does for the process in a slot."""

    def heard(self, slot: Slot) -> None: ...
    def answer(self, asker: Keeper, data: bytes) -> bytes | None: ...
    def attach(self, slot: Slot, pipe: int, back: int, cargo: CargoSender) -> None: ...
    def detach(self, slot: Slot, *, blame: bool) -> list[DeadLetter]: ...
    def worn(self, slot: Slot, why: str) -> None: ...
    def ended(self, slot: Slot, pid: int, status: int | None) -> None: ...
    def started(self, slot: Slot) -> None: ...


@ki_protected
class Keeper:
    """Keeps one slot filled.

    Args:
        slot: the place to fill.
        farms: the farms that its processes belong to.
        spawn: makes the process; returns its pid and pidfd.
        office: the rest of the master.
        grace: seconds that a process may take to leave when it is asked to.
        policy: when a process that has ended is replaced.
    """

    def __init__(
        self,
        slot: Slot,
        farms: tuple[str, ...],
        spawn: Spawn,
        office: Office,
        grace: float,
        *,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.name = slot.name
        self.state: State = "starting"
        self.respawns = -1
        self._slot = slot
        self._farms = farms
        self._spawn = spawn
        self._office = office
        self._grace = grace
        self._policy = policy or RestartPolicy()
        self._now: Incarnation | None = None
        self._hearing: Hearing | None = None
        self._leave = trio.Event()
        self._changed = trio.Event()
        self._ever_ready = False
        self._failures = 0  # in a row
        self._final = self._patient = False
        self._pausing = trio.CancelScope()
        self.start_failure: ChildFailedError | None = None  # why the last try led to nothing
        self._rung: trio.Event | None = None
        self.since = trio.current_time()

    @property
    def pid(self) -> int:
        """Of the process that fills the slot; 0 if there is none."""
        return self._now.pid if self._now is not None else 0

    @property
    def info(self) -> ProcessInfo:
        return ProcessInfo(self._slot.kind, self._slot.number, self.pid, self._farms)

    # Its states

    def _becomes(self, state: State) -> None:
        self.state, self.since = state, trio.current_time()
        self.wake()

    def wake(self) -> None:
        """Something has changed: look again, whoever waits for a state, and `keep` whether the slot shall be filled."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait_state(self, *states: State) -> None:
        """Wait until the slot is in one of some states."""
        while self.state not in states:
            await self._changed.wait()

    async def wait_left(self) -> None:
        """Wait until the process that was asked to leave has ended."""
        while self._leave.is_set() and self.state not in ("cheap", "stopped"):
            await self._changed.wait()

    async def wait_filled(self) -> None:
        """Wait until a process that was not asked to leave is ready, or there will be none any more."""
        while self.state != "stopped" and (self.state != "ready" or self._leave.is_set()):
            await self._changed.wait()

    async def wait_quiet(self) -> None:
        """Wait until the services of the process have ended, with or without it."""
        now = self._now
        while now is not None and self.state == "ready" and self._now is now and not now.services_ended:
            await self._changed.wait()

    async def wait_replaced(self, pid: int) -> None:
        """Wait until another process than this one is ready, or none is wanted any more."""
        while not self._is_replaced(pid):
            await self._changed.wait()

    async def wait_started(self, pid: int) -> None:
        """Wait until another process than this one is ready or has failed to start, or none is wanted."""
        while self.start_failure is None and not self._is_replaced(pid):
            await self._changed.wait()

    def _is_replaced(self, pid: int) -> bool:
        return self.state in ("cheap", "stopped") or (self.pid not in (0, pid) and self.state == "ready")

    def hurry(self) -> None:
        """Try again now, if this is a pause after failures."""
        self._failures = 0
        self._pausing.cancel()

    @property
    def is_at_work(self) -> bool:
        """Whether the process holds signals that it has not passed; it may run a plain handler, and not answer."""
        return self._slot.lane is not None and self._slot.lane.busy

    def handlers(self) -> list[tuple[int | str, float]]:
        """What runs in the process, and for how many seconds."""
        return self._slot.handlers()

    async def answer(self) -> None:
        """Have the process ring, and wait until it does."""
        if self._rung is None or self._rung.is_set():
            self._rung = trio.Event()
        rung = self._rung
        self.push(Ring())
        await rung.wait()

    def leave(self, *, final: bool = False, patient: bool = False) -> None:
        """Ask the process to end, for good or until the slot is filled again.

        Args:
            final: for good.
            patient: its handlers may take longer than the grace.
        """
        self._final = self._final or final
        self._patient = patient
        self._leave.set()
        self.wake()

    def fds(self) -> list[int]:
        """The master's descriptors of the process."""
        return self._now.ends.fds() if self._now is not None else []

    def kill(self) -> None:
        """End the process now."""
        if self._now is not None:
            self._now.kill()

    def replace(self) -> None:
        """End the process now and make another one, which is no failure of the process or its signals."""
        if self._now is not None:
            self._now.ended_by_us = self._now.replaced = True
            self._now.kill()

    async def keep(self) -> None:
        """Keep the slot filled until it is asked to leave for good.

        Raises:
            ChildFailedError: the process cannot start.
        """
        while not self._final:
            if not self._wanted():
                self._becomes("cheap")
                await self._changed.wait()
                continue
            self._leave = trio.Event()
            await self._pause()
            if self._wanted():
                self._becomes("starting")
                await self._live()
        self._becomes("stopped")

    def _wanted(self) -> bool:
        return self._slot.active and not self._final

    async def _pause(self) -> None:
        pause = self._policy.pause(self._failures)
        if not pause:
            return
        log.warning("%s: failed %d times in a row; next try in %.1f s", self.name, self._failures, pause)
        self._becomes("waiting")
        with trio.move_on_after(pause) as self._pausing:
            await self._leave.wait()

    # One life

    async def _live(self) -> None:
        try:
            now, hearing = await self._make()
        except (OSError, trio.BrokenResourceError) as error:
            self._failed(None, f"failed to start: {error}")
            return
        died = False
        try:
            async with trio.open_nursery() as nursery:
                hearing.start(nursery)
                nursery.start_soon(now.cargo.keep_flushing, self._slot.cargo_flowed)
                nursery.start_soon(now.pushes.keep_flushing)
                nursery.start_soon(self._kill_after_grace, now)
                nursery.start_soon(self._notice_slow_start)
                await trio.lowlevel.wait_readable(now.pidfd)
                died = True
                nursery.cancel_scope.cancel()
        finally:
            now.ended_by_us = now.ended_by_us or not died
            with trio.CancelScope(shield=True):
                await now.reap()
            self._settle(now, hearing)
        self._judge(now)

    async def _notice_slow_start(self) -> None:
        with trio.move_on_after(self._policy.notice_after):
            await self.wait_state("ready")
            return
        why = "a start hook still runs, or a service has not called task_status.started()"
        log.warning("%s: not ready after %g s; %s", self.name, self._policy.notice_after, why)

    async def _make(self) -> tuple[Incarnation, Hearing]:
        ends, others = open_descriptors()
        self._slot.memory.clear()
        # Before the spawn, which may fork a new zygote: its children must not hold these.
        self._now = now = Incarnation(ends, self._slot.memory.words)
        self._hearing = hearing = Hearing(now, self._slot, self._office, self._answer, self._rang)
        try:
            now.pid, now.pidfd = await self._spawn(encode(Begin(self.name)).decode(), others.fds())
        except BaseException:
            self._now = self._hearing = None
            ends.close()
            raise
        finally:
            others.close()
        self.respawns += 1
        self._office.started(self._slot)
        return now, hearing

    def _settle(self, now: Incarnation, hearing: Hearing) -> None:
        """Read to the end what a dead process said, then settle what it left."""
        try:
            hearing.take_all()
            lane = self._slot.lane
            if lane is not None:
                lane.read_marks()
                now.running = lane.running()
                letters = self._office.detach(self._slot, blame=not now.ended_by_us)
                now.worked = lane.done > 0 or bool(letters)
            self._office.ended(self._slot, now.pid, now.status)
        finally:
            self._now = self._hearing = None
            now.ends.close()

    def _judge(self, now: Incarnation) -> None:
        verdict = judge(now.ending(asked=self._leave.is_set() or now.replaced, steady=self._policy.backoff.steady))
        if verdict == "failed to start":
            self._failed(now, "")
        elif verdict == "failed at once":
            self._failed(now, "exited as soon as it was ready")
        else:
            self._failures = self._failures + 1 if verdict == "blame the signal" else 0
            if verdict != "left":
                log.warning("%s: exited (%s); restarting", self.name, now.describe_exit())

    def _failed(self, now: Incarnation | None, reason: str) -> None:
        """A start that led to nothing: say so, or give up if that has happened too often.

        Args:
            now: the process; None if it could not be made.
            reason: what happened, if it is not that it failed to start.
        """
        self._failures += 1
        if now is None:
            error = ChildFailedError(self.name, None, reason=reason)
        else:
            ended = now.describe_exit() if now.status is None else exit_in_words(now.status)
            error = ChildFailedError(
                self.name, now.status, now.traceback, reason=reason, summary=now.summary, ended=ended
            )
        at_once = now is not None and not self._ever_ready
        if at_once or self._policy.gives_up(self._failures, ever_ready=self._ever_ready):
            raise error
        log.error("%s", error)
        self.start_failure = error
        self.wake()

    # What it says

    def _answer(self, data: bytes) -> bytes | None:
        return self._office.answer(self, data)

    def said_hello(self) -> None:
        self._said().greeted = True

    def said_ready(self) -> None:
        now = self._said()
        now.ready_at = trio.current_time()
        self._ever_ready = True
        self.start_failure = None
        self._office.attach(self._slot, now.ends.lane, now.ends.lane_reader, now.cargo)
        self._becomes("ready")
        if self.respawns:
            log.info("%s: ready (pid %d)", self.name, now.pid)

    def said_quiet(self) -> None:
        self._said().services_ended = True
        self.wake()

    def said_leave(self) -> None:
        """Something else asked it to end: it may finish what it runs, and is replaced then."""
        log.info("%s: got SIGTERM; restarting when its handlers have ended", self.name)
        self.leave()

    def said_worn(self, why: str) -> None:
        self._office.worn(self._slot, why)

    def said_failed(self, traceback: str, summary: str) -> None:
        now = self._said()
        now.traceback, now.summary = traceback, summary

    def _said(self) -> Incarnation:
        assert self._now is not None, "only a process that is there, or is being settled, says anything"
        return self._now

    def take_raised(self) -> None:
        """Read now what the process has raised so far."""
        if self._hearing is not None:
            self._hearing.take_raised()

    def _rang(self) -> None:
        self._office.heard(self._slot)
        if self._rung is not None:
            self._rung.set()

    # What it is asked

    def event_of(self, number: int) -> Event | None:
        """What raised a signal that the process runs."""
        lane = self._slot.lane
        return None if lane is None else lane.event_of(number)

    def push(self, message: Push) -> None:
        """Send the process a message; never waits."""
        if self._now is not None and self._now.greeted:
            self._now.pushes.push(message)

    def answer_call(self, key: int, outcome: int, content: bytes | bytearray) -> None:
        """Send the process the answer to a call of it; never waits."""
        if self._now is not None:
            self._now.cargo.answer(key, outcome, content)
            self._now.cargo.flush()

    async def _kill_after_grace(self, now: Incarnation) -> None:
        """Ask the process to leave when it shall, and kill it if it has not left within the grace."""
        await self._leave.wait()
        now.pushes.push(Leave())  # it still hears: its handlers may wait for locks and signals
        while self._patient:
            await self._changed.wait()
        await trio.sleep(self._grace)
        log.warning("%s: did not leave within %g s; killing it", self.name, self._grace)
        now.ended_by_us = True
        now.kill()
