"""The commands that ask a running master."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from trisig._control.client import ControlClient, ControlError
from trisig._control.places import CONTROL_VARIABLE, living_sockets, run_folder
from trisig._util.log import LEVELS

from .config import configured_control
from .failures import FAILURE, leave, say
from .parameters import PathType, SignumType, WorkerType


def _found(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
    """The socket of the only master that listens where commands look, if none is named."""
    if context.params.get("remote") is not None:  # of `send`
        return None
    if path is not None or (path := configured_control()) is not None:
        return path
    sockets = living_sockets()
    if not sockets:
        say(f"no master listens in {run_folder()}: start one with trisig run, or name its socket with --control PATH")
        sys.exit(FAILURE)
    if len(sockets) > 1:
        listed = ", ".join(map(str, sockets))
        raise click.UsageError(f"several masters listen: name one with --control PATH, of {listed}")
    return sockets[0]


control_option = click.option(
    "--control",
    type=PathType(),
    metavar="PATH",
    envvar=CONTROL_VARIABLE,
    callback=_found,
    help="The master's control socket.  [default: that of the only master in the user's run folder]",
)
_source = click.argument("source")
NUMBERS = {"ignore_unknown_options": True}  # or click takes -1 for an option, and says no more than that it is none
_no_wait = click.option("--no-wait", is_flag=True, help="Return at once.")


@click.command(context_settings=NUMBERS)
@click.argument("signum", type=SignumType())
@control_option
def drop(signum: int, control: Path) -> None:
    """Remove the signals SIGNUM that no handler and no wait() takes."""
    with asked_master(control) as master:
        remark(master.ask("drop", signum=signum))


@click.command("run-now")
@_source
@control_option
def run_now(source: str, control: Path) -> None:
    """Raise the signal of SOURCE now; its schedule stays.

    SOURCE is its name in the status, or the number of its signal if no other source raises that.
    """
    with asked_master(control) as master:
        remark(master.ask("run-now", source=source))


@click.command()
@_source
@control_option
def pause(source: str, control: Path) -> None:
    """Let SOURCE raise no signals until `trisig resume`."""
    with asked_master(control) as master:
        master.ask("pause", source=source)


@click.command()
@_source
@control_option
def resume(source: str, control: Path) -> None:
    """Let SOURCE, which was paused, raise signals again."""
    with asked_master(control) as master:
        master.ask("resume", source=source)


@click.command()
@click.argument("worker", type=WorkerType())
@_no_wait
@control_option
def cheap(worker: int, control: Path, *, no_wait: bool) -> None:
    """Stop a worker until it is woken; return when it has ended.

    It finishes the handlers that it runs, within the grace of the master.
    """
    with asked_master(control) as master:
        remark(master.ask("cheap", number=worker, wait=_may_wait(master, no_wait=no_wait)))


@click.command()
@click.argument("worker", type=WorkerType())
@_no_wait
@control_option
def wake(worker: int, control: Path, *, no_wait: bool) -> None:
    """Start a worker again; return when it is ready."""
    with asked_master(control) as master:
        remark(master.ask("wake", number=worker, wait=_may_wait(master, no_wait=no_wait)))


@click.command()
@_no_wait
@control_option
def reload(control: Path, *, no_wait: bool) -> None:
    """Import the application again, and replace process after process.

    Nothing is lost and no handler is cut off. If the new version does not work, the one of before goes on.
    """
    with asked_master(control) as master:
        answer = master.ask("reload", wait=_may_wait(master, no_wait=no_wait))
    if "error" in answer:
        click.echo(answer["traceback"], err=True, nl=False)
        say(f"not reloaded, the version of before runs: {answer['error']}")
        sys.exit(FAILURE)
    if "seconds" in answer:
        click.echo(f"reloaded in {answer['seconds']:.1f} s")


@click.command("log")
@click.argument("level", type=click.Choice(LEVELS, case_sensitive=False))
@control_option
def log_level(level: str, control: Path) -> None:
    """Log from LEVEL on, in the master and all its processes, until it ends."""
    with asked_master(control) as master:
        master.ask("log", level=level.lower())


@click.command()
@_no_wait
@control_option
def stop(control: Path, *, no_wait: bool) -> None:
    """Stop the master as SIGTERM does; return when it has ended."""
    with asked_master(control) as master:
        may_wait = _may_wait(master, no_wait=no_wait)
        master.ask("stop")
        if may_wait:
            master.wait_for_the_end()


@contextmanager
def asked_master(control: Path) -> Iterator[ControlClient]:
    """The master that a command asks; what goes wrong ends the command with one line."""
    try:
        with ControlClient(control, lambda text: say(f"{text}; waiting")) as master:
            yield master
    except ControlError as error:
        leave(error, FAILURE)


def _may_wait(master: ControlClient, *, no_wait: bool) -> bool:
    """Whether to wait for the end of a process, which may be the one that waits for this command."""
    if no_wait:
        return False
    if master.is_above():
        say("not waiting, because the master has started this command and would wait for it")
        return False
    return True


def remark(answer: object) -> None:
    """Show what a master has to say about what it did."""
    if isinstance(answer, str):
        say(answer)
