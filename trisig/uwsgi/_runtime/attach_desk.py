"""What the master does for processes that attach to it: further commands of the control socket."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import trio

from trisig import Master, Signals
from trisig._api.messages import Messages
from trisig._model.targets import Topology
from trisig.uwsgi._config.settings import Settings

from .store import Store


class AttachDesk:
    """Serves attached processes.

    Args:
        signals: the application.
        messages: between its processes.
        store: what they share.
        facts: what an attached process has to know.
    """

    def __init__(self, signals: Signals, messages: Messages, store: Store, facts: Mapping[str, object]) -> None:
        self._signals = signals
        self._messages = messages
        self._store = store
        self._facts = facts
        self._master: Master | None = None

    def commands(self) -> dict[str, Callable[..., Awaitable[object]]]:
        """The commands by name."""
        return {
            "uwsgi-attach": self.attach,
            "uwsgi-target": self.target,
            "uwsgi-message": self.message,
            "hold-lock": self.hold_lock,
            "is-locked": self.is_locked,
        }

    async def serve(self, master: Master) -> None:
        """Remember the master; a service of it."""
        self._master = master
        await trio.lowlevel.checkpoint()

    async def attach(self) -> Mapping[str, object]:
        """What an attached process has to know.

        Raises:
            RuntimeError: the master is still starting.
        """
        if self._master is None:
            raise RuntimeError("the master is still starting")
        return self._facts

    async def target(self, signum: int) -> str | None:
        """Who handles a signal; None if nobody does."""
        if not self._signals.is_registered(signum) or self._master is None:
            return None
        return self._master.statistics().signals[signum].target

    async def message(self, box: str, data: str = "", file: str = "") -> None:
        """Put a message into a box; it is in the line, or in a file of the store."""
        content = await trio.to_thread.run_sync(self._store.take_parcel, file) if file else base64.b64decode(data)
        await self._messages.send(box, content)

    async def hold_lock(self, lock: int, *, tell: Callable[[str], object]) -> None:
        """Hold a lock until the connection ends."""
        async with self._signals.lock(lock):
            tell("held")
            await trio.sleep_forever()

    async def is_locked(self, lock: int) -> bool:
        """Whether anybody holds a lock."""
        return self._signals.lock(lock).locked()


def facts_of(
    settings: Settings, options: Mapping[Any, object], topology: Topology, store: Store, spools: Sequence[str]
) -> dict[str, object]:
    """What an attached process has to know, plain enough for JSON; to be called in the master.

    Args:
        settings: the options.
        options: as `uwsgi.opt` has them.
        topology: which processes there are.
        store: what they share.
        spools: the directories of jobs.
    """
    return {
        "pid": os.getpid(),
        "store": store.path,
        "workers": topology.workers,
        "mules": topology.mules,
        "spoolers": topology.spoolers,
        "farms": {name: list(mules) for name, mules in topology.farms.items()},
        "threads": settings.threads,
        "spools": list(spools),
        "caches": [dict(pairs) for pairs in settings.caches],
        "metrics": list(settings.metrics),
        "locks": settings.locks,
        "opt": {str(key): value is True or os.fsdecode(_text(value)) for key, value in options.items()},
    }


def _text(value: object) -> str | bytes:
    """An option as it was written."""
    return value if isinstance(value, (str, bytes)) else str(value)
