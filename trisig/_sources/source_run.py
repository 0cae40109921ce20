"""One run of a source, and the sources that run on engines.

    with SourceRun(source, engines) as run:   # armed: what happens from here on raises its signal
        await run.resume(send)

What changes while a source runs is kept by its run, and nothing by the source itself. So a source that is removed
and added again has two runs for a moment, of which the first cannot disarm the second. And a source that failed
goes on with the run that it had: `resume` again raises what happened meanwhile, and counts its iterations on.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, Self

import trio

from trisig._model.past import Record

from .base import EventSource, Send, key_of, set_attribute
from .engines import Engines, open_engines
from .occurrences import Occurrence, Occurrences

Offer = Callable[[int, Callable[[], object]], bool]


class EngineSource(EventSource):
    """A source of one signal that runs on engines, which the sources of a master share.

    Subclass it for a source that is one of many on one kernel object or connection; write `arm`.

    Attributes:
        signum: the signal.
        iterations: how many signals it raises; 0 is no limit.
        owned_by_entry: it was made together with the entry of its signal, and ends with that.
        unique: whether a cluster lets each of its occurrences through once.
    """

    signum: int
    iterations: int
    owned_by_entry: bool = False
    unique: bool = False

    @abc.abstractmethod
    def arm(self, engines: Engines) -> AbstractContextManager[Occurrences]:
        """Notice what happens for as long as the context lasts.

        Args:
            engines: those of the master; `engines.shared(make, key)` makes one of the source's own kind.

        Raises:
            OSError: the kernel refused a watch or a descriptor.
        """

    async def run(self, send: Send) -> None:
        """Run outside a master, on engines that nothing shares."""
        async with open_engines() as engines:
            with SourceRun(self, engines) as alone:
                await alone.resume(send)


def is_owned_by_entry(source: EventSource, signum: int) -> bool:
    """Whether the source ends with the entry of a signal."""
    return isinstance(source, EngineSource) and source.owned_by_entry and source.signum == signum


class BuiltinSource(EngineSource):
    """A source made of plain data, which can cross a process boundary; write `parts` and a line in `from_spec`."""

    @abc.abstractmethod
    def parts(self) -> dict[str, Any]:
        """The kind of the source, and the arguments that make an equal one; plain enough for JSON."""

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that say how it behaves, and not what it is."""
        return {name: value for name, value in self.parts().items() if name not in ("kind", "signum", "there")}

    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` makes the same source of."""
        return {"key": key_of(self), "owned_by_entry": self.owned_by_entry, **self.parts()}


class SourceRun:
    """One run of a source, armed when it is made.

    Args:
        source: of any kind.
        engines: what it shares with the other sources of the master.
        record: keeps how far its schedule has come; None if nothing does.

    Attributes:
        fired: signals that it raised.
        sending: a signal waits for room in the master's queue.
        paused: what happens raises no signal, and is counted as missed.
        removed: what happens raises no signal, although the run has yet to hear that it ends.

    Raises:
        OSError: the kernel refused a watch or a descriptor.
    """

    def __init__(self, source: EventSource, engines: Engines, record: Record | None = None) -> None:
        self.fired = 0
        self.sending = self.paused = self.removed = self._offered = False
        self._missed_paused = 0
        self._source = source
        self._missed_before = source.missed
        self._armed = ExitStack()
        self._occurrences: Occurrences | None = None
        self._last = Occurrence()
        self._record = record
        if isinstance(source, EngineSource):
            self._occurrences = self._armed.enter_context(source.arm(engines))
            if record is not None:
                self._occurrences.continue_from(record)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._armed.close()

    @property
    def missed(self) -> int:
        """What the source has folded meanwhile."""
        return self._source.missed - self._missed_before + self._missed_paused

    @property
    def state(self) -> str:
        """What it does: paused, sending, or what the source says that it waits for."""
        if self.sending or self._offered:
            return "sending"
        if self.paused:
            return "paused"
        return self._occurrences.state if self._occurrences else "running"

    @property
    def error(self) -> str | None:
        """The last failure that the source recovers from without ending this run."""
        return self._occurrences.error if self._occurrences else None

    @property
    def next_due(self) -> float | None:
        """When the next signal is due, in seconds since 1970; None if nobody can know."""
        return self._occurrences.next_due if self._occurrences else None

    @property
    def noticed(self) -> Occurrence:
        """Why a signal is raised: what was noticed last."""
        return self._last if self.sending or self._occurrences is None else self._occurrences.noticed

    def was_accepted(self) -> None:
        """The signal of what was noticed last is in its queues."""
        if self._record is not None and self._occurrences is not None:
            self._occurrences.was_accepted(self.noticed)

    async def resume(self, send: Send, offer: Offer | None = None) -> None:
        """Raise signals until there are no more to come.

        Args:
            send: raises a signal.
            offer: called with the signal when its occurrence is noticed, before `send`, and with what lets the source
                go on; returns whether it will call that. None for nobody.

        Raises:
            Exception: the source failed; it may go on.
        """

        async def counted(signum: int) -> None:
            # A signal that was offered before the pause is on its way.
            if self.paused and not self._offered:
                self._missed_paused += 1
                if self._occurrences is not None:
                    self._occurrences.was_accepted(self._last)
                await trio.lowlevel.checkpoint()
                return
            self.sending = True
            try:
                await send(signum)
            finally:
                self.sending = self._offered = False
            self._count()

        if isinstance(self._source, EngineSource):
            await self._raise_all(self._source, counted, offer)
        else:
            await self._source.run(counted)

    async def _raise_all(self, source: EngineSource, send: Send, offer: Offer | None) -> None:
        assert self._occurrences is not None
        while not source.iterations or self.fired < source.iterations:
            # Only while this waits: an occurrence during `send` is a later one.
            self._occurrences.on_notice(partial(self._offer, source.signum, offer) if offer else None)
            try:
                occurrence = await self._occurrences.next()
            finally:
                self._occurrences.on_notice(None)
            source.missed += occurrence.missed
            self._last = occurrence
            await send(source.signum)

    def _offer(self, signum: int, offer: Offer, wake: Callable[[], object]) -> bool:
        if self.paused or self.removed or not offer(signum, wake):
            return False
        self._offered = True
        return True

    def _count(self) -> None:
        self.fired += 1
        set_attribute(self._source, "fired", self._source.fired + 1)
