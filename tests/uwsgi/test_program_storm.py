"""A program of `trisig uwsgi` whose workers and spooler are killed, while it raises, spools and tells."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from uwsgi_program import SECONDS, Program, decorators, running

KILLS, APART_S = 16, 0.25
COUNT = 120

APP = f"""
import uwsgi
from uwsgidecorators import spool
from notes import note

@spool
def job(arguments):
    note("job", arguments["id"])

def handle(signum):
    uwsgi.mule_msg("handler %d" % signum, 2)
    note("handled", signum)

for signum in range({COUNT}):
    uwsgi.register_signal(signum, "worker", handle)
"""

SENDER = f"""
import time
import uwsgi
from app import job
from notes import note

for number in range({COUNT}):
    uwsgi.signal(number)
    note("raised", number)
    job.spool(id=str(number))
    note("spooled", number)
    uwsgi.mule_msg("sender %d" % number, 2)
    note("told", number)
    time.sleep({KILLS * APART_S / COUNT})
note("all")
while True:
    time.sleep(1)
"""

LISTENER = """
import uwsgi
from notes import note
while True:
    note("heard", uwsgi.mule_get_msg().decode())
"""


def missing(notes: list[str]) -> set[str]:
    """What was sent, and has not arrived."""
    pairs = [note.split(" ", 1) for note in notes if " " in note]
    seen = {word: {what for one, what in pairs if one == word} for word in ("handled", "job", "heard")}
    sent = {word: {what for one, what in pairs if one == word} for word in ("raised", "spooled", "told")}
    told = {f"sender {what}" for what in sent["told"]} | {f"handler {what}" for what in seen["handled"]}
    return (
        {f"signal {what}" for what in sent["raised"] - seen["handled"]}
        | {f"job {what}" for what in sent["spooled"] - seen["job"]}
        | {f"message of {what}" for what in told - seen["heard"]}
    )


def victims(program: Program) -> list[int]:
    """The newest process of each kind that is killed."""
    found: dict[str, int] = {}
    for name, pid in re.findall(r"\b((?:worker|spooler)\d)(?: |: ready \(pid )(\d+)", program.log()):
        found[name] = int(pid)
    return list(found.values())


@pytest.mark.sweep
def test_a_storm_loses_nothing(tmp_path: Path) -> None:
    """All that was sent arrives; what runs more often than once is at most as much as was killed."""
    files = {"app.py": APP, "sender.py": SENDER, "listener.py": LISTENER, "uwsgidecorators.py": decorators()}
    words = ("--processes=2", "--mule=sender.py", "--mule=listener.py", "--spooler=spool", "--wsgi-file=app.py")
    (tmp_path / "spool").mkdir()
    chosen = random.Random(5)
    with running(tmp_path, files, *words) as program:
        program.until(lambda: "raised 0" in program.notes() and victims(program))
        for _ in range(KILLS):
            with suppress(ProcessLookupError):
                os.kill(chosen.choice(victims(program)), signal.SIGKILL)
            time.sleep(APART_S)
        program.until(lambda: "all" in program.notes() and not missing(program.notes()), f"{missing(program.notes())}")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(SECONDS) == 0
        notes = program.notes()
        log = program.log()
    assert {f"handled {number}" for number in range(COUNT)} <= set(notes)
    times = Counter(note for note in notes if note.startswith(("handled", "job", "heard sender")))
    assert sum(times.values()) - len(times) <= KILLS
    assert all(count == 1 for note, count in times.items() if note.startswith("heard"))
    assert log.count("SIGKILL") >= KILLS // 2
    assert "dead-lettered" not in log
    for arrived, name in ((f"handled {COUNT - 1}", "signal"), ("job 7", "job"), ("heard sender 7", "message")):
        assert any(one.startswith(name) for one in missing([note for note in notes if note != arrived]))
