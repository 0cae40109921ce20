"""Hears what one process says: what it raises, what is too long for that pipe, its bell, its requests.

Each has a descriptor, with a task that waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import trio

from trisig._ipc.messages import MESSAGE_BYTES
from trisig._ipc.raised_stream import ESCAPED, Part
from trisig._util.imports import import_aside
from trisig._util.ki_protection import ki_protected

from .incarnation import Incarnation
from .slots import Slot

_READ = 65_536  # a buffer of more than malloc keeps would be mapped and unmapped for every signal


class Acceptor(Protocol):
    """Takes what processes raise, and knows which modules have to be imported before what they ask can be done."""

    def accept(self, slot: Slot, signals: bytes) -> None: ...
    def accept_all(self, slot: Slot, parts: Iterable[Part]) -> None: ...
    def lacks(self, data: bytes) -> Sequence[str]: ...


@ki_protected
class Hearing:
    """Reads from one process.

    Args:
        now: the process.
        slot: that it fills.
        acceptor: takes what it raises, and knows what its requests need.
        answer: does what it asks, and returns the answer to send, or None for none.
        rang: called when it has rung.
    """

    def __init__(
        self,
        now: Incarnation,
        slot: Slot,
        acceptor: Acceptor,
        answer: Callable[[bytes], bytes | None],
        rang: Callable[[], object],
    ) -> None:
        self._now = now
        self._ends = now.ends
        self._slot = slot
        self._acceptor = acceptor
        self._answer = answer
        self._rang = rang

    def start(self, nursery: trio.Nursery) -> None:
        """Hear it until cancelled."""
        nursery.start_soon(self._read_raised)
        nursery.start_soon(self._read_bulk)
        nursery.start_soon(self._read_bell)
        nursery.start_soon(self._read_requests)

    async def _read_raised(self) -> None:
        fd = self._ends.raised
        while True:
            await trio.lowlevel.wait_readable(fd)
            try:
                data = os.read(fd, _READ)
            except BlockingIOError:
                continue
            if not data:
                return
            self._accept(data)

    async def _read_bulk(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._ends.bulk)
            try:
                if not self._now.bulk.read():
                    return
            except BlockingIOError:
                pass  # the frame that names it was faster, and had it read

    def _accept(self, data: bytes) -> None:
        if ESCAPED in data or self._now.raised.rest:
            self._acceptor.accept_all(self._slot, self._now.raised.parts(data))
        else:
            self._acceptor.accept(self._slot, data)

    def take_raised(self) -> None:
        """Read now what it has raised so far."""
        try:
            while data := os.read(self._ends.raised, _READ):
                self._accept(data)
        except BlockingIOError:
            pass  # not its end: a process that the child left behind may hold the pipe

    def take_all(self) -> None:
        """It is dead: read to the end what it had still said."""
        self.take_raised()
        while message := self._receive():
            self._answer(message)

    async def _read_bell(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._ends.bell)
            try:
                os.eventfd_read(self._ends.bell)
            except BlockingIOError:
                continue
            self._rang()

    async def _read_requests(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._ends.requests)
            message = self._receive()
            if message is None:
                continue
            if not message:
                return  # it has closed the socket: its pidfd will say the rest
            if lacking := self._acceptor.lacks(message):
                await import_aside(lacking)
            self.take_raised()  # before it unregisters, say, what it has raised until now
            self._reply(self._answer(message))

    def _reply(self, answer: bytes | None) -> None:
        if answer is not None:
            try:
                self._ends.requests.send(answer)
            except OSError:
                pass  # it died after it asked, as its pidfd will say

    def _receive(self) -> bytes | None:
        """The next message; None if there is none yet, an empty one if there will be none any more."""
        try:
            return self._ends.requests.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""
