"""What a task raised, on its way to whoever called it. No pickle: a class by its name, and what MessagePack can carry.

The caller makes an instance of the class if it has imported it already. Nothing is imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import msgspec

from trisig._model.errors import ChildFailedError, TaskError
from trisig._model.text import times
from trisig._util.tracebacks import own_traceback

from .raised_stream import DEAD, DONE

T = TypeVar("T")

_TEXT = 65_536  # characters of a traceback that travel, its end


class Failure(msgspec.Struct, array_like=True):
    """An exception.

    Attributes:
        module, name: of its class.
        arguments: encoded; empty if they cannot travel.
        text: what `str` says.
        traceback: as it would be printed.
    """

    module: str
    name: str
    arguments: bytes
    text: str
    traceback: str


class Death(msgspec.Struct, array_like=True):
    """A task that was given up.

    Attributes:
        task: its name.
        attempts: how many processes it has ended.
    """

    task: str
    attempts: int


def encode_failure(error: BaseException) -> bytes:
    """The bytes of an exception."""
    try:
        arguments = msgspec.msgpack.encode(error.args)
    except Exception:  # noqa: BLE001  whatever its arguments do when they are looked at
        arguments = b""
    kind = type(error)
    traceback = _clean(own_traceback(error))[-_TEXT:]
    return msgspec.msgpack.encode(
        Failure(kind.__module__, kind.__qualname__, arguments, _clean(_text(error))[:_TEXT], traceback)
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  a class of the application's own
        return ""


def _clean(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def encode_death(task: str, attempts: int) -> bytes:
    """The bytes of a task that was given up."""
    return msgspec.msgpack.encode(Death(task, attempts))


def result_or_raise(outcome: int, content: bytes | bytearray, take: Callable[[bytes | bytearray], T]) -> T:
    """What a call returns.

    Args:
        outcome: how the task ended.
        content: its result, encoded; or what it raised.
        take: reads a result.

    Raises:
        Exception: what the task raised, with its traceback as a note.
        TaskError: it cannot be raised here as what it was.
        ChildFailedError: the task was given up.
    """
    if outcome == DONE:
        try:
            return take(content)
        except msgspec.ValidationError as error:
            raise TaskError("TypeError", f"its result is not what its annotation says: {error}") from None
    if outcome == DEAD:
        death = msgspec.msgpack.decode(content, type=Death)
        raise ChildFailedError(
            f"task {death.task}",
            None,
            reason="was given up, and is dead-lettered",
            ended=f"ended its process {times(death.attempts)}",
        )
    raise _error_of(msgspec.msgpack.decode(content, type=Failure))


def _error_of(failure: Failure) -> Exception:
    error = _same(failure) or TaskError(failure.name, failure.text, failure.traceback)
    error.add_note(f"In the process that ran the task:\n\n{failure.traceback.rstrip()}")
    return error


def _same(failure: Failure) -> Exception | None:
    """An instance of the same class; None if it is not known here, or does not say the same."""
    found: object = sys.modules.get(failure.module)
    for part in failure.name.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Exception)) or not failure.arguments:
        return None
    try:
        error = found(*msgspec.msgpack.decode(failure.arguments))
        return error if str(error) == failure.text else None
    except Exception:  # noqa: BLE001  its constructor takes something else
        return None
