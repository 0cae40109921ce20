"""The child's side of its requests to the master, on a socket of their own: a request, then its answer.

Synchronous on purpose: the master answers at once, in some 60 microseconds, and never waits for a child, so
`register` can be a plain function and a cancelled `wait` can still say so. Any thread may ask, one at a time.
"""

from __future__ import annotations

import socket
import threading
from typing import TypeVar

from trisig._model.errors import master_gone

from .messages import (
    MESSAGE_BYTES,
    TEXT_CHARS,
    Accept,
    Answer,
    Done,
    MessageError,
    Notice,
    Refused,
    Request,
    decode,
    encode,
)
from .refusal import error_of

A = TypeVar("A", bound=Answer)


class RequestClient:
    """A child's requests.

    Args:
        requests: a connected SOCK_SEQPACKET socket, blocking.
    """

    def __init__(self, requests: socket.socket) -> None:
        self._socket = requests
        # An RLock: a handler of a Unix signal may come in the middle of a request of its own thread.
        self._one_at_a_time = threading.RLock()
        self._asking = False

    def ask(self, request: Request, expected: type[A]) -> A:
        """Send a request and return its answer.

        Args:
            request: what to ask.
            expected: the class of the answer.

        Raises:
            NoMasterError: the master is gone.
            RuntimeError: a handler of a Unix signal calls this in the middle of another request of its thread.
            ValueError: the request is too long.
            Exception: what the master raised, as the same type.
        """
        with self._one_at_a_time:
            if self._asking:  # by this very thread
                raise RuntimeError("a handler of a Unix signal has interrupted a request; a task may ask instead of it")
            self._asking = True
            try:
                self._send(request)
                answer = decode(self._receive())
            finally:
                self._asking = False
        if isinstance(answer, Refused):
            raise error_of(answer)
        if not isinstance(answer, expected):
            raise MessageError(f"the master answered {request} with {answer}")
        return answer

    def confirm_raised(self) -> None:
        """Wait until the master has accepted what this process has raised.

        In a handler of a Unix signal that has interrupted a request of its own thread, this returns at once.

        Raises:
            NoMasterError: the master is gone.
        """
        with self._one_at_a_time:
            if not self._asking:
                self.ask(Accept(), Done)

    def post(self, notice: Notice) -> None:
        """Tell the master something that needs no answer.

        Raises:
            NoMasterError: the master is gone.
        """
        with self._one_at_a_time:
            self._send(notice)

    def _send(self, message: Request | Notice) -> None:
        data = encode(message)
        if len(data) > MESSAGE_BYTES:
            raise ValueError(f"an argument is too long for the way to the master: at most some {TEXT_CHARS} characters")
        try:
            self._socket.send(data)
        except OSError as error:
            raise master_gone() from error

    def _receive(self) -> bytes:
        try:
            answer = self._socket.recv(MESSAGE_BYTES)
        except OSError as error:
            raise master_gone() from error
        if not answer:
            raise master_gone()
        return answer
