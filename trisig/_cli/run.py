"""`trisig run`."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
import trio
from msgspec.structs import replace

from trisig._api.options import CommandOptions, Options
from trisig._api.reload_triggers import ReloadTriggers
from trisig._api.signals import Signals, application_of
from trisig._control.places import CONTROL_VARIABLE, default_sockets
from trisig._model.errors import ChildFailedError, ClusterError, JournalError
from trisig._run import serve
from trisig._util.fresh_bytecode import distrust_recent_bytecode
from trisig._util.log_setup import configure
from trisig._util.stop_signals import block_stop_signals, end_on_sigterm_as_init, leave_on_stop_signals
from trisig._util.tracebacks import traceback_in_application

from .cluster import cluster_options
from .config import Config, config_option
from .failures import FAILURE, USAGE, leave
from .load import absolute, load_or_leave
from .parameters import AddressType, PathType, master_options
from .windows import metrics_window, spans, stats_window


@click.command()
@click.argument("application")
@config_option
@master_options
@click.option(
    "--control",
    type=PathType(),
    metavar="PATH",
    envvar=CONTROL_VARIABLE,
    help="Listen for the other commands on this socket.  [default: one in the user's run folder, where they look]",
)
@cluster_options
@click.option(
    "--touch-reload",
    type=PathType(),
    metavar="PATH",
    multiple=True,
    help="Reload when something is done to this file; repeatable.",
)
@click.option("--reload", is_flag=True, help="Reload when a source file changes; for development.")
@click.option(
    "--metrics",
    type=AddressType(),
    metavar="HOST:PORT",
    help="Serve metrics for Prometheus there.  [needs the extra: metrics]",
)
@click.option(
    "--stats",
    type=AddressType(),
    metavar="ADDRESS",
    help="Serve uWSGI's statistics there, for uwsgitop: HOST:PORT, or the path of a socket.",
)
@click.option("--otel", is_flag=True, help="Export spans to OpenTelemetry, as OTEL_... say.  [needs the extra: otel]")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    help="The least level to log.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or one JSON object a line.",
)
def run(
    application: str,
    *,
    config: Config | None,
    control: Path | None,
    node: str | None,
    metrics: str | None,
    stats: str | None,
    otel: bool,
    log_level: str,
    log_format: str,
    touch_reload: tuple[Path, ...],
    reload: bool,
    **options: Any,
) -> None:
    """Serve the signals of APPLICATION until SIGTERM or Ctrl-C.

    APPLICATION is MODULE:NAME or FILE.py:NAME, where NAME is a trisig.Signals. Without one it is "signals". Or it is
    FILE.lua.

    Options may stand in trisig.toml, or in the table tool.trisig of pyproject.toml, by their names.
    """
    del node  # the cluster has it
    end_on_sigterm_as_init()
    configure(log_level, log_format)
    known_as = absolute(application)  # before the application can change the directory
    distrust_recent_bytecode()
    signals = load_or_leave(application)
    if config is not None:
        config.apply_to(application_of(signals))
    path = "" if config is None else str(config.path.resolve())
    logged = {"log_level": log_level, "log_format": log_format}
    checked = _check(signals, {**options, **logged, "application": known_as, "config": path})
    windows = ([metrics_window(metrics)] if metrics else []) + ([stats_window(stats)] if stats else [])
    with spans() if otel else nullcontext(()) as instruments:
        block_stop_signals()
        status = _serve(
            signals,
            replace(checked, instruments=instruments),
            (control,) if control is not None else default_sockets(_name_of(application)),
            ReloadTriggers(touch_reload, reload),
            windows,
        )
    sys.stdout.flush()
    leave_on_stop_signals(status)
    sys.exit(status)


def _serve(signals: Signals, *arguments: Any) -> int:
    """Serve; the exit status. Whatever goes wrong ends the program here."""
    try:
        return serve(signals, *arguments)
    except Exception as error:  # noqa: BLE001  whatever it is, the traceback of the application is what tells its author
        _give_up(error)


def _name_of(application: str) -> str:
    """What an application is called among others: the name of its file or module."""
    return Path(application.rpartition(":")[0] or application).name.removesuffix(".py").removesuffix(".lua")


def _check(signals: Signals, options: Any) -> Options:
    """What the command line asks for, if this application can have it."""
    try:
        checked = CommandOptions.given_to("run", options)
        application_of(signals).check(
            checked.topology, has_spool=checked.spool_path is not None, has_cluster=checked.cluster is not None
        )
    except (ValueError, TypeError) as error:
        leave(error, USAGE)
    return checked


def _give_up(error: Exception) -> NoReturn:
    """End because of what the master met; anything unforeseen shows where it came from."""
    if (theirs := traceback_in_application(error)) is not None:
        click.echo(theirs, err=True, nl=False)
        sys.exit(FAILURE)
    if isinstance(error, ChildFailedError):
        click.echo(error.traceback, err=True, nl=False)
    if isinstance(error, (ChildFailedError, ClusterError, OSError, JournalError, trio.BusyResourceError)):
        leave(error, FAILURE)
    raise error
