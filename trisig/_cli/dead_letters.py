"""`trisig dead-letters`: what was given up."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from trisig._control.client import RefusedError

from .failures import FAILURE, say
from .operate import asked_master, control_option


@click.group(name="dead-letters")
def dead_letters() -> None:
    """List, requeue or drop the signals and tasks that were given up."""


@dead_letters.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
@control_option
def list_letters(control: Path, *, as_json: bool) -> None:
    """Show them, the oldest first: ID, when, what, where, and why."""
    with asked_master(control) as master:
        letters = master.ask("dead-letters")
    if as_json:
        click.echo(json.dumps(letters, indent=2))
    else:
        for letter in letters:
            click.echo(_line(letter))


@dead_letters.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@control_option
def requeue(control: Path, ids: Sequence[str]) -> None:
    """Let the dead letters with these IDs run again, at the end of their queues."""
    _each("requeue", control, ids)


@dead_letters.command(name="drop")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@control_option
def drop_letters(control: Path, ids: Sequence[str]) -> None:
    """Forget the dead letters with these IDs."""
    _each("drop-letter", control, ids)


def _each(command: str, control: Path, ids: Sequence[str]) -> None:
    refused = False
    with asked_master(control) as master:
        for letter_id in ids:
            try:
                say(master.ask(command, id=letter_id))
            except RefusedError as error:  # the others are no worse for it
                say(str(error))
                refused = True
    if refused:
        sys.exit(FAILURE)


def _line(letter: dict[str, Any]) -> str:
    when = datetime.fromtimestamp(letter["at"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    what = f"signal {letter['signum']}" if letter["task"] is None else f"task {letter['task']}"
    size = f", {letter['size']} bytes of arguments" if letter["size"] else ""  # those of a job stay in its file
    return f"{letter['id']}  {when}  {what} for {letter['destination']}{size}: {letter['reason']}"
