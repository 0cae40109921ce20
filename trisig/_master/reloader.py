"""Reloads: another version of the application in a zygote of its own, then child after child.

    ask ──> import ──> replace each child ──> adopt ──> done
               │             │
               └─ failed     └─ failed to start ──> replace those back

The old version stays as long as anything of the new one has not worked.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
import trio

from trisig._model.errors import ChildFailedError, NoMasterError
from trisig._model.manifest import Manifest, compare
from trisig._model.statistics import ReloadStatistics
from trisig._prefork.supervisor import Prefork
from trisig._sources.kinds import missing_modules
from trisig._util.imports import import_aside
from trisig._util.ki_protection import ki_protected

from .adoption import Adoption
from .keeper import Keeper
from .zygotes import Zygotes

log = logging.getLogger("trisig")

Start = Callable[[Manifest], Awaitable[tuple[Prefork, Manifest]]]


class _Reload(msgspec.Struct, eq=False):
    over: trio.Event = msgspec.field(default_factory=trio.Event)
    error: BaseException | None = None


@ki_protected
class Reloader:
    """Reloads one master.

    Args:
        manifest: what its application declares.
        start: imports the application again, and makes a zygote of it; raises `ChildFailedError`.
        zygotes: where children come from.
        keepers: of all processes, by name.
        adoption: changes the rest.

    Attributes:
        manifest: as it is now.
        last: how the last reload ended; None before the first.
        told: called when a reload begins, with true, and when it has ended, with false.
    """

    def __init__(
        self, manifest: Manifest, start: Start, zygotes: Zygotes, keepers: Mapping[str, Keeper], adoption: Adoption
    ) -> None:
        self.manifest = manifest
        self._start = start
        self._zygotes = zygotes
        self._keepers = keepers
        self._adoption = adoption
        self._under_way: _Reload | None = None
        self._news = trio.Event()
        self._scope = trio.CancelScope()
        self._stopped = False
        self.last: ReloadStatistics | None = None
        self.told: Callable[[bool], object] = lambda _: None

    @property
    def is_under_way(self) -> bool:
        """Whether a reload has begun and not ended."""
        return self._under_way is not None

    async def reload(self) -> None:
        """Reload, and return when it is done. A cancelled call leaves the reload to itself.

        Raises:
            ChildFailedError: the new version cannot be imported, or cannot start; the old one runs.
            trio.BusyResourceError: another reload is under way.
            NoMasterError: the master shuts down.
        """
        if self._stopped:
            raise _no_master()
        if self._under_way is not None:
            raise trio.BusyResourceError("a reload is under way; ask again when it is over")
        self._under_way = mine = _Reload()
        self._news.set()
        await mine.over.wait()
        if mine.error is not None:
            raise mine.error

    async def wait_over(self) -> None:
        """Wait until no reload is under way."""
        while self._under_way is not None:
            await self._under_way.over.wait()

    async def run(self) -> None:
        """Do what is asked, until cancelled or stopped."""
        with self._scope:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                await self._reload_noting()

    def stop(self) -> None:
        """The shutdown begins: leave everything as it is."""
        self._stopped = True
        self._scope.cancel()

    async def _reload_noting(self) -> None:
        assert self._under_way is not None
        mine, began = self._under_way, trio.current_time()
        mine.error = _no_master()  # unless it comes to an end
        self.told(True)
        try:
            mine.error = await self._outcome()
            error = "" if mine.error is None else str(mine.error)
            self.last = ReloadStatistics(trio.current_time() - began, error)
        finally:
            self._under_way = None
            self.told(False)
            mine.over.set()

    async def _outcome(self) -> BaseException | None:
        began = trio.current_time()
        log.info("master: reloading")
        try:
            changed = await self._do()
        except (ChildFailedError, OSError) as error:
            theirs = error.traceback.rstrip() if isinstance(error, ChildFailedError) else ""
            log.error("master: not reloaded, the version of before runs: %s%s", error, theirs and f"\n{theirs}")  # noqa: TRY400
            return error
        words = f" ({changed})" if changed else ""
        log.info("master: reloaded in %.1f s%s", trio.current_time() - began, words)
        return None

    async def _do(self) -> str:
        zygote, manifest = await self._start(self.manifest)
        changes = compare(self.manifest, manifest)
        self._zygotes.begin(zygote)
        self._adoption.prepare(changes)
        # From here on the indices of the new tasks are taken, whatever comes of this.
        self.manifest = msgspec.structs.replace(self.manifest, tasks=manifest.tasks)
        failure = await self._replace_all()
        if failure is not None:
            await self._back()
            raise failure
        await import_aside(missing_modules(changes.new_sources))
        self._adoption.complete(changes)
        self._warn(manifest)
        self.manifest = manifest
        await self._zygotes.commit()
        return str(changes)

    async def _replace_all(self) -> ChildFailedError | None:
        """Replace each process, one at a time, until one cannot start; why it cannot."""
        for keeper in self._keepers.values():
            self._zygotes.move(keeper.name)
            await _restart(keeper)
            if keeper.start_failure is not None:
                return keeper.start_failure
        return None

    async def _back(self) -> None:
        log.warning("master: going back to the version of before")
        new = self._zygotes.moved
        self._zygotes.take_back()
        for name in new:
            await _restart(self._keepers[name])
        await self._zygotes.drop()

    def _warn(self, manifest: Manifest) -> None:
        if manifest.foreign:
            log.info("master: its own services and event sources (%d) stay as they were", manifest.foreign)


async def _restart(keeper: Keeper) -> None:
    """Replace a process when its handlers have ended; returns when the next one is ready or has failed to start."""
    pid = keeper.pid
    keeper.start_failure = None
    if not pid:
        keeper.hurry()  # it is not there: stopped, or between two tries
    else:
        keeper.leave(patient=True)
    await keeper.wait_started(pid)


def _no_master() -> NoMasterError:
    return NoMasterError("the master is shutting down, and is not reloaded")
