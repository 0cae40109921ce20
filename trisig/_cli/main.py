"""The `trisig` command: what an operator types, and what it answers when it cannot.

Exit status 0 is a clean end, 1 a failure, 2 something the caller has to write otherwise: what is wrong with a path on
the disk is a failure, what is wrong with the words of the command is not. A problem of the caller is one line that says
so; a traceback is shown only where it is the application's own.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from .check import check
from .cluster import cluster, nodes
from .dead_letters import dead_letters
from .failures import FAILURE, USAGE, say
from .look import check_alive, signals, sources, status
from .operate import cheap, drop, log_level, pause, reload, resume, run_now, stop, wake
from .run import run
from .send import send
from .top.command import top
from .uwsgi import uwsgi


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and exit with its status."""
    try:
        sys.exit(commands.main(args, prog_name="trisig", standalone_mode=False))
    except click.UsageError as error:
        say(f"{error.format_message()} ({_named(error, args)} --help tells more)")
        sys.exit(USAGE)
    except click.Abort:
        say("interrupted")
        sys.exit(FAILURE)
    except OSError as error:  # every command handles its own errors: this one comes from writing what it has to say
        _give_up_output()
        say(f"standard output cannot be written: {error.strerror or error}")
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
@click.pass_context
def commands(context: click.Context) -> None:
    """Signals between the processes of a trio application."""
    if context.invoked_subcommand not in {"run", "check", "uwsgi"}:  # there it is the application's
        _escape_output()


def _escape_output() -> None:
    """Write what the terminal's encoding lacks as escapes, instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


_LOOKING = (status, top, signals, sources, nodes, dead_letters, check_alive)
_DOING = (run_now, pause, resume, cheap, wake, reload, log_level, stop)
for command in (run, check, uwsgi, send, drop, *_LOOKING, *_DOING, cluster):
    commands.add_command(command)
