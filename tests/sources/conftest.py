"""What the tests of event sources share: engines, and a way to start a source on them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from source_tools import Recorder, Start, run_on

from trisig._sources import Engines, EventSource, open_engines


@pytest.fixture
def recorder() -> Recorder:
    """Takes the signals."""
    return Recorder()


@pytest.fixture
async def engines() -> AsyncIterator[Engines]:
    """The engines of one master."""
    async with open_engines() as engines:
        yield engines


@pytest.fixture
async def start(engines: Engines, recorder: Recorder) -> AsyncIterator[Start]:
    """Start a source as the master does, returning once it is armed."""
    async with trio.open_nursery() as nursery:

        async def start_source(source: EventSource) -> None:
            await nursery.start(run_on, engines, source, recorder.send)

        yield start_source
        nursery.cancel_scope.cancel()
