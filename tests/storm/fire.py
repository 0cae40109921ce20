"""The killer: SIGKILL from outside and from within handlers, SIGSTOP and SIGCONT, deaths of the zygote."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress

import trio

import trisig

from .evidence import Evidence
from .plan import SLOTS

LONGEST_PAUSE = 0.006  # seconds before a kill, so that it meets the signals allowed by the one before
LONGEST_WISH = 0.05  # seconds until a process that was to kill itself in a handler is killed
ZYGOTE_EVERY = 37  # kills for one of the zygote
WISHES = {"kill before the effect": 1, "kill after the effect": 2}


class Killer:
    """Kills children, and lets the raisers go on by one portion with each kill.

    Args:
        quota: what each raiser raises in all.
        kills: how many kills of children.
    """

    def __init__(self, master: trisig.Master, evidence: Evidence, seed: int, quota: int, kills: int) -> None:
        self._keepers = master._engine.children.keepers
        self._zygote = master._engine.zygotes
        self._evidence = evidence
        self._rng = random.Random(f"{seed} killer")
        self._quota = quota
        self._kills = kills
        self._doomed: set[int] = set()
        self.did: Counter[str] = Counter()

    async def rage(self) -> None:
        for kill in range(self._kills):
            self._allow(kill + 1)
            await trio.sleep(self._rng.random() * LONGEST_PAUSE)
            if kill % ZYGOTE_EVERY == ZYGOTE_EVERY - 1:
                self._kill_zygote()
            await self._kill(await self._victim())
        await self._end_wishes()
        self._allow(self._kills + 1)

    async def _end_wishes(self) -> None:
        """Every kill was a death."""
        await trio.sleep(LONGEST_WISH)
        for name in SLOTS:
            if self._keepers[name].pid in self._doomed:
                self._signal(name, signal.SIGKILL)
            self._evidence.death_wish[SLOTS.index(name)] = 0
        for name in SLOTS:
            await self._until(name, ("ready",))

    def _allow(self, portions: int) -> None:
        for raiser in range(len(self._evidence.allowed)):
            self._evidence.allowed[raiser] = self._quota * portions // (self._kills + 1)

    def _kill_zygote(self) -> None:
        with suppress(trio.ClosedResourceError, ProcessLookupError):  # it is being replaced
            os.kill(self._zygote.pid, signal.SIGKILL)
            self.did["kill of the zygote"] += 1

    async def _victim(self) -> str:
        """Any of them, once it is ready, so that none is killed more often than others; one in ten while it starts."""
        name = self._rng.choice(SLOTS)
        states = ("ready", "starting") if self._rng.random() < 0.1 else ("ready",)
        with trio.move_on_after(LONGEST_WISH):
            await self._until(name, states)
            return name
        self._signal(name, signal.SIGKILL)  # it was to kill itself, and nothing came to handle
        await self._until(name, states)
        return name

    async def _until(self, name: str, states: tuple[str, ...]) -> None:
        while not self._is(name, states):  # noqa: ASYNC110  what the kernel and the master do has no event here
            await trio.sleep(0.001)

    def _is(self, name: str, states: tuple[str, ...]) -> bool:
        keeper = self._keepers[name]
        return keeper.state in states and keeper.pid not in {0, *self._doomed}

    async def _kill(self, name: str) -> None:
        how = self._rng.choices(("kill", "stop, go on, kill", "stop, kill", *WISHES), weights=(10, 2, 2, 3, 3))[0]
        self.did[how] += 1
        self._doomed.add(self._keepers[name].pid)
        if how in WISHES:
            self._evidence.death_wish[SLOTS.index(name)] = WISHES[how]
            return
        if how.startswith("stop"):
            self._signal(name, signal.SIGSTOP)
        if "go on" in how:
            await trio.sleep(self._rng.random() * 0.01)
            self._signal(name, signal.SIGCONT)
        self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: int) -> None:
        now = self._keepers[name]._now
        with suppress(ProcessLookupError, OSError):  # there is none at the moment
            signal.pidfd_send_signal(now.pidfd if now else -1, number)
