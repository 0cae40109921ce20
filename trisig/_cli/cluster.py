"""The cluster on the command line: `--cluster` and `--node` of `trisig run`, `trisig nodes`, `trisig cluster init`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import trio
from click.core import ParameterSource

from trisig._model.errors import ClusterError

from .failures import FAILURE, USAGE, leave, say
from .operate import asked_master, control_option
from .status_text import nodes_text

if TYPE_CHECKING:
    from trisig.postgres import Cluster

F = TypeVar("F", bound=Callable[..., Any])
CLUSTER_VARIABLE = "TRISIG_CLUSTER"


def cluster_options(command: F) -> F:
    """Give a command the options that make a master a node of a cluster; the value of `cluster` is its engine."""
    command = click.option(
        "--cluster",
        metavar="CONNINFO",
        envvar=CLUSTER_VARIABLE,
        callback=_read_cluster,
        help="Be a node of the cluster in this PostgreSQL database.",
    )(command)
    return click.option(
        "--node",
        metavar="NAME",
        is_eager=True,  # the cluster is made with it
        help="The name of this node, the same after a restart.  [default: that of the host]",
    )(command)


def _read_cluster(context: click.Context, parameter: click.Parameter, conninfo: str | None) -> Cluster | None:
    node: str | None = context.params.get("node")
    if conninfo is not None:
        return _engine(_without_password(context, parameter, conninfo), node)
    if node is not None:
        raise click.UsageError("--node names a node of a cluster: write --cluster, too")
    return None


def _without_password(context: click.Context, parameter: click.Parameter, conninfo: str) -> str:
    """Everybody on the machine can read a command line, and the processes of a master have that of the command."""
    written_there = context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    if written_there and _engine(conninfo, "any").has_password:
        raise click.UsageError(
            "a command line is no place for a password, as everybody on this machine can read it: "
            f"set {CLUSTER_VARIABLE}, PGPASSWORD or PGPASSFILE"
        )
    return conninfo


def _engine(conninfo: str, node: str | None) -> Cluster:
    try:
        from trisig.postgres import Cluster  # noqa: PLC0415  an extra

        return Cluster(conninfo, node=node)
    except (ImportError, ValueError) as error:
        leave(error, USAGE)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@control_option
def nodes(control: Path, *, as_json: bool) -> None:
    """Show the nodes of the cluster, as the master saw them last."""
    with asked_master(control) as master:
        status: Any = master.ask("status")
    found = status["cluster"]
    if found is None:
        say("this master is not a node of a cluster: start it with --cluster")
        sys.exit(FAILURE)
    if as_json:
        click.echo(json.dumps(found["nodes"], indent=2))
        return
    click.echo("\n".join(nodes_text(found, time.time())))
    if found["state"] == "away":
        say(f"the database is away: {found['error']}")


@click.group()
def cluster() -> None:
    """Prepare the database of a cluster."""


@cluster.command()
@click.argument("conninfo", envvar=CLUSTER_VARIABLE, required=False, default="", callback=_without_password)
@click.option("--grant", "role", metavar="ROLE", help="Let this role be a node.")
@click.option("--print", "only_print", is_flag=True, help="Show the SQL, and do nothing.")
def init(conninfo: str, *, role: str | None, only_print: bool) -> None:
    """Make the tables of a cluster, or bring them to the version of this trisig.

    CONNINFO is that of the database, by a role that may make a schema. A node makes the tables itself if its role may.
    """
    engine = _engine(conninfo, "init")
    if only_print:
        click.echo(engine.init_script(role), nl=False)
        return
    try:
        click.echo(trio.run(engine.init, role))
    except ClusterError as error:
        leave(error, FAILURE)
