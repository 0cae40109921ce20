"""The master's own claims of locks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

from trisig._model.lock_name import LockName
from trisig._model.locks import Claim, Locks
from trisig._model.process import MASTER
from trisig._util.ki_protection import ki_protected
from trisig._util.own_thread import OwnThread

T = TypeVar("T")


@ki_protected
class MasterLockDesk:
    """Claims locks for the tasks and threads of the master's process.

    Args:
        locks: those of all processes, which only the master's own thread may touch.

    Attributes:
        token: of the master's trio run.
    """

    def __init__(self, locks: Locks) -> None:
        self._locks = locks
        self._thread = OwnThread()
        self.token = trio.lowlevel.current_trio_token()

    def acquire(self, lock: LockName, key: int, task: int, *, wait: bool) -> bool:
        """See `Locks.acquire`."""
        claim = Claim(MASTER, key, task, lock)
        return self._in_own_thread(lambda: self._locks.acquire(claim, wait=wait))

    def release(self, key: int) -> None:
        """Give up a claim; does not wait for the master's thread."""
        if self._thread.is_here():
            self._locks.release(MASTER, key)
            return
        try:
            self.token.run_sync_soon(self._locks.release, MASTER, key)
        except trio.RunFinishedError:
            pass  # the lock is gone with its master

    def is_locked(self, lock: LockName) -> bool:
        """Whether anybody holds a lock."""
        return self._in_own_thread(lambda: self._locks.is_locked(lock))

    def _in_own_thread(self, ask: Callable[[], T]) -> T:
        if self._thread.is_here():
            return ask()
        return trio.from_thread.run_sync(ask, trio_token=self.token)
