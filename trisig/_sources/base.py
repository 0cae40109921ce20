"""What an event source is.

A source runs in the master and turns something that happens (a tick, a due minute, a changed file, a message)
into signals. It knows nothing of tables, targets and processes: it is given one function, `send`, which takes
a signal number and returns once the master's queue has it. While the queue is full `send` waits, and that is the
only back-pressure there is: a source that waits there must fold what happens meanwhile into fewer signals,
never keep a list of it.

A source is known by a key that it gets when it is made. Copies of it in other processes, forked or pickled, have the
same one, so that any process can name the source to the master that runs it.
"""

from __future__ import annotations

import abc
import inspect
import os
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

Send = Callable[[int], Awaitable[None]]


class EventSource(abc.ABC):
    """One origin of signals in the master.

    What `run` raises is logged, and it is started again after a pause: 0.1 seconds, doubled each time up to 30. A
    `SystemExit`, a `KeyboardInterrupt` or another exception that is no `Exception` ends the master, as in any task.

    Attributes:
        fired: signals raised so far, by the process in which the source runs. The master counts them.
        missed: occurrences that raised no signal of their own because they came too late and were folded into
            another one. A source that folds adds to it.
    """

    fired: int = 0
    missed: int = 0
    _key: str

    def __new__(cls, *_args: object, _key: str | None = None, **_options: object) -> Self:
        """Give the source its key."""
        source = super().__new__(cls)
        object.__setattr__(source, "_key", _key or os.urandom(16).hex())  # which frozen dataclasses allow
        return source

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]:
        """Let copies that are pickled keep the key, whatever state the class chooses to pickle."""
        return (), {"_key": key_of(self)}

    @property
    def name(self) -> str:
        """What logs and statistics call it."""
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


def known_as(source: S, key: str) -> S:
    """The source, as the one that has this key."""
    object.__setattr__(source, "_key", key)
    return source


def describe(thing: object) -> str:
    """What logs and statistics call a source, or say of an error, on one line; its class if it cannot say."""
    try:
        return printable(str(thing))
    except Exception:  # noqa: BLE001  it must not hide what it was asked for
        return type(thing).__name__


def printable(text: str) -> str:
    """The text with everything escaped that could split a line, or that is no text, as some file names are."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(one: str) -> str:
    if one.isprintable():
        return one
    if "\udc80" <= one <= "\udcff":  # a byte of a name that is not UTF-8, as `os.fsdecode` has it
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape").decode()


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
        return  # a builtin that does not tell
    except TypeError:
        raise TypeError(f"{called} must take one argument: write `async def run(self, send)`") from None
