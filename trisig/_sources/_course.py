"""One run of a source, and the sources that run on engines.

    with Course(source, engines) as course:   # armed: what happens from here on raises its signal
        await course.go_on(send)

What changes while a source runs is kept by its course, and nothing by the source itself. So a source that is removed
and added again has two courses for a moment, of which the first cannot disarm the second. And a source that failed
goes on with the course that it had: `go_on` again raises what happened meanwhile, and counts its iterations on.
"""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol, Self

from ._engines import Engines, open_engines
from .base import EventSource, Send, key_of


class Occurrences(Protocol):
    """What a source notices, from when it was armed."""

    async def next(self) -> int:
        """Wait for the next occurrence; returns how many others are folded into it.

        After an error it may be called again, and loses nothing.
        """
        ...


class SharingSource(EventSource):
    """A source of one signal that runs on shared engines.

    Attributes:
        signum: the signal.
        iterations: how many signals it raises; 0 is no limit.
        tied: it was made together with the entry of its signal, and ends with that.
    """

    signum: int
    iterations: int
    tied: bool = False

    @abc.abstractmethod
    def arm(self, engines: Engines) -> AbstractContextManager[Occurrences]:
        """Notice what happens for as long as the context lasts.

        Raises:
            OSError: the kernel refused a watch or a descriptor.
        """

    async def run(self, send: Send) -> None:
        """Run alone, on engines of its own."""
        async with open_engines() as engines:
            with Course(self, engines) as course:
                await course.go_on(send)


def is_tied(source: EventSource, signum: int) -> bool:
    """Whether the source ends with the entry of a signal."""
    return isinstance(source, SharingSource) and source.tied and source.signum == signum


class BuiltinSource(SharingSource):
    """A source made from plain data, which can cross a process boundary."""

    @abc.abstractmethod
    def parts(self) -> dict[str, Any]:
        """The kind of the source, and the arguments that make an equal one; plain enough for JSON."""

    def to_spec(self) -> dict[str, Any]:
        """What `from_spec` makes the same source of."""
        return {"key": key_of(self), "tied": self.tied, **self.parts()}


class Course:
    """One run of a source.

    Attributes:
        fired: signals that it raised.

    Raises:
        OSError: the kernel refused a watch or a descriptor.
    """

    def __init__(self, source: EventSource, engines: Engines) -> None:
        self.fired = 0
        self._source = source
        self._missed_before = source.missed
        self._armed = ExitStack()
        self._occurrences: Occurrences | None = None
        if isinstance(source, SharingSource):
            self._occurrences = self._armed.enter_context(source.arm(engines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._armed.close()

    @property
    def missed(self) -> int:
        """What the source has folded meanwhile."""
        return self._source.missed - self._missed_before

    async def go_on(self, send: Send) -> None:
        """Raise signals until there are no more to come.

        Raises:
            Exception: the source failed; it may go on.
        """

        async def counted(signum: int) -> None:
            await send(signum)
            self._count()

        if isinstance(self._source, SharingSource):
            await self._raise_all(self._source, counted)
        else:
            await self._source.run(counted)

    async def _raise_all(self, source: SharingSource, send: Send) -> None:
        assert self._occurrences is not None
        while not source.iterations or self.fired < source.iterations:
            source.missed += await self._occurrences.next()
            await send(source.signum)

    def _count(self) -> None:
        self.fired += 1
        # Not by assignment, which a frozen dataclass forbids.
        object.__setattr__(self._source, "fired", self._source.fired + 1)
