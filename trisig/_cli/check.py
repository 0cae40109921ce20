"""`trisig check`: what `trisig run` would run, and every mistake that can be found without running it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from trisig._api.application import Application
from trisig._api.handler_name import handler_name
from trisig._api.options import CommandOptions, Options
from trisig._api.signals import application_of
from trisig._model.text import describe
from trisig._util.fresh_bytecode import distrust_recent_bytecode

from .cluster import cluster_options
from .config import Config, config_option
from .failures import USAGE, leave, say
from .load import load_or_leave
from .parameters import master_options
from .status_text import table


@click.command()
@click.argument("application")
@config_option
@master_options
@cluster_options
def check(application: str, *, config: Config | None, node: str | None, **options: Any) -> None:
    """Show what APPLICATION would run, and every mistake in it; start nothing.

    The options are those of `trisig run`: targets are looked for among the processes that they ask for.
    """
    del node  # the cluster has it
    distrust_recent_bytecode()
    app = application_of(load_or_leave(application))
    if config is not None:
        config.apply_to(app)
    given: Any = options
    try:
        checked = CommandOptions.given_to("check", given)
        topology = checked.topology
    except (ValueError, TypeError) as error:
        leave(error, USAGE)
    click.echo("\n\n".join("\n".join(part) for part in _parts(app, checked) if part))
    has_spool, has_cluster = checked.spool_path is not None, checked.cluster is not None
    problems = list(app.problems(topology, has_spool=has_spool, has_cluster=has_cluster))
    for problem in dict.fromkeys(map(str, problems)):
        say(problem)
    if problems:
        sys.exit(USAGE)


def _parts(app: Application, options: Options) -> Iterator[Iterable[str]]:
    yield [f"processes: {', '.join(options.topology.names()) or 'none'}"]
    handlers = sorted(app.handlers.items())
    yield table(
        ("signal", "target", "handler", "overlap"),
        [(str(n), one.target.text or "worker", handler_name(one.handler), one.handling.overlap) for n, one in handlers],
        None,
        numbers=range(0),
    )
    yield table(
        ("task", "target", "durable"),
        [(task.name, task.target.text or "worker", "yes" if task.is_durable else "no") for task in app.tasks],
        None,
        numbers=range(0),
    )
    yield [f"source: {describe(source)}" for source in app.sources.values()]
    yield [
        *(f"start function: {handler_name(hook)}, {target.text if target else 'all'}" for target, hook in app.hooks),
        *(f"service: {handler_name(service)}, {target.text}" for target, service in app.services),
        *(f"service: {handler_name(service)}, master" for service in app.master_services),
        *(f"service: {handler_name(service)}, leader" for service in app.leader_services),
    ]
