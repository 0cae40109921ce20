"""Starts the interpreter of a reload, and hears what came of the import."""

from __future__ import annotations

import errno
import os
import sys
from functools import partial
from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]  # as multiprocessing does

import msgspec

from trisig._api.options import Options
from trisig._ipc.orders import Orders, ProcessOrders, Report, from_json, to_json
from trisig._linux.activation import activated
from trisig._model.errors import ChildFailedError
from trisig._model.manifest import Manifest
from trisig._prefork.interpreter import Interpreter, start_zygote
from trisig._prefork.supervisor import Prefork
from trisig._prefork.zygote import Zygote
from trisig._util.imports import import_aside

from .extras import Journal
from .memory import MasterMemory

_BECOME = "import sys; sys.path[:] = {path!r}; from trisig._fresh import main; main()"


class FreshStart(msgspec.Struct, frozen=True):
    """What a fresh interpreter needs of a master.

    Attributes:
        options: of the master.
        memory, journal: what its children share with it.
    """

    options: Options
    memory: MasterMemory
    journal: Journal | None

    async def __call__(self, earlier: Manifest) -> tuple[Prefork, Manifest]:
        """Import the application again, in a process that becomes a zygote.

        Args:
            earlier: what the master knows of the application.

        Raises:
            ChildFailedError: it cannot be imported, or cannot run in this master.
            OSError: out of processes, memory or descriptors.
        """

        async def start(zygote: Zygote) -> Manifest:
            return await self._start(zygote, earlier)

        zygote = Zygote()
        manifest = await start(zygote)
        return Prefork(zygote, start), manifest

    async def _start(self, zygote: Zygote, earlier: Manifest) -> Manifest:
        await import_aside(["importlib.metadata"])  # half of `email`, which only a reload needs
        report = await self._hear(zygote, self._orders(earlier))
        if report.manifest is None:
            why = report.summary or "the interpreter was ended"
            raise ChildFailedError("the new version", None, report.traceback, reason="cannot run", ended=why)
        return report.manifest

    async def _hear(self, zygote: Zygote, orders: Orders) -> Report:
        """Start it; a report without a manifest means that there is no zygote."""
        words = [sys.executable, *_args_from_interpreter_flags(), "-c", _BECOME.format(path=sys.path)]

        def orders_for(report: int, line: int, handshake: int) -> bytes:
            return to_json(msgspec.structs.replace(orders, report=report, line=line, handshake=handshake))

        fds = self.memory.fd, self.memory.measured_fd, self.memory.gate.fd
        if -1 in fds:
            raise OSError(errno.EFBIG, "the limit of file sizes (ulimit -f) is too low to share memory with a reload")
        sockets = [fd for _, fd in activated()]
        said = await zygote.begin(partial(start_zygote, Interpreter(words, orders_for, (*fds, *sockets))))
        try:
            report = from_json(said, Report)
        except ValueError:
            return Report()
        return report if zygote.is_there else msgspec.structs.replace(report, manifest=None)

    def _orders(self, earlier: Manifest) -> Orders:
        from importlib.metadata import version  # noqa: PLC0415  imported by now

        options = self.options
        spool = options.spool_path
        return Orders(
            version=version("trisig"),
            master=os.getpid(),
            path=sys.path,
            argv=sys.argv,
            loader="trisig._cli.load:load_afresh",
            arguments=[options.application or "", *options.loading],
            report=-1,
            line=-1,
            handshake=-1,
            memory=self.memory.fd,
            measured=self.memory.measured_fd,
            task_rows=self.memory.task_rows,
            gate=self.memory.gate.fd,
            journal=[] if self.journal is None else list(self.journal.place),
            earlier=earlier,
            processes=ProcessOrders(
                workers=options.workers,
                mules=options.mules,
                spoolers=options.spoolers,
                farms={name: list(mules) for name, mules in (options.farms or {}).items()},
                cores=options.cores,
                limits=options.life_limits,
                spool="" if spool is None else str(spool.absolute()),
                in_cluster=options.cluster is not None,
            ),
        )
