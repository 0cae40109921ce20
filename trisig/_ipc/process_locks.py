"""The locks as the tasks and threads of one process have them, the same in the master and in a child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count
from typing import Protocol, TypeAlias
from weakref import WeakKeyDictionary

import msgspec
import trio

from trisig._model.errors import master_gone
from trisig._model.lock_name import LockName
from trisig._util.ki_protection import ki_protected

Owner: TypeAlias = trio.lowlevel.Task | int  # a thread is minus its identity: no number of a task is below 0


class LockDesk(Protocol):
    """Where this process claims locks in the master. Any thread may call it."""

    def acquire(self, lock: LockName, key: int, task: int, *, wait: bool) -> bool: ...
    def release(self, key: int) -> None: ...
    def is_locked(self, lock: LockName) -> bool: ...


class _Wait(msgspec.Struct):
    over: trio.Event = msgspec.field(default_factory=trio.Event)
    is_granted: bool = False

    async def granted(self) -> None:
        await self.over.wait()
        if not self.is_granted:
            raise master_gone()


class _Held(msgspec.Struct, frozen=True):
    key: int
    owner: Owner
    group: object


@ki_protected
class ProcessLocks:
    """The claims of one process.

    Args:
        desk: its way to the master.
        group: what the caller of `acquire` belongs to, for `holds`.

    Attributes:
        token: of the trio run of this process, for threads that trio did not start; set when the run begins.
    """

    def __init__(self, desk: LockDesk, group: Callable[[], object] = lambda: None) -> None:
        self._desk = desk
        self._group = group
        self._keys = count()
        self._waits: dict[int, _Wait] = {}
        self._held: dict[LockName, _Held] = {}
        self._task_numbers = count()
        self._numbers: WeakKeyDictionary[trio.lowlevel.Task, int] = WeakKeyDictionary()
        self.token: trio.lowlevel.TrioToken | None = None

    async def acquire(self, lock: LockName) -> None:
        """See `Lock.acquire`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self._acquire(lock, trio.lowlevel.current_task(), self._group())

    async def _acquire(self, lock: LockName, owner: Owner, group: object) -> None:
        key, wait = next(self._keys), _Wait()
        self._waits[key] = wait
        try:
            if self._desk.acquire(lock, key, self._number(owner), wait=True):
                # It is held: a cancellation that comes now must not look as if it were not.
                await trio.lowlevel.cancel_shielded_checkpoint()
            else:
                await wait.granted()
        except BaseException:
            # Cancelled while the grant is on its way or not: the master gives the lock to the next in line.
            self._desk.release(key)
            raise
        finally:
            del self._waits[key]
        self._held[lock] = _Held(key, owner, group)

    def acquire_nowait(self, lock: LockName) -> None:
        """See `Lock.acquire_nowait`."""
        key, owner = next(self._keys), _current_owner()
        if not self._desk.acquire(lock, key, self._number(owner), wait=False):
            raise trio.WouldBlock
        self._held[lock] = _Held(key, owner, self._group())

    def acquire_in_thread(self, lock: LockName) -> None:
        """Block this thread until it holds a lock; see `Lock`."""
        try:
            trio.from_thread.run(
                self._acquire, lock, -threading.get_ident(), self._group(), trio_token=self.token_for_thread()
            )
        except trio.RunFinishedError:
            raise master_gone() from None

    def token_for_thread(self) -> trio.lowlevel.TrioToken | None:
        """None in a thread that trio started: there, a cancellation of the task that waits for it ends the wait."""
        try:
            trio.from_thread.check_cancelled()
        except RuntimeError:
            return self.token
        return None

    def release(self, lock: LockName) -> None:
        """See `Lock.release`."""
        held = self._held.get(lock)
        if held is None or held.owner != _current_owner():
            raise RuntimeError(f"lock {lock!r} is not held here: only the task or thread that acquired it releases it")
        # In this order: as soon as the master knows, another task of this process may hold it.
        del self._held[lock]
        self._desk.release(held.key)

    def is_locked(self, lock: LockName) -> bool:
        """See `Lock.locked`."""
        return self._desk.is_locked(lock)

    def holds(self, group: object) -> bool:
        """Whether any lock is held by those who belong to a group."""
        return any(held.group is group for held in tuple(self._held.values()))

    def _number(self, owner: Owner) -> int:
        if isinstance(owner, int):
            return owner
        return self._numbers.setdefault(owner, next(self._task_numbers))

    def granted(self, key: int) -> None:
        """A claim that waited has its lock now; one whose wait was cancelled has been released already."""
        if (wait := self._waits.get(key)) is not None:
            wait.is_granted = True
            wait.over.set()

    def master_ended(self) -> None:
        """End all waits with `NoMasterError`."""
        for wait in self._waits.values():
            wait.over.set()


def _current_owner() -> Owner:
    try:
        return trio.lowlevel.current_task()
    except RuntimeError:
        return -threading.get_ident()
