"""The `trisig` command: what an operator types, and what it answers when it cannot.

Exit status 0 is a clean end, 1 a failure, 2 something the caller has to write otherwise: what is wrong with a path on
the disk is a failure, what is wrong with the words of the command is not. A problem of the caller is one line that says
so; a traceback is shown only where it is the application's own.
"""

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import trio

import trisig

from . import _log
from ._client import ControlError, ask, ask_to_stop
from ._errors import JournalError
from ._load import ApplicationError, LoadError, load_signals
from ._status import status_text

FAILURE = 1
USAGE = 2

_logger = logging.getLogger("trisig")


class _PathType(click.Path):
    """A path as it is written: what is there is looked at by whoever uses it, and is no matter of how it is written."""

    def __init__(self) -> None:
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty: write a path", param, ctx)
        return super().convert(value, param, ctx)


def _read_farms(
    _ctx: click.Context, _param: click.Parameter, farms: tuple[str, ...]
) -> dict[str, tuple[int, ...]] | None:
    """Turn each NAME:1,2 into a name and the numbers of its mules."""
    by_name = dict(_read_farm(farm) for farm in farms)
    if len(by_name) < len(farms):
        raise click.BadParameter("a farm is named twice: write all of its mules in one, like busy:1,2")
    return by_name or None


def _read_farm(farm: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = farm.partition(":")
    try:
        mules = tuple(int(number) for number in numbers.split(","))
    except ValueError:
        mules = ()
    if not name or not mules:
        raise click.BadParameter(f"{farm!r} is no farm: write its name and its mules' numbers, like busy:1,2")
    if len(set(mules)) < len(mules):
        raise click.BadParameter(f"{farm!r} names a mule twice: write each number once, like busy:1,2")
    return name, mules


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its status."""
    try:
        sys.exit(commands.main(args, prog_name="trisig", standalone_mode=False))
    except click.UsageError as error:
        click.echo(f"trisig: {error.format_message()} ({_named(error, args)} --help tells more)", err=True)
        sys.exit(USAGE)
    except click.Abort:
        click.echo("trisig: interrupted", err=True)
        sys.exit(FAILURE)
    except OSError as error:  # of what a command does otherwise there is none left here
        _give_up_output()
        click.echo(f"trisig: standard output cannot be written: {error.strerror or error}", err=True)
        sys.exit(FAILURE)


def _named(error: click.UsageError, args: Sequence[str] | None) -> str:
    """The command that was used wrongly; click's parser does not say which."""
    if error.ctx is not None:
        return error.ctx.command_path
    first, *_ = sys.argv[1:] if args is None else args
    return f"trisig {first}" if first in commands.commands else "trisig"


def _give_up_output() -> None:
    """Let the interpreter, which tries again to write what is left, succeed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trisig")
def commands() -> None:
    """Signals between the processes of a trio application."""


@commands.command()
@click.argument("application")
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="How many workers.")
@click.option("--mules", type=click.IntRange(min=0), default=0, show_default=True, help="How many mules.")
@click.option(
    "farms", "--farm", metavar="NAME:1,2", multiple=True, callback=_read_farms, help="A farm of mules; repeatable."
)
@click.option("--spoolers", type=click.IntRange(min=0), default=0, show_default=True, help="How many spoolers.")
@click.option("--cores", type=click.IntRange(min=1), default=1, show_default=True, help="Handlers at once per process.")
@click.option("--handler-timeout", type=float, metavar="SECONDS", help="Kill a process whose handler takes longer.")
@click.option(
    "--grace", type=float, default=10.0, show_default=True, metavar="SECONDS", help="For what is queued at the end."
)
@click.option("--control", type=_PathType(), metavar="PATH", help="Socket that takes commands.")
@click.option("--journal", type=_PathType(), metavar="PATH", help="Remembers across restarts.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
)
def run(
    application: str,
    *,
    workers: int,
    mules: int,
    farms: dict[str, tuple[int, ...]] | None,
    spoolers: int,
    cores: int,
    handler_timeout: float | None,
    grace: float,
    control: Path | None,
    journal: Path | None,
    log_level: str,
) -> None:
    """Serve the signals of APPLICATION until SIGTERM or Ctrl-C.

    APPLICATION is MODULE:NAME or FILE.py:NAME, where NAME is a trisig.Signals. Without one it is "signals".
    """
    _log.configure(log_level)
    signals = _load(application)
    try:
        status = trisig.run(
            signals,
            workers=workers,
            mules=mules,
            farms=farms,
            spoolers=spoolers,
            cores=cores,
            handler_timeout=handler_timeout,
            grace=grace,
            journal=journal,
            control=control,
        )
    except trisig.ChildFailedError as error:
        click.echo(error.traceback, err=True, nl=False)
        _leave(error, FAILURE)
    except (OSError, JournalError, trio.BusyResourceError) as error:
        _leave(error, FAILURE)
    except (ValueError, TypeError) as error:
        _leave(error, USAGE)
    sys.exit(status)


_control = click.option(
    "--control", type=_PathType(), metavar="PATH", required=True, help="The master's control socket."
)


@commands.command()
@click.argument("signum", type=click.IntRange(0, 255))
@_control
def send(signum: int, control: Path) -> None:
    """Raise a signal."""
    _ask(control, "send", signum=signum)


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@_control
def status(control: Path, *, as_json: bool) -> None:
    """Say where every signal is and how the processes are."""
    told = _ask(control, "status")
    click.echo(json.dumps(told, indent=2) if as_json else status_text(told))


@commands.command()
@click.argument("number", type=click.IntRange(min=1))
@_control
def cheap(number: int, control: Path) -> None:
    """Stop worker NUMBER until it is woken."""
    _ask(control, "cheap", number=number)


@commands.command()
@click.argument("number", type=click.IntRange(min=1))
@_control
def wake(number: int, control: Path) -> None:
    """Start worker NUMBER again."""
    _ask(control, "wake", number=number)


@commands.command()
@_control
def stop(control: Path) -> None:
    """Stop the master as SIGTERM does, and wait until it has ended."""
    try:
        ask_to_stop(control, late=_say_it_is_late)
    except ControlError as error:
        _leave(error, FAILURE)


def _say_it_is_late() -> None:
    click.echo("trisig: the master has not answered yet; waiting", err=True)


def _ask(control: Path, do: str, **arguments: object) -> Any:
    try:
        return ask(control, do, late=_say_it_is_late, **arguments)
    except ControlError as error:
        _leave(error, FAILURE)


def _load(application: str) -> trisig.Signals:
    try:
        return load_signals(application)
    except LoadError as error:
        _leave(error, USAGE)
    except ApplicationError as error:
        click.echo(error, err=True, nl=False)
        sys.exit(FAILURE)


def _leave(error: Exception, status: int) -> NoReturn:
    """End with one line; `--log-level debug` shows where it came from."""
    _logger.debug("the command ends", exc_info=error)
    click.echo(f"trisig: {error}", err=True)
    sys.exit(status)
