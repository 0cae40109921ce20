"""The main thread of a child: it runs handlers and programs, one at a time, while trio runs in another thread.

uWSGI's code blocks, so it cannot share a thread with trio. The main thread takes jobs from a queue. Code that waits for
something of uWSGI's, `uwsgi.signal_wait()` say, takes jobs meanwhile: handlers run inside the wait, as in uWSGI.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class ProcessEnds(SystemExit):
    """Raised in blocking code that waits while its process ends."""


@dataclass(eq=False)
class Job:
    """A function that the main thread is asked to call.

    Attributes:
        call: the function.
        is_program: it may be cut off at the end of the process; handlers may not.
        started: from then on it cannot be taken back.
        abandoned: it was taken back.
        ended: called, in the main thread, when it has ended.
        result: what came of it.
    """

    call: Callable[[], Any]
    is_program: bool = False
    started: bool = False
    abandoned: bool = False
    ended: Callable[[], object] = field(default=lambda: None)
    result: Future[Any] = field(default_factory=Future)


class MainThread:
    """The main thread of one child. Made before the fork; `begin` is called after it."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._stack: list[Job] = []
        self._calls: dict[trio.CancelScope, Job | None] = {}
        self._cutting = False
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._ident = 0
        self._leave: Callable[[], object] = lambda: None

    # In the main thread

    def begin(self, leave: Callable[[], object]) -> None:
        """This process has a main thread now.

        Args:
            leave: asks for the end of the process, in trio's thread; called at SIGTERM.
        """
        self._ident = threading.get_ident()
        self._leave = leave
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def serve(self, until: Callable[[], bool]) -> None:
        """Run jobs until something is so, as seen after each job and each `wake`."""
        while not until():
            job = self._jobs.get()
            if job is not None and not job.abandoned:
                self._run(job)

    def _run(self, job: Job) -> None:
        job.started = True
        self._stack.append(job)
        try:
            job.result.set_result(job.call())
        except BaseException as error:  # noqa: BLE001, ASYNC103  whoever asked for the job gets it
            job.result.set_exception(error)
        finally:
            self._stack.pop()
            job.ended()

    def wake(self) -> None:
        """Have `serve` look again."""
        self._jobs.put(None)

    @property
    def is_current(self) -> bool:
        """Whether this is the main thread."""
        return threading.get_ident() == self._ident

    @property
    def runs_program(self) -> bool:
        """Whether the innermost of what runs is a program."""
        return bool(self._stack) and self._stack[-1].is_program

    # In the thread of trio

    async def attend(self, life: Callable[[], Awaitable[None]]) -> None:
        """Live, and do meanwhile what blocking code waits for."""
        async with trio.open_nursery() as nursery:
            self._nursery, self._token = nursery, trio.lowlevel.current_trio_token()
            try:
                await life()
            finally:
                self._token = None
                nursery.cancel_scope.cancel()

    async def run(self, call: Callable[..., T], *arguments: object, is_program: bool = False) -> T:
        """Call a function in the main thread, when it is its turn. Once it has begun, a cancellation waits for it."""
        ended, token = trio.Event(), trio.lowlevel.current_trio_token()
        job = Job(lambda: call(*arguments), is_program, ended=lambda: token.run_sync_soon(ended.set))
        self._jobs.put(job)
        try:
            await ended.wait()
        except trio.Cancelled:  # noqa: ASYNC103  what has begun has a result, and is no signal to be run again
            if not job.started:
                job.abandoned = True
                raise
            with trio.CancelScope(shield=True):
                await ended.wait()
        result: T = job.result.result()
        return result

    def cut_program(self) -> None:
        """End the program that runs, if one does: by what it waits for, or by SIGTERM."""
        self._cutting = True
        waits = [scope for scope, waiter in self._calls.items() if waiter is not None and waiter.is_program]
        for scope in waits:
            scope.cancel()
        if not waits and any(job.is_program for job in self._stack):
            signal.pthread_kill(self._ident, signal.SIGTERM)

    def _on_sigterm(self, *_: object) -> None:
        if self._cutting and self.runs_program:
            raise ProcessEnds(0)
        if not self._cutting and self._token is not None:
            self._token.run_sync_soon(self._leave)

    # In any other thread: waiting for trio

    def call(self, wait: Callable[..., Awaitable[T]], *arguments: object, serving: bool = True) -> T:
        """Wait for something that trio can wait for.

        Args:
            wait: the function to be awaited.
            arguments: for it.
            serving: whether handlers run meanwhile, if this is the main thread.

        Raises:
            ProcessEnds: what it says.
        """
        token, answer, begun = self._token, Future[T](), threading.Event()
        in_main = self.is_current
        waiter = self._stack[-1] if in_main and self._stack else None
        try:
            if token is None:
                raise ProcessEnds(0)
            token.run_sync_soon(lambda: self._start(waiter, lambda: wait(*arguments), answer, begun))
        except trio.RunFinishedError:
            raise ProcessEnds(0) from None
        if in_main and serving:
            begun.wait()  # else a handler that is due could run, unnoticed, before anybody waits for it
            self.serve(answer.done)
        return answer.result()

    def _start(
        self, waiter: Job | None, wait: Callable[[], Awaitable[T]], answer: Future[T], begun: threading.Event
    ) -> None:
        if self._token is None or self._nursery is None:  # trio ends
            answer.set_exception(ProcessEnds(0))
            begun.set()
            self.wake()
        else:
            self._nursery.start_soon(self._wait, waiter, wait, answer)
            self._nursery.start_soon(self._say_begun, begun)

    async def _say_begun(self, begun: threading.Event) -> None:
        try:
            await trio.lowlevel.checkpoint()  # within which the wait takes its first step, and is registered
        finally:
            begun.set()

    async def _wait(self, waiter: Job | None, wait: Callable[[], Awaitable[T]], answer: Future[T]) -> None:
        with trio.CancelScope() as scope:
            self._calls[scope] = waiter
            if self._cutting and waiter is not None and waiter.is_program:
                scope.cancel()
            try:
                answer.set_result(await wait())
            except Exception as error:  # noqa: BLE001  whoever waits gets it
                answer.set_exception(error)
            finally:
                del self._calls[scope]
                if not answer.done():
                    answer.set_exception(ProcessEnds(0))
                self.wake()
