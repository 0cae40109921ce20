"""The zygotes that a master uses, and the next one when one was killed.

Nothing is lost with a zygote but the spawn under way: the children are the master's own. Its death is noticed when
the next child is needed, and a new one is forked then. If that fails too, out of processes for example, the spawn
after it tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence

import trio

from trisig._util.ki_protection import ki_protected

from .fork import other_threads
from .sqlite import open_transactions
from .zygote import Zygote

log = logging.getLogger("trisig")


@ki_protected
class Prefork:
    """Makes children of this process, whatever happens to the zygote.

    Args:
        zygote: makes them.
        renew: makes a zygote of it again, after its death.
    """

    def __init__(self, zygote: Zygote, renew: Callable[[Zygote], Awaitable[object]]) -> None:
        self._zygote = zygote
        self._renew = renew
        self._turn = trio.Lock()  # whoever finds the zygote dead replaces it before the next one looks

    async def spawn(self, job: str, fds: Sequence[int]) -> tuple[int, int]:
        """Make a child; arguments and result as for `Zygote.spawn`.

        Raises:
            OSError: out of processes, memory or descriptors. There is no child.
            trio.BrokenResourceError: the new zygote was killed as well. There is no child.
        """
        async with self._turn:
            try:
                return await self._zygote.spawn(job, fds)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                await self._zygote.aclose()
                log.warning("master: the process that forks the children has died; making another")
                await self._renew(self._zygote)
                return await self._zygote.spawn(job, fds)

    @property
    def pid(self) -> int:
        """Of the zygote."""
        return self._zygote.pid

    def kill(self) -> None:
        """Kill the zygote; what is being spawned fails."""
        self._zygote.kill()

    async def aclose(self) -> None:
        """Let the zygote leave; the children live on."""
        await self._zygote.aclose()


def fork_first(zygote: Zygote, private_fds: Iterable[int]) -> None:
    """Fork the first zygote of a master; arguments and errors as for `Zygote.fork`."""
    warn_of_threads()
    if count := open_transactions():
        log.warning(
            "master: the application is in the middle of %d SQLite transaction%s while children are forked from "
            "it: a child inherits the record of the locks, and can never use those databases; commit, or close the "
            "connections, before the master opens",
            count,
            "s" if count > 1 else "",
        )
    zygote.fork(private_fds=private_fds)


def warn_of_threads() -> None:
    """Say which threads of the application a fork of this process leaves behind."""
    if threads := other_threads():
        log.warning(
            "master: the application has other threads (%s) while children are forked from it: locks that they "
            "hold now stay locked in every child, and the threads do not exist there; open the master first, and "
            "start threads in on_start or in a service",
            ", ".join(threads),
        )
