"""What an event source is.

A source runs in the master and turns something that happens (a tick, a due minute, a changed file, a message) into
signals. There are three classes to subclass, each a special case of the one before it:

    EventSource     anything that can be awaited. Write `run(send)`. The class for applications
    EngineSource    raises one signal, and runs on what the sources of a master share: a clock, the inotify descriptor,
                    a connection. Write `arm(engines)`; iterations, pauses and statistics come with it
    BuiltinSource   an EngineSource made of plain data, so that a child can send it to its master. Write `parts()` too

A source knows nothing of tables, targets and processes: it is given one function, `send`, which takes a signal number
and returns once the master's queue has it. While the queue is full `send` waits. A source that waits there must fold
what happens meanwhile into fewer signals and never keep a list of it.

A source is known by a key that it gets when it is made. Copies in other processes, forked or pickled, have the same
key, so any process can name the source to the master that runs it.
"""

from __future__ import annotations

import abc
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

Send = Callable[[int], Awaitable[None]]


class EventSource(abc.ABC):
    """One origin of signals in the master: subclass it and write `run`.

    If `run` raises an exception the master logs it and calls `run` again after a pause: 0.1 seconds, doubled each time
    up to 30. A `SystemExit`, a `KeyboardInterrupt` or another exception that is no `Exception` ends the master, as in
    any task.

    The constructor is the application's own and need not call `super().__init__()`. Dataclasses work, frozen and
    slotted ones too.

    Attributes:
        fired: signals raised so far, by the process in which the source runs. The master counts them.
        missed: occurrences that raised no signal of their own, because they came too late and were folded into another
            one. A source that folds adds to it.
    """

    fired: int = 0
    missed: int = 0
    _key: str

    def __new__(cls, *_args: object, **_options: object) -> Self:
        """Give the source its key.

        Here and not in `__init__`, which subclasses need not call; and not when the source is added: a process forked
        before that would know its copy by another key.
        """
        return with_key(super().__new__(cls), os.urandom(16).hex())

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let copies that are pickled keep the key, whatever state the class chooses to pickle."""
        reduced = super().__reduce_ex__(protocol)
        if isinstance(reduced, str):  # a global, which every process has
            return reduced
        make, arguments, *state = reduced
        return _remade, (key_of(self), make, arguments), *state

    @property
    def name(self) -> str:
        """What logs and statistics call the source."""
        return type(self).__name__

    def __str__(self) -> str:
        return self.name

    @abc.abstractmethod
    async def run(self, send: Send) -> None:
        """Raise signals until there are no more to come, or until cancelled.

        Args:
            send: `await send(signum)` returns once the master has accepted the signal.
        """


S = TypeVar("S", bound=EventSource)


def key_of(source: EventSource) -> str:
    """What names the source in every process."""
    return source._key  # noqa: SLF001  the one door to it


def with_key(source: S, key: str) -> S:
    """Make the source the one that is known by this key."""
    set_attribute(source, "_key", key)
    return source


def set_attribute(source: EventSource, name: str, value: object) -> None:
    """Set an attribute of the base class, on a frozen dataclass too."""
    object.__setattr__(source, name, value)


def _remade(key: str, make: Callable[..., S], arguments: tuple[Any, ...]) -> S:
    return with_key(make(*arguments), key)


def check_source(source: object) -> None:
    """Refuse what cannot run as a source.

    Raises:
        TypeError: not an `EventSource`, or its `run` is not an async function that takes `send`.
    """
    if not isinstance(source, EventSource):
        raise TypeError(f"a source is an instance of trisig.EventSource, not {source!r}")
    run, called = inspect.unwrap(source.run), f"{type(source).__name__}.run"
    if inspect.isasyncgenfunction(run):
        raise TypeError(f"{called} must not yield: write `await send(signum)` for each signal")
    if inspect.isroutine(run) and not inspect.iscoroutinefunction(run):
        raise TypeError(f"{called} must be async: write `async def run(self, send)`")
    try:
        inspect.signature(source.run).bind(None)
    except ValueError:
        return  # a builtin without a signature
    except TypeError:
        raise TypeError(f"{called} must take one argument: write `async def run(self, send)`") from None
