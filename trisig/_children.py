"""One process slot in the master: make the process, watch it, make the next one when it ends.

Everything that a process says arrives on a descriptor with a task waiting for it, its death too (the pidfd).
When it has died it is reaped first; then what it still said is read to the end; only then does the ledger
decide what was lost on the way. The next process gets fresh descriptors.

A process that fails quickly, without having handled anything, is replaced after a pause that doubles up to
30 seconds. One that was ready and did something is replaced at once.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import trio

from ._asking import MESSAGE_BYTES, Message
from ._errors import ChildFailedError
from ._interrupt import uninterrupted
from ._ledger import DeadLetter, Lane
from ._process import Kind, ProcessInfo
from ._pushes import Pushes
from ._shared import SlotMemory
from ._wires import MasterEnds, open_wires

log = logging.getLogger("trisig")

_READ = 65_536  # a buffer of more than malloc keeps would be mapped and unmapped for every signal
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds
_LATE = 10.0  # seconds without being ready that are worth a line
_STEADY = 1.0  # seconds after which a process has not failed quickly
_TRIES_AT_OPEN, _TRIES = 5, 12  # failed starts in a row before giving up

Spawn = Callable[[str, Sequence[int]], Awaitable[tuple[int, int]]]


class Place(Protocol):
    """The dispatcher's side of the slot."""

    kind: Kind
    number: int
    name: str
    memory: SlotMemory
    lane: Lane | None
    active: bool


class Office(Protocol):
    """What the rest of the master does for a child, by the name of its slot."""

    def accept(self, name: str, signals: bytes) -> None: ...
    def heard(self, name: str) -> None: ...
    def answer(self, asker: Keeper, message: Message) -> Message | None: ...
    def attach(self, name: str, pipe: int, back: int) -> None: ...
    def detach(self, name: str, *, blame: bool) -> list[DeadLetter]: ...
    def ended(self, name: str) -> None: ...
    def begins(self, name: str) -> None: ...


