"""A child's claims of locks, as requests to the master."""

from __future__ import annotations

from trisig._ipc.messages import AcquireLock, AskLocked, Locked, ReleaseLock
from trisig._ipc.request_client import RequestClient
from trisig._model.errors import NoMasterError
from trisig._model.lock_name import LockName


class ChildLockDesk:
    """Claims locks in the master.

    Args:
        client: the requests of the process.
    """

    def __init__(self, client: RequestClient) -> None:
        self._client = client

    def acquire(self, lock: LockName, key: int, task: int, *, wait: bool) -> bool:
        """See `Locks.acquire`."""
        return self._client.ask(AcquireLock(lock, key, task, wait), Locked).locked

    def release(self, key: int) -> None:
        """Give up a claim. If the master is gone, so is the lock."""
        try:
            self._client.post(ReleaseLock(key))
        except NoMasterError:
            pass

    def is_locked(self, lock: LockName) -> bool:
        """Whether anybody holds a lock."""
        return self._client.ask(AskLocked(lock), Locked).locked
