"""The commands that look at a running master: `status`, `signals`, `sources`, `check-alive`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from .failures import FAILURE, say
from .operate import asked_master, control_option
from .status_text import signals_text, sources_text, status_text


@click.command()
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@click.option("--watch", is_flag=True, help="Show it again every second, until Ctrl-C.")
@control_option
def status(control: Path, *, as_json: bool, watch: bool) -> None:
    """Show where every signal is and how the processes are."""
    if as_json:
        click.echo(json.dumps(_status(control), indent=2))
        return
    if not watch:
        click.echo(status_text(_status(control), _columns()), color=_color())
        return
    try:
        _watch(control)
    except KeyboardInterrupt:
        click.echo()


def _watch(control: Path) -> None:
    while True:
        text = status_text(_status(control), _columns())
        click.clear()
        click.echo(text, color=_color())
        time.sleep(1)


@click.command()
@control_option
def signals(control: Path) -> None:
    """Show the signals and tasks: targets, and how many where."""
    click.echo("\n".join(signals_text(_status(control), _columns())))


@click.group()
def sources() -> None:
    """Show event sources, or remove one."""


@sources.command("list")
@control_option
def list_sources(control: Path) -> None:
    """Show the event sources: what they do, and what is due when."""
    click.echo("\n".join(sources_text(_status(control), _columns())))


@sources.command("remove")
@click.argument("source")
@control_option
def remove_source(source: str, control: Path) -> None:
    """Stop SOURCE for good; a restart brings it back.

    SOURCE is its name in the status, or the number of its signal if no other source raises that.
    """
    with asked_master(control) as master:
        master.ask("remove-source", source=source)


@click.command("check-alive")
@click.option(
    "--patience",
    type=click.FloatRange(0.01, 3600),
    metavar="SECONDS",
    default=5.0,
    show_default=True,
    help="What takes longer is a problem.",
)
@click.option(
    "--handler-limit",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="A handler that runs for longer is a problem.  [default: the handler timeout and the patience]",
)
@control_option
def check_alive(patience: float, handler_limit: float | None, control: Path) -> None:
    """Ask whether all is well; a line for each problem, and status 1, if not.

    Problems are: idle processes that do not answer, processes that take long to start or wait after failures, handlers
    that run for too long, sources that have failed or are late, a master that does not answer.
    """
    limit = {} if handler_limit is None else {"handler_limit": handler_limit}  # which earlier masters do not know
    with asked_master(control) as master:
        problems = master.ask("check-alive", patience=patience, **limit)
    for problem in problems:
        say(problem)
    sys.exit(FAILURE if problems else 0)


def _status(control: Path) -> Any:
    with asked_master(control) as master:
        return master.ask("status")


def _columns() -> int | None:
    """Of the terminal; None if there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _color() -> bool | None:
    """Colours on a terminal only, and not against https://no-color.org."""
    return False if os.environ.get("NO_COLOR") else None
