"""Gives each process of a master what it has asked or waited for."""

from __future__ import annotations

from collections.abc import Callable

from trisig._ipc.messages import Grant, GrantLock, Ring
from trisig._ipc.raised_stream import DONE
from trisig._model.process import MASTER, SPOOL
from trisig._util.ki_protection import ki_protected

from .children import Children
from .slots import Slot
from .verbs import MasterVerbs


@ki_protected
class Post:
    """Knows whom a name stands for: a child, the master itself, or its spool.

    Attributes:
        children: of the master; they, and `master`, are set before anything runs.
        master: its own verbs.
        spool: takes the outcome of a job, by its key; set if there is a spool.
    """

    children: Children
    master: MasterVerbs
    spool: Callable[[int, bytes | bytearray], object]

    def answer(self, process: str, key: int, outcome: int, content: bytes | bytearray) -> None:
        """A call has come to its end."""
        if process == MASTER:
            self.master.answered(key, outcome, content)
        elif process == SPOOL:
            self.spool(key, content)
        else:
            self.children.answer_call(process, key, outcome, content)

    def hand(self, process: str, key: int, message: bytes | bytearray) -> None:
        """A task that waits for a message gets one."""
        self.answer(process, key, DONE, message)

    def grant(self, process: str, key: int, signum: int) -> None:
        """A task that waits for a signal gets it."""
        if process == MASTER:
            self.master.granted(key, signum)
        else:
            self.children.push(process, Grant(key, signum))

    def grant_lock(self, process: str, key: int) -> None:
        """A task that waits for a lock gets it."""
        if process == MASTER:
            self.master.locks.granted(key)
        else:
            self.children.push(process, GrantLock(key))

    def nudge(self, slot: Slot) -> None:
        """The process of a slot shall ring."""
        self.children.push(slot.name, Ring())
