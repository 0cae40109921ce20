"""`trisig uwsgi`."""

from __future__ import annotations

from pathlib import Path

import click

from trisig._control.places import CONTROL_VARIABLE

from .parameters import PathType


@click.command(context_settings={"ignore_unknown_options": True}, options_metavar="[UWSGI OPTIONS]")
@click.option("--check", is_flag=True, help="Show what would run, and every mistake; start nothing.")
@click.option(
    "--control",
    type=PathType(),
    metavar="PATH",
    envvar=CONTROL_VARIABLE,
    help="Listen for the other commands on this socket.  [default: uwsgi.sock in the user's run folder]",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FILE.ini]")
def uwsgi(words: tuple[str, ...], *, check: bool, control: Path | None) -> None:
    """Run an application that imports uwsgi, with uWSGI's options.

    They are read as uWSGI reads them: on the command line, in UWSGI_... variables, and in ini, yaml and json files.
    """
    from .uwsgi_instance import serve  # noqa: PLC0415  40 ms that the other commands do not need

    serve(words, check=check, control=control)
