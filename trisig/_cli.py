"""The `trisig` command: what an operator types, and what it answers when it cannot.

Exit status 0 is a clean end, 1 a failure, 2 something the caller has to write otherwise. A problem of the caller is
one line that says so; a traceback is shown only where it is the application's own.
"""

import logging
import sys
from pathlib import Path
from typing import NoReturn

import click

import trisig

from . import _log
from ._load import ApplicationError, LoadError, load_signals

FAILURE = 1
USAGE = 2

_logger = logging.getLogger("trisig")


class Farm(click.ParamType):
    """A farm of mules on the command line: `NAME:1,2`."""

    name = "NAME:1,2"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        """Split the name from the numbers of its mules."""
        name, _, numbers = str(value).partition(":")
        try:
            mules = tuple(int(number) for number in numbers.split(","))
        except ValueError:
            mules = ()
        if not name or not mules:
            self.fail(f"{value!r} is no farm: write its name and its mules' numbers, like busy:1,2", param, ctx)
        return name, mules


def _one_of_each_name(
    _ctx: click.Context, _param: click.Parameter, farms: tuple[tuple[str, tuple[int, ...]], ...]
) -> dict[str, tuple[int, ...]] | None:
    by_name = dict(farms)
    if len(by_name) < len(farms):
        raise click.BadParameter("a farm is named twice: write all of its mules in one, like busy:1,2")
    return by_name or None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trisig")
def main() -> None:
    """Signals between the processes of a trio application."""


@main.command()
@click.argument("application")
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="How many workers.")
@click.option("--mules", type=click.IntRange(min=0), default=0, show_default=True, help="How many mules.")
@click.option("farms", "--farm", type=Farm(), multiple=True, callback=_one_of_each_name, help="Repeatable.")
@click.option("--spoolers", type=click.IntRange(min=0), default=0, show_default=True, help="How many spoolers.")
@click.option("--cores", type=click.IntRange(min=1), default=1, show_default=True, help="Handlers at once per process.")
@click.option("--handler-timeout", type=float, metavar="SECONDS", help="Kill a process whose handler takes longer.")
@click.option(
    "--grace", type=float, default=10.0, show_default=True, metavar="SECONDS", help="For what is queued at the end."
)
@click.option("--control", type=click.Path(path_type=Path), metavar="PATH", help="Socket that takes commands.")
@click.option("--journal", type=click.Path(path_type=Path), metavar="PATH", help="Remembers across restarts.")
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
            control=control,
            journal=journal,
        )
    except trisig.ChildFailedError as error:
        click.echo(error.traceback, err=True, nl=False)
        _leave(error, FAILURE)
    except (ValueError, TypeError) as error:
        _leave(error, USAGE)
    except OSError as error:
        _leave(error, FAILURE)
    sys.exit(status)


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