@uninterrupted
class Keeper:
    """Keeps one slot filled.

    Args:
        place: the slot.
        spawn: makes the process; returns its pid and pidfd.
        grace: seconds that a process may take to leave when it is asked to.
    """

    def __init__(self, place: Place, farms: tuple[str, ...], spawn: Spawn, office: Office, grace: float) -> None:
        self.name = place.name
        self.state = "starting"
        self.pid = 0
        self.respawns = -1
        self._place = place
        self._farms = farms
        self._spawn = spawn
        self._office = office
        self._grace = grace
        self._ends: MasterEnds | None = None
        self._pidfd = -1
        self._pushes: Pushes | None = None
        self._leave = trio.Event()
        self._changed = trio.Event()
        self._greeted = False
        self._quiet = False
        self._ever_ready = False
        self._ready_at = 0.0
        self._failed_with = self._summary = ""
        self._failures = 0
        self._worked = self._handling = False
        self._ended_it = False
        self._final = False

    @property
    def info(self) -> ProcessInfo:
        return ProcessInfo(self._place.kind, self._place.number, self.pid, self._farms)

    # Its states

    def _becomes(self, state: str) -> None:
        self.state = state
        self.wake()

    def wake(self) -> None:
        """Something has changed: look again, whoever waits for a state, and `keep` whether the slot shall be filled."""
        self._changed.set()
        self._changed = trio.Event()

    async def reached(self, *states: str) -> None:
        """Wait until the slot is in one of some states: ready, cheap, stopped."""
        while self.state not in states:
            await self._changed.wait()

    async def left(self) -> None:
        """Wait until the process that was asked to leave has ended."""
        while self._leave.is_set() and self.state not in ("cheap", "stopped"):
            await self._changed.wait()

    async def filled(self) -> None:
        """Wait until a process that was not asked to leave is ready, or there will be none any more."""
        while self.state != "stopped" and (self.state != "ready" or self._leave.is_set()):
            await self._changed.wait()

    async def quiet(self) -> None:
        """Wait until the services of the process have ended, with or without it."""
        pid = self.pid
        while self.state == "ready" and self.pid == pid and not self._quiet:
            await self._changed.wait()

    def leave(self, *, final: bool = False) -> None:
        """Ask the process to end: for good, or until it is woken."""
        self._final = self._final or final
        self._leave.set()
        self.wake()

    def fds(self) -> list[int]:
        """The master's descriptors of the process."""
        return self._ends.fds() if self._ends else []

    def kill(self) -> None:
        """End the process now."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

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
        return self._place.active and not self._final

    async def _pause(self) -> None:
        pause = pause_after(self._failures)
        if not pause:
            return
        log.warning("%s: failed %d times in a row, next try in %.1f s", self.name, self._failures, pause)
        self._becomes("waiting")
        with trio.move_on_after(pause):
            await self._leave.wait()

    # One life

    async def _live(self) -> None:
        try:
            ends = await self._make()
        except (OSError, trio.BrokenResourceError) as error:
            self._failed(None, f"failed to start: {error}")
            return
        status, died = 0, False
        self._pushes = pushes = Pushes(ends.pushes)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_raised, ends.raised)
                nursery.start_soon(self._read_bell, ends.bell)
                nursery.start_soon(self._read_requests, ends.requests)
                nursery.start_soon(pushes.keep_flushing)
                nursery.start_soon(self._climb_down, pushes)
                nursery.start_soon(self._say_if_late)
                await trio.lowlevel.wait_readable(self._pidfd)
                died = True
                nursery.cancel_scope.cancel()
        finally:
            self._ended_it = self._ended_it or not died
            with trio.CancelScope(shield=True):
                status = await self._reap()
            self._bury(ends)
        self._judge(status)

    async def _say_if_late(self) -> None:
        with trio.move_on_after(_LATE):
            await self.reached("ready")
            return
        why = "a start hook still runs, or a service has not called task_status.started()"
        log.warning("%s: not ready after %g s; %s", self.name, _LATE, why)

    async def _make(self) -> MasterEnds:
        ends, others = open_wires()
        self._office.begins(self.name)
        self._place.memory.clear()
        self._greeted = self._quiet = self._worked = self._handling = self._ended_it = False
        self._failed_with = self._summary = ""
        self._ready_at = 0.0
        self._ends = ends
        try:
            self.pid, self._pidfd = await self._spawn(json.dumps({"name": self.name}), others.fds())
        except BaseException:
            self._ends = None
            ends.close()
            raise
        finally:
            others.close()
        self.respawns += 1
        return ends

    async def _reap(self) -> int:
        self.kill()
        await trio.lowlevel.wait_readable(self._pidfd)
        ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)  # noqa: ASYNC222  it is dead, the pidfd says so
        os.close(self._pidfd)
        self._pidfd = -1
        assert ended is not None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def _bury(self, ends: MasterEnds) -> None:
        """Read to the end what a dead process said, then settle what it left."""
        try:
            self._take_raised(ends.raised)
            while message := self._receive(ends.requests):
                self._office.answer(self, message)
            lane = self._place.lane
            if lane is not None:
                lane.settle()
                self._handling = bool(lane.running())
                letters = self._office.detach(self.name, blame=not self._ended_it)
                self._worked = lane.done > 0 or bool(letters)
            self._office.ended(self.name)
        finally:
            self._ends = self._pushes = None
            self.pid = 0
            ends.close()

    def _judge(self, status: int) -> None:
        if self._leave.is_set():
            self._failures = 0
            return
        if not self._ready_at:
            self._failed(status, "")
        elif self._worked or trio.current_time() - self._ready_at > _STEADY:
            self._failures = 0
            log.warning("%s: ended (%s), it is replaced", self.name, _how(status))
        elif self._handling:  # the signal is to blame, and dead-lettered in the end: no reason to give up
            self._failures += 1
            log.warning("%s: ended (%s) in its first handler, it is replaced", self.name, _how(status))
        else:
            self._failed(status, "ended as soon as it was ready")

    def _failed(self, status: int | None, reason: str) -> None:
        """A start that led to nothing: told, or the end of it all if that has happened too often."""
        self._failures += 1
        error = ChildFailedError(self.name, status, self._failed_with, reason=reason, summary=self._summary)
        at_once = status is not None and not self._ever_ready
        if at_once or self._failures >= (_TRIES if self._ever_ready else _TRIES_AT_OPEN):
            raise error
        log.error("%s", error)

    # What it says

    def said_hello(self) -> None:
        self._greeted = True

    def said_ready(self) -> None:
        self._ever_ready = True
        self._ready_at = trio.current_time()
        assert self._ends is not None
        self._office.attach(self.name, self._ends.lane, self._ends.taken_back)
        self._becomes("ready")

    def said_quiet(self) -> None:
        self._quiet = True
        self.wake()

    def said_leave(self) -> None:
        """It was told to end by somebody else: it may finish what it runs, and is replaced."""
        log.info("%s: SIGTERM, it is replaced when its handlers have ended", self.name)
        self.leave()

    def said_failed(self, traceback: str, summary: str) -> None:
        self._failed_with, self._summary = traceback, summary

    async def _read_raised(self, fd: int) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            try:
                signals = os.read(fd, _READ)
            except BlockingIOError:
                continue
            if not signals:
                return
            self._office.accept(self.name, signals)

    def _take_raised(self, fd: int) -> None:
        try:
            while signals := os.read(fd, _READ):
                self._office.accept(self.name, signals)
        except BlockingIOError:
            pass  # not its end: a process that the child left behind may hold the pipe

    def take_raised(self) -> None:
        """Read now what the process has raised so far."""
        if self._ends is not None:
            self._take_raised(self._ends.raised)

    async def _read_bell(self, fd: int) -> None:
        while True:
            await trio.lowlevel.wait_readable(fd)
            try:
                os.eventfd_read(fd)
            except BlockingIOError:
                continue
            self._office.heard(self.name)

    async def _read_requests(self, requests: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(requests)
            message = self._receive(requests)
            if message is None:
                continue
            if not message:
                return  # it has closed the socket, or sends what is no message: its death will tell more
            self.take_raised()  # before it unregisters, say, what it has raised until now
            self._reply(requests, self._office.answer(self, message))

    def _reply(self, requests: socket.socket, answer: Message | None) -> None:
        if answer is not None:
            try:
                requests.send(json.dumps(answer).encode())
            except OSError:
                pass  # it died after it asked, which its pidfd will tell

    def _receive(self, requests: socket.socket) -> Message | None:
        """The next message; None if there is none yet, an empty one if there will be none any more."""
        try:
            text = requests.recv(MESSAGE_BYTES)
            message: Message = json.loads(text) if text else {}
        except BlockingIOError:
            return None
        except (OSError, ValueError):
            return {}
        return message

    # What it is told

    def push(self, message: Message) -> None:
        """Tell the process something; never waits."""
        if self._pushes is not None and self._greeted:
            self._pushes.push(message)

    async def _climb_down(self, pushes: Pushes) -> None:
        """The ladder: asked to leave, and killed if it has not left within the grace."""
        await self._leave.wait()
        pushes.hang_up()
        await trio.sleep(self._grace)
        log.warning("%s: did not leave within %g s, it is killed", self.name, self._grace)
        self._ended_it = True
        self.kill()


def pause_after(failures: int) -> float:
    """Seconds to wait before the next try, after so many failures in a row."""
    return min(_FIRST_PAUSE * 2 ** min(failures - 2, 10), _LONGEST_PAUSE) if failures >= 2 else 0.0


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
