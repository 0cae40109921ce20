"""The functions of `uwsgi` that ask the master."""

from __future__ import annotations

import base64
import operator
import os
import threading
from collections.abc import Callable
from typing import Any, Literal, NoReturn, SupportsIndex

from trisig import DeadlockError
from trisig._control.client import ControlClient
from trisig._remote.deliver import deliver
from trisig.uwsgi._runtime.handlers import byte
from trisig.uwsgi._runtime.processes import Processes
from trisig.uwsgi._runtime.store import Store

from .link import MasterLink

_INLINE_BYTES = 32_768  # of a message in a line of the control socket
_NOT_HERE = "this process is attached, and runs no handlers: signals are handled by the workers, mules and spoolers"

LocksHeld = dict[tuple[int, int, int], ControlClient]


class AttachedSignals:
    """Signals: raised there, and compared with what is registered there.

    Args:
        link: to the master.
        processes: of the instance.
    """

    def __init__(self, link: MasterLink, processes: Processes) -> None:
        self._link = link
        self._processes = processes

    def signal(self, signum: SupportsIndex, node: str = "", /) -> None:
        """Raise a signal; returns when the master has it.

        Raises:
            NoMasterError: no master is there in time.
        """
        if node:
            deliver(byte(signum), node)
        else:
            self._link.ask("send", signum=byte(signum))

    def signal_registered(self, signum: SupportsIndex, /) -> Literal[True] | None:
        """True or None."""
        return True if self._link.ask("uwsgi-target", signum=byte(signum)) is not None else None

    def register_signal(self, signum: SupportsIndex, target: str, handler: Callable[[int], object], /) -> None:  # noqa: ARG002
        """Nothing, if the number is registered there for the same target, or not at all.

        Raises:
            ValueError: it is registered for another target.
        """
        number, wanted = byte(signum), self._processes.target(target)
        there = self._link.ask("uwsgi-target", signum=number)
        if there is not None and there != wanted:
            raise ValueError(f"signal {number} is registered for {there!r} in the master, and for {wanted!r} here")

    def signal_wait(self, *_: object) -> NoReturn:
        """It cannot.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(_NOT_HERE)

    def signal_received(self) -> int:
        """Always 0."""
        return 0

    def add_timer(self, *_: object) -> None:
        """Nothing: it runs in the master, which has imported the same code."""

    add_ms_timer = add_rb_timer = add_file_monitor = add_timer

    def add_cron(self, *_: object) -> Literal[True]:
        """Nothing, likewise."""
        return True


class AttachedMessages:
    """Messages for mules.

    Args:
        link: to the master.
        processes: of the instance.
        store: takes what is too long for a line.
    """

    def __init__(self, link: MasterLink, processes: Processes, store: Store) -> None:
        self._link = link
        self._topology = processes.topology
        self._store = store

    def mule_msg(self, message: str | bytes, mule: SupportsIndex | str | bytes | None = None, /) -> bool:
        """Send a message to a mule, to a farm by its name, or to the first mule that asks.

        Raises:
            ValueError: there is no mule, or no such farm.
        """
        if not self._topology.mules:
            raise ValueError("no mule configured")
        if isinstance(mule, (str, bytes)):
            if os.fsdecode(mule) not in self._topology.farms:
                raise ValueError("unknown farm")
            return self._send(f"farm_{os.fsdecode(mule)}", message)
        number = 0 if mule is None else operator.index(mule)
        return 0 <= number <= self._topology.mules and self._send(f"mule{number or ''}", message)

    def farm_msg(self, farm: str | bytes, message: str | bytes, /) -> None:
        """Send a message to the first mule of a farm that asks; nothing happens if there is no such farm."""
        if os.fsdecode(farm) in self._topology.farms:
            self._send(f"farm_{os.fsdecode(farm)}", message)

    def mule_get_msg(self, *_: object, **_named: object) -> NoReturn:
        """It cannot.

        Raises:
            ValueError: always.
        """
        raise ValueError("you can receive mule messages only in a mule !!!")

    def farm_get_msg(self, *_: object) -> NoReturn:
        """It cannot.

        Raises:
            ValueError: always.
        """
        raise ValueError("you can receive farm messages only in a mule of a farm !!!")

    def _send(self, box: str, message: str | bytes) -> bool:
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {message!r}")
        data = message.encode() if isinstance(message, str) else message
        if len(data) <= _INLINE_BYTES:
            self._link.ask("uwsgi-message", box=box, data=base64.b64encode(data).decode())
        else:
            with self._store.parcel(data) as name:
                self._link.ask("uwsgi-message", box=box, file=name)
        return True


class AttachedLocks:
    """Locks: each is held by a connection, and freed when that ends.

    Args:
        link: to the master.
        most: the highest number of a lock.
        held: by pid, thread and number.
    """

    def __init__(self, link: MasterLink, most: int, held: LocksHeld) -> None:
        self._link = link
        self._most = most
        self._held = held

    def lock(self, number: SupportsIndex = 0, /) -> None:
        """Wait until this thread holds a lock.

        Raises:
            ValueError: there is no such lock.
            DeadlockError: this thread holds it already.
        """
        mine = self._mine(number)
        if mine in self._held:
            raise DeadlockError(f"this thread holds lock {mine[2]} already, and would wait for itself")
        self._held[mine] = self._link.hold("hold-lock", lock=mine[2])

    def unlock(self, number: SupportsIndex = 0, /) -> None:
        """Give a lock back. One that this thread does not hold stays as it is."""
        connection = self._held.pop(self._mine(number), None)
        if connection is not None:
            connection.close()

    def is_locked(self, number: SupportsIndex = 0, /) -> bool:
        """Whether anybody holds a lock."""
        return bool(self._link.ask("is-locked", lock=self._mine(number)[2]))

    def _mine(self, number: SupportsIndex) -> tuple[int, int, int]:
        value: Any = operator.index(number)
        if not 0 <= value <= self._most:
            raise ValueError("Invalid lock number")
        return os.getpid(), threading.get_ident(), value
