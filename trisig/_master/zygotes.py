"""The zygotes of one master: the one that its children come from, and, while they are replaced, the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import trio

from trisig._prefork.supervisor import Prefork, fork_first, warn_of_threads
from trisig._prefork.zygote import Zygote
from trisig._util.ki_protection import ki_protected

from .keeper import Spawn


@ki_protected
class Zygotes:
    """Has each child made by the zygote whose code it shall run.

    Args:
        become: what a new child of the first zygote runs, as `Zygote` has it.
        private_fds: the descriptors that no child shall hold, at the time of the call.
    """

    def __init__(self, become: Callable[[str, list[int]], None], private_fds: Callable[[], Iterable[int]]) -> None:
        self._first = Zygote(become)
        self._private_fds = private_fds
        self._now = Prefork(self._first, self._fork_again)
        self._next: Prefork | None = None
        self._moved: set[str] = set()

    @property
    def pid(self) -> int:
        """Of the one that children come from."""
        return self._now.pid

    def open(self) -> None:
        """Fork the first zygote; raises what `Zygote.fork` does."""
        fork_first(self._first, self._private_fds())

    async def _fork_again(self, zygote: Zygote) -> None:
        warn_of_threads()
        zygote.fork(private_fds=self._private_fds())

    def spawn_of(self, process: str) -> Spawn:
        """What makes the processes of one name."""
        return partial(self._spawn, process)

    async def _spawn(self, process: str, job: str, fds: Sequence[int]) -> tuple[int, int]:
        zygote = self._next if self._next is not None and process in self._moved else self._now
        return await zygote.spawn(job, fds)

    # A reload

    def begin(self, following: Prefork) -> None:
        """There is another zygote, to which processes can be moved."""
        self._next = following

    @property
    def moved(self) -> list[str]:
        """The processes that come from it."""
        return sorted(self._moved)

    def move(self, process: str) -> None:
        """The next process of that name comes from the other zygote."""
        self._moved.add(process)

    async def commit(self) -> None:
        """All come from the other zygote from now on."""
        assert self._next is not None
        before, self._now, self._next = self._now, self._next, None
        self._moved.clear()
        await before.aclose()

    def take_back(self) -> None:
        """All come from the zygote of before again."""
        self._moved.clear()

    async def drop(self) -> None:
        """Let the other zygote go, which nobody comes from any more."""
        if self._next is not None:
            other, self._next = self._next, None
            await other.aclose()

    # Its end

    async def guard(self) -> None:
        """Kill the zygotes when cancelled: the end of the master waits for no spawn."""
        try:
            await trio.sleep_forever()
        finally:
            for zygote in (self._now, self._next):
                if zygote is not None:
                    zygote.kill()

    async def aclose(self) -> None:
        """Let the zygotes leave; the children live on."""
        await self.drop()
        await self._now.aclose()
