"""The child's side of its questions to the master: a request, then its answer, on a socket of their own.

Synchronous on purpose: the master answers at once, in some 60 microseconds, and never waits for a child, so
`register` can be a plain function and a cancelled `wait` can still say so. From any thread, one at a time.
Some messages need no answer and are only posted.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import Any, TypeAlias

import trio

from . import _errors

Message: TypeAlias = dict[str, Any]

MESSAGE_BYTES = 131_072  # more is not received
_TEXT = MESSAGE_BYTES // 16  # characters; one may need twelve bytes in JSON

_RAISED: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        ValueError,
        TypeError,
        KeyError,
        OSError,
        FileNotFoundError,
        PermissionError,
        RuntimeError,
        trio.ClosedResourceError,
        trio.BusyResourceError,
        _errors.TargetError,
        _errors.SignalTableError,
    )
}


def answer_of(error: Exception) -> Message:
    """How an error travels."""
    known = type(error).__name__ if type(error).__name__ in _RAISED else "RuntimeError"
    if isinstance(error, OSError) and error.strerror is not None:  # made of the parts, not of one text
        name = error.filename if isinstance(error.filename, (str, int)) else None
        return {"error": known, "args": [error.errno, f"{error.strerror}"[:_TEXT], name]}
    return {"error": known, "args": [str(error)[:_TEXT]]}


def end_of(text: str) -> str:
    """As much of the end of a text as fits into a message."""
    return text[-_TEXT:]


class Asking:
    """A child's questions.

    Args:
        requests: a connected SOCK_SEQPACKET socket, blocking.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._socket = requests
        self._one_at_a_time = threading.Lock()

    def ask(self, do: str, **arguments: object) -> Any:
        """Ask the master for something and return its answer.

        Raises:
            NoMasterError: the master is gone.
            ValueError: the arguments are too long.
            Exception: what the master raised, as the same type.
        """
        with self._one_at_a_time:
            self._send({"do": do, **arguments})
            answer = json.loads(self._receive())
        if "error" in answer:
            raise _RAISED[answer["error"]](*answer["args"])
        return answer["answer"]

    def post(self, do: str, **arguments: object) -> None:
        """Tell the master something that needs no answer."""
        with self._one_at_a_time:
            self._send({"do": do, "post": True, **arguments})

    def _send(self, message: Message) -> None:
        data = json.dumps(message).encode()
        if len(data) > MESSAGE_BYTES:
            raise ValueError(f"{message['do']}() takes no argument of that size; the limit is some {_TEXT} characters")
        try:
            self._socket.send(data)
        except OSError as error:
            raise _errors.gone() from error

    def _receive(self) -> bytes:
        try:
            answer = self._socket.recv(MESSAGE_BYTES)
        except OSError as error:
            raise _errors.gone() from error
        if not answer:
            raise _errors.gone()
        return answer
