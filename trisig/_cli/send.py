"""`trisig send`: to a master of this user, or to a program that takes remote signals."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from trisig._model.address import Address
from trisig._remote.deliver import deliver
from trisig._remote.packet import RejectedError

from .failures import FAILURE, USAGE, leave
from .operate import NUMBERS, asked_master, control_option, remark
from .parameters import SignumType


@click.command(context_settings=NUMBERS)
@click.argument("signum", type=SignumType())
@click.option(
    "--remote",
    metavar="ADDRESS",
    is_eager=True,  # so that no control socket is looked for
    help="Send it to the program that listens there, at HOST:PORT or a path: trisig with --socket, or uWSGI.",
)
@control_option
@click.pass_context
def send(context: click.Context, signum: int, remote: str | None, control: Path) -> None:
    """Raise signal SIGNUM; return when the master has it."""
    if remote is None:
        with asked_master(control) as master:
            remark(master.ask("send", signum=signum))
        return
    if context.get_parameter_source("control") is ParameterSource.COMMANDLINE:
        raise click.UsageError("write either --control PATH or --remote ADDRESS, not both")
    _deliver(signum, remote)


def _deliver(signum: int, node: str) -> None:
    try:
        Address.parse(node)
    except ValueError as error:
        leave(error, USAGE)
    try:
        deliver(signum, node)
    except (OSError, RejectedError) as error:
        leave(error, FAILURE)
