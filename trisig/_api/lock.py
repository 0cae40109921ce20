"""`Lock`: mutual exclusion between all processes of a master."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import trio

from trisig._model.errors import NoMasterError
from trisig._model.lock_name import LockName


class LockVerbs(Protocol):
    """What the process can do with locks."""

    def token_for_thread(self) -> trio.lowlevel.TrioToken | None: ...
    async def acquire(self, lock: LockName) -> None: ...
    def acquire_nowait(self, lock: LockName) -> None: ...
    def acquire_in_thread(self, lock: LockName) -> None: ...
    def release(self, lock: LockName) -> None: ...
    def is_locked(self, lock: LockName) -> bool: ...


class Lock:
    """A lock that one task of all processes of a master holds at a time; made by `Signals.lock`.

        async with signals.lock("ledger"):
            ...

    Whoever asks first is served first. The lock is freed when its holder releases it or when the holder's process
    ends. It is not reentrant, and only the task or thread that acquired it may release it.

    A plain `with` blocks a thread until the lock is held, in threads made by `trio.to_thread.run_sync` and in others.
    In the trio thread it is an error.

    Attributes:
        name: its number or name.
    """

    def __init__(
        self, name: LockName, verbs: Callable[[], LockVerbs | None], again: Callable[[LockName], Lock]
    ) -> None:
        self.name = name
        self._get_verbs = verbs
        self._again = again

    def __repr__(self) -> str:
        return f"signals.lock({self.name!r})"

    def __reduce__(self) -> tuple[Callable[[LockName], Lock], tuple[LockName]]:
        # A handler that is registered while the master runs may hold one: over there it belongs to that process.
        return self._again, (self.name,)

    async def acquire(self) -> None:
        """Wait until the current task holds the lock. A handler keeps its core while it waits.

        Raises:
            DeadlockError: the wait would never end; the message names each holder and what it waits for.
            NoMasterError: no master is open, or it ended meanwhile.
        """
        await self._verbs.acquire(self.name)

    def acquire_nowait(self) -> None:
        """Acquire the lock if nobody holds it.

        Raises:
            trio.WouldBlock: somebody holds it.
            DeadlockError: the current task or thread does.
            NoMasterError: no master is open.
        """
        self._verbs.acquire_nowait(self.name)

    def release(self) -> None:
        """Release the lock: it goes to whoever waits first. Nothing happens if its master has ended.

        Raises:
            RuntimeError: the current task or thread does not hold it.
        """
        verbs = self._get_verbs()
        if verbs is not None:
            verbs.release(self.name)

    def locked(self) -> bool:
        """Whether anybody holds the lock at this moment.

        Raises:
            NoMasterError: no master is open.
        """
        return self._verbs.is_locked(self.name)

    @property
    def _verbs(self) -> LockVerbs:
        verbs = self._get_verbs()
        if verbs is None:
            raise NoMasterError("a lock needs a master; open one with trisig.open_master or trisig.run")
        return verbs

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __enter__(self) -> None:
        verbs = self._verbs
        if _in_trio():
            raise RuntimeError(
                f"`with {self!r}` would block the trio thread; write `async with` in an async function, "
                "acquire_nowait() in a plain handler, or use it in a thread made by trio.to_thread.run_sync"
            )
        verbs.acquire_in_thread(self.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _in_trio() -> bool:
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
