"""The zygote of a reload: a fresh interpreter that imports the application, and becomes what a fork of the master was.

    interpreter: imports, reports ── fork ─> zygote ── fork ─> children
    master:      reads the report, takes over the zygote, and has it make each child that is replaced

Whatever goes wrong before the zygote exists is reported, and ends this process; the master and its children go on.
"""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ._api.application import Application
from ._api.handler_name import earlier_numbers
from ._api.manifest import fit, manifest_of, own_folders
from ._api.signals import Signals, application_of
from ._child.job_runner import JobRunner
from ._child.main import ChildMain
from ._child.parent_watch import end_with_parent
from ._child.task_runner import Jobs
from ._ipc.gate import Gate
from ._ipc.measurements import Measurements, measured_bytes
from ._ipc.orders import Orders, ProcessOrders, Report, from_json, to_json
from ._ipc.shared_memory import Shared, shared_bytes
from ._journal.child_journal import ChildJournal, JournalPlace
from ._linux.activation import hide_from_programs
from ._linux.mmap_file import map_file
from ._model.process import MASTER_VARIABLE
from ._model.targets import Topology
from ._prefork.leave import flush_standard_streams, run_and_leave
from ._prefork.open_files import flush_open_files
from ._prefork.server import become_zygote, leave_terminal, replace_by_devnull
from ._spool.committer import Committer
from ._spool.directory import SpoolDirectory
from ._spool.writer import SpoolWriter
from ._util.fresh_bytecode import distrust_recent_bytecode
from ._util.log import non_blocking_logging
from ._util.tracebacks import own_traceback, summary_of


def main() -> None:
    """Live as this interpreter, by the orders on its standard input; never returns."""
    orders = from_json(sys.stdin.buffer.read(), Orders)
    end_with_parent(orders.master)
    replace_by_devnull(0, inheritable=True)
    for fd in (orders.report, orders.line, orders.handshake, orders.memory, orders.measured, orders.gate):
        os.set_inheritable(fd, False)
    hide_from_programs()
    leave_terminal()
    sys.path[:], sys.argv[:] = orders.path, orders.argv
    try:
        _check_version(orders.version)
        become = _prepare(orders)
    except BaseException as error:  # noqa: ASYNC103, BLE001  whatever it is, the master has to know
        _report(orders.report, _failure(error))
        flush_standard_streams()
        os._exit(1)
    with non_blocking_logging():
        run_and_leave(partial(_become_zygote, orders, become))


def _check_version(running: str) -> None:
    installed = version("trisig")
    if running != installed:
        raise RuntimeError(f"trisig {installed} is installed now, and the master runs {running}: restart it")


def _prepare(orders: Orders) -> Callable[[str, list[int]], None]:
    """Import the application, report what it declares, and make what runs in its children."""
    distrust_recent_bytecode()
    signals = _load(orders)
    app = application_of(signals)
    processes = orders.processes
    topology = Topology(processes.workers, processes.mules, processes.spoolers, processes.farms)
    app.check(topology, has_spool=bool(processes.spool), has_cluster=processes.in_cluster)
    fit(app, orders.earlier)
    become = _child_main(signals, orders, topology)
    _report(orders.report, Report(manifest_of(app, own_folders())))
    return become


def _load(orders: Orders) -> Signals:
    module, _, function = orders.loader.partition(":")
    load: Callable[..., Any] = getattr(importlib.import_module(module), function)
    token = earlier_numbers.set(orders.earlier.numbers)
    try:
        signals = load(*orders.arguments)
    finally:
        earlier_numbers.reset(token)
    assert isinstance(signals, Signals)
    return signals


def _child_main(signals: Signals, orders: Orders, topology: Topology) -> ChildMain:
    app, processes = application_of(signals), orders.processes
    slots = len(topology.processes())
    journal = ChildJournal(orders.memory, JournalPlace(*orders.journal)) if orders.journal else None
    memory = journal.shared if journal is not None else map_file(orders.memory, shared_bytes(slots))
    measured = map_file(orders.measured, measured_bytes(slots, orders.task_rows))
    shared = Shared(slots, memory, Measurements(slots, orders.task_rows, measured))
    jobs = _open_spool(app, processes)
    names = topology.names()
    return ChildMain(
        signals,
        app,
        topology,
        shared,
        Gate(shared.gate, orders.gate),
        processes.cores,
        processes.limits,
        lambda process: None if journal is None else journal.outbox(names.index(process)),
        MASTER_VARIABLE,
        processes.in_cluster,
        jobs,
    )


def _open_spool(app: Application, processes: ProcessOrders) -> Jobs | None:
    """Let tasks write jobs, and return what runs them."""
    if not processes.spool:
        return None
    directory = SpoolDirectory(Path(processes.spool))
    app.spool = SpoolWriter(Committer(directory))
    return JobRunner(directory)


def _report(fd: int, report: Report) -> None:
    with open(fd, "wb") as file:
        file.write(to_json(report))


def _failure(error: BaseException) -> Report:
    said = str(error).strip()
    if type(error).__name__ == "ApplicationError":  # its message is the traceback of the application
        return Report(summary=getattr(error, "summary", ""), traceback=f"{said}\n")
    if type(error).__name__ in ("LoadError", "UsageError", "TargetError"):
        return Report(summary=said)
    return Report(summary=summary_of(error), traceback=own_traceback(error))


def _become_zygote(orders: Orders, become: Callable[[str, list[int]], None]) -> None:
    line, handshake = socket.socket(fileno=orders.line), socket.socket(fileno=orders.handshake)
    gc.collect()
    become_zygote(orders.master, handshake, line, become, flush_open_files())
