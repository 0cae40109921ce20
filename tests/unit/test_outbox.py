"""The notes of what a process has raised."""

from __future__ import annotations

from trisig._journal.layout import OUTBOX, PAGE
from trisig._journal.outbox import Outbox


def test_signals_in_the_pipe_when_the_notes_are_lost() -> None:
    """After the file was cut short, what is accepted without a note leaves room for what is raised next."""
    outbox = Outbox(memoryview(bytearray(PAGE + OUTBOX)))
    outbox.prepare()
    for signum in (1, 2, 3):
        assert outbox.put(signum)
    outbox.accepted(1)
    outbox.prepare()  # begun anew, with two signals still in the pipe
    outbox.accepted(2)
    assert all(outbox.put(4) for _ in range(OUTBOX))
    assert not outbox.put(4)
    outbox.accepted(OUTBOX)
    assert outbox.put(5)
