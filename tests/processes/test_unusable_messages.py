"""What a child does with a push that it cannot use."""

from pathlib import Path

import pytest
from witness import Journal, Trail, logging_to

import trisig
from trisig._ipc.messages import Done, encode


@pytest.mark.parametrize("data", [b'["Nonsense"]', b"\xff", encode(Done())], ids=["unknown", "malformed", "an answer"])
async def test_a_child_logs_a_push_that_it_cannot_use_and_goes_on(data: bytes, tmp_path: Path) -> None:
    """The log names the process and shows what came; handlers run on."""
    signals, journal, trail = trisig.Signals(), Journal(tmp_path), Trail(10)
    signals.register(1, "worker1", trail.mark)
    with logging_to(journal):
        async with trisig.open_master(signals) as master:
            process = master._engine.children.keepers["worker1"]._now
            assert process is not None
            process.pushes._end.send(data)
            await journal.until(1)
            await signals.send(1)
    (line,) = journal.read()
    assert line[:2] == ("worker1", "ERROR")
    assert line[2].startswith("worker1: the master sent what this process cannot use: ")
    assert trail.of("worker1") == b"\1"
    assert master.statistics().processes["worker1"].respawns == 0
