"""The application that the storm goes over: handlers that count, and services that raise."""

import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter_ns

import trio

import trisig
from trisig._api.signals import application_of
from trisig._child.verbs import ChildVerbs

from .evidence import Evidence
from .plan import ECHO, ECHOES, HANDLED, RAISERS, SELF_ECHO, SLOTS, Kind, cycle

SLOW = 50_000  # nanoseconds
ECHO_EVERY = 4  # signals for one echo


class Application:
    """Declares everything on a `Signals`, and raises what a raiser has to raise.

    Args:
        quota: how many signals each raiser raises.
    """

    def __init__(self, evidence: Evidence, seed: int, quota: int) -> None:
        self.signals = trisig.Signals()
        self.evidence = evidence
        self.quota = quota
        self._seed = seed
        self._slot = -1
        self._marks = memoryview(b"")
        self.signals.on_start()(self._wake_up)
        for signum, kind in (HANDLED | ECHOES).items():
            self.signals.register(signum, kind.target, self._handler(kind))
        for number, name in enumerate(RAISERS[1:], start=1):
            self.signals.service(name)(self._service(number))

    def _wake_up(self) -> None:
        self._slot = SLOTS.index(trisig.current_process().name)
        verbs = application_of(self.signals).verbs
        assert isinstance(verbs, ChildVerbs)
        self._marks = verbs._runner._marks

    def _service(self, raiser: int) -> Callable[[], Awaitable[None]]:
        async def raise_all() -> None:
            await self.raise_all(raiser)

        return raise_all

    async def raise_all(self, raiser: int) -> None:
        """Raise in the raiser's order, from where the one before it came to; by both verbs."""
        numbers, evidence = cycle(raiser, self._seed), self.evidence
        nth = evidence.returned[raiser]
        while nth < self.quota:
            while nth >= evidence.allowed[raiser]:  # noqa: ASYNC110  another process allows it
                await trio.sleep(0.001)
            signum = numbers[nth % len(numbers)]
            try:
                if nth % 64 == 0:
                    await self.signals.send(signum)
                else:
                    self.signals.send_nowait(signum)
            except trio.WouldBlock:
                await self.signals.send(signum)
            nth += 1
            evidence.returned[raiser] = nth

    # Handlers

    def _handler(self, kind: Kind) -> Callable[[int], object]:
        handlers: dict[str, Callable[[int], object]] = {
            "plain": self._plain,
            "slow": self._slow,
            "aside": self._aside,
            "echo": lambda _signum: self._plain(_signum, ECHO),
            "self": lambda _signum: self._plain(_signum, SELF_ECHO),
        }
        return handlers[kind.style]

    def _plain(self, _signum: int, echo: int | None = None) -> None:
        queue, place = self.evidence.identify(self._slot, self._marks)
        self._may_die(1)
        if echo is not None and place % ECHO_EVERY == 0:
            with suppress(trio.WouldBlock):  # the queue is full: the handler, which cannot wait, goes on without
                self.signals.send_nowait(echo)
                self.evidence.echoed[self._slot] += 1
        self.evidence.count(queue, place)
        self._may_die(2)

    def _slow(self, signum: int) -> None:
        until = perf_counter_ns() + SLOW
        while perf_counter_ns() < until:
            pass
        self._plain(signum)

    def _aside(self, _signum: int) -> object:
        return self._run_aside(*self.evidence.identify(self._slot, self._marks))

    async def _run_aside(self, queue: int, place: int) -> None:
        self._may_die(1)
        await trio.sleep(random.random() * 0.002)
        self.evidence.count(queue, place)
        self._may_die(2)

    def _may_die(self, moment: int) -> None:
        if self.evidence.death_wish[self._slot] == moment:
            self.evidence.death_wish[self._slot] = 0
            os.kill(os.getpid(), signal.SIGKILL)
