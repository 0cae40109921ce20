"""The zygote that a master uses, and the next one when that was killed.

Nothing is lost with a zygote but the birth under way: the children are the master's own. It is missed when the
next child is to be made, and replaced then; if that fails too (out of processes, say), the one after tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import trio

from ._interrupt import uninterrupted
from ._zygote import Zygote

log = logging.getLogger("trisig")


@uninterrupted
class Prefork:
    """Makes children of this process, whatever happens to the zygote.

    Args:
        become: what a new child runs, as `Zygote` has it.
        private_fds: the descriptors that no child shall hold, at the time of the call.
    """

    def __init__(self, become: Callable[[str, list[int]], None], private_fds: Callable[[], Iterable[int]]) -> None:
        self._zygote = Zygote(become)
        self._private_fds = private_fds
        self._turn = trio.Lock()  # whoever finds the zygote dead replaces it before the next one looks

    def open(self) -> None:
        """Fork the first zygote; raises what `Zygote.fork` does."""
        self._zygote.fork()

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
                await self._replace()
                return await self._zygote.spawn(job, fds)

    async def guard(self) -> None:
        """Kill the zygote when cancelled: the end of the master waits for no birth."""
        try:
            await trio.sleep_forever()
        finally:
            self._zygote.kill()

    async def _replace(self) -> None:
        await self._zygote.aclose()
        log.warning("master: the process that forks the children was lost, it is replaced")
        self._zygote.fork(private_fds=self._private_fds())

    async def aclose(self) -> None:
        """Let the zygote leave; the children live on."""
        await self._zygote.aclose()
