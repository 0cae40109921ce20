"""`python -m trisig.uwsgi COMMAND...`: a program in whose processes `import uwsgi` works."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from trisig._control.places import CONTROL_VARIABLE, living_sockets


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--control", type=click.Path(path_type=Path), metavar="PATH", envvar=CONTROL_VARIABLE)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(command: tuple[str, ...], control: Path | None) -> None:
    """Run COMMAND, a web server say, with the module uwsgi of the instance at the control socket.

    Without --control the socket is that in TRISIG_CONTROL, or that of the only master in the user's run folder.
    """
    os.environ[CONTROL_VARIABLE] = str((_only_one() if control is None else control).absolute())
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).with_name("_shim")), *([before] if before else [])])
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606  no shell
    except OSError as error:
        click.echo(f"trisig.uwsgi: cannot run {command[0]}: {error.strerror}", err=True)
        sys.exit(1)


def _only_one() -> Path:
    sockets = living_sockets()
    if len(sockets) != 1:
        found = "several masters listen" if sockets else "no master listens"
        raise click.UsageError(f"{found} in the run folder: name a socket with --control PATH")
    return sockets[0]


if __name__ == "__main__":
    main()
