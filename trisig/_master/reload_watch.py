"""Reloads a master when files change, or when a Unix signal asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import trio

from trisig._api.manifest import own_folders
from trisig._api.reload_triggers import ReloadTriggers
from trisig._model.errors import ChildFailedError, NoMasterError
from trisig._sources import Engines, SourceRun, open_engines
from trisig._sources.files import FileSource

from .master import Master
from .reloader import Reloader

_SETTLE_S = 0.1  # without a further change; an editor or a checkout saves several files


class ReloadWatch:
    """Reloads a master whenever it is asked to, one reload after the other.

    Args:
        triggers: what asks, besides `ask`.
    """

    def __init__(self, triggers: ReloadTriggers) -> None:
        self._triggers = triggers
        self._asked = trio.Event()
        self._watched: set[Path] = set()

    def ask(self) -> None:
        """Reload soon."""
        self._asked.set()

    async def run(self, master: Master, reloader: Reloader) -> None:
        """Watch until cancelled."""
        async with open_engines() as engines, trio.open_nursery() as nursery:
            for path in self._triggers.touched:
                await nursery.start(self._watch, FileSource(0, path.absolute(), missing_ok=True), engines)
            while True:
                if self._triggers.follow:
                    folders = {*own_folders(), *reloader.manifest.folders}
                    for source in self._sources(folders):
                        await nursery.start(self._watch, source, engines)
                await self._asked.wait()
                self._asked = trio.Event()
                await _reload(master, reloader)

    def _sources(self, folders: Iterable[str]) -> list[FileSource]:
        new = set(map(Path, folders)) - self._watched
        self._watched |= new
        return [
            FileSource(0, path, match=match, settle=_SETTLE_S, missing_ok=True)
            for path in sorted(new)
            for match in ("*.py", "*.lua")
        ]

    async def _watch(
        self, source: FileSource, engines: Engines, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async def ask(_: int) -> None:
            self.ask()
            await trio.lowlevel.checkpoint()

        with SourceRun(source, engines) as run:
            task_status.started()
            await run.resume(ask)


async def _reload(master: Master, reloader: Reloader) -> None:
    try:
        await master.reload()
    except (ChildFailedError, OSError, NoMasterError):
        pass  # the log says why
    except trio.BusyResourceError:
        await reloader.wait_over()
        await _reload(master, reloader)  # what asks for this one may have come after that one had read it
