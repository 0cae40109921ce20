"""The command line of `trisig top`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import trio

from trisig._cli.failures import FAILURE, USAGE, leave, say
from trisig._cli.operate import control_option
from trisig._control.client import ControlError


@click.command()
@click.option(
    "--every",
    type=click.FloatRange(0.1, 3600),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="How long from one look to the next.",
)
@control_option
def top(every: float, control: Path) -> None:
    """Show the status of a master, live.

    Keys: q quits, space pauses, tab chooses a table, < and > choose the column to sort by, i inverts the order, the
    arrows up and down scroll, s sends a signal, r reloads.
    """
    try:
        from rich.console import Console  # noqa: PLC0415  of an extra

        from .live import watch  # noqa: PLC0415
    except ImportError as error:
        say(f'trisig top needs rich: python -m pip install ".[top]" in a checkout of trisig ({error})')
        sys.exit(USAGE)
    console = Console(highlight=False)
    if not (sys.stdin.isatty() and console.is_terminal) or console.is_dumb_terminal:
        say("top needs a terminal; `trisig status` writes to anything")
        sys.exit(USAGE)
    try:
        sys.exit(trio.run(watch, control, every, console))
    except ControlError as error:
        leave(error, FAILURE)
