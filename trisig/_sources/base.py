"""What an event source is.

A source runs in the master and turns something that happens (a tick, a due minute, a changed file, a message)
into signals. It knows nothing of tables, targets and processes: it is given one function, `send`, which takes
a signal number and returns once the master's queue has it. While the queue is full `send` waits, and that is the
only back-pressure there is: a source that waits there must fold what happens meanwhile into fewer signals,
never keep a list of it.
"""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable

Send = Callable[[int], Awaitable[None]]


class EventSource(abc.ABC):
    """One origin of signals in the master.

    Attributes:
        fired: signals raised so far. The master counts them; a source need not.
        missed: occurrences that raised no signal of their own because they came too late and were folded into
            another one. A source that folds adds to it.
    """

    fired: int = 0
    missed: int = 0

    @property
    def name(self) -> str:
        """What logs and statistics call it."""
        return type(self).__name__

    def __str__(self) -> str:
        return self.name

    @abc.abstractmethod
    async def run(self, send: Send) -> None:
        """Raise signals until there are no more to come, or until cancelled.

        Args:
            send: `await send(signum)` returns once the master has accepted the signal.
        """
