"""What tests share: of event sources, engines and a way to start one on them; of clusters, a server and databases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import trio
from cluster_tools import counting, database
from postgres_server import Postgres, server, template
from source_tools import Recorder, Start, engines, run_on

from trisig._cluster.postgres.link import PostgresLink
from trisig._sources import Engines, EventSource
from trisig.postgres import Cluster

__all__ = ["engines", "server", "template"]  # fixtures, besides those below


@pytest.fixture
def recorder() -> Recorder:
    """Takes the signals."""
    return Recorder()


@pytest.fixture
async def start(engines: Engines, recorder: Recorder) -> AsyncIterator[Start]:
    """Start a source as the master does, returning once it is armed."""
    async with trio.open_nursery() as nursery:

        async def start_source(source: EventSource) -> None:
            await nursery.start(run_on, engines, source, recorder.send)

        yield start_source
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """For the names of databases."""
    return counting()


@pytest.fixture
def conninfo(server: Postgres, numbers: Iterator[int]) -> Iterator[str]:
    """Of a database for one test."""
    with database(server, numbers) as conninfo:
        yield conninfo


@pytest.fixture
async def link(conninfo: str) -> AsyncIterator[PostgresLink]:
    """A session of a node `a`, which has joined as `first`."""
    async with Cluster(conninfo, node="a").connect() as link:
        assert isinstance(link, PostgresLink)
        await link.join("first")
        yield link
