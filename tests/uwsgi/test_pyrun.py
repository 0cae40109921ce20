"""A script that runs in place of the requests: `pyrun`."""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_config import plan_of
from uwsgi_program import SECONDS, running

APP = """
import os, uwsgi
from notes import note
note("imported")
def work(signum):
    note("mule", uwsgi.mule_id())
    uwsgi.signal(2)
uwsgi.register_signal(1, "mule1", work)
uwsgi.register_signal(2, "worker1", lambda signum: note("worker", uwsgi.worker_id()))
"""

SCRIPT = """
import sys, uwsgi
from notes import note
note("script", __name__, sys.argv, uwsgi.worker_id(), uwsgi.numproc)
uwsgi.signal(1)
uwsgi.signal_wait()
note("received", uwsgi.signal_received())
"""


def test_a_script_runs_in_worker_1_and_the_instance_ends_with_it(tmp_path: Path) -> None:
    """With its arguments and its status; its own signals are handled while it waits for one."""
    files = {"app.py": APP, "run.py": f"{SCRIPT}sys.exit(3)"}
    words = ("--wsgi-file=app.py", "--pyrun=run.py", "--pyargv=a b", "-p3", "--mule", "--master")
    with running(tmp_path, files, *words) as program:
        assert program.process.wait(SECONDS) == 3
        notes = program.notes()
    assert notes == ["imported", "script __main__ ['run.py', 'a', 'b'] 1 1", "mule 1", "worker 1", "received 2"]


@pytest.mark.parametrize(
    ("script", "status", "text"),
    [
        ("pass", 0, ""),
        ("raise SystemExit", 0, ""),
        ("import sys; sys.exit('no database')", 1, "run.py: no database"),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
)
def test_the_status_is_that_of_the_script(tmp_path: Path, script: str, status: int, text: str) -> None:
    """As Python ends with it; a failure has its traceback in the log."""
    with running(tmp_path, {"run.py": script}, "--pyrun=run.py") as program:
        assert program.process.wait(SECONDS) == status
    assert text in program.log()
    assert ("Traceback" in program.log()) == (text == "ZeroDivisionError")


def test_a_script_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """With the reason."""
    with running(tmp_path, {}, "--pyrun=absent.py") as program:
        assert program.process.wait(SECONDS) == 1
    assert "cannot read absent.py: No such file or directory" in program.log()
    assert "Traceback" not in program.log()


def test_a_stop_ends_the_script(tmp_path: Path) -> None:
    """In order, with status 0; what it has left to do is not done."""
    script = "from notes import note; import time\nnote('begun')\nwhile True: time.sleep(0.05)"
    with running(tmp_path, {"run.py": script}, "--pyrun=run.py") as program:
        program.wait_for("begun")
        program.process.terminate()
        assert program.process.wait(SECONDS) == 0


def test_check_shows_the_script() -> None:
    """And the only worker."""
    assert {"workers: 1", "worker 1 runs run.py, and the instance ends with it"} <= set(
        plan_of("--py=run.py", "-p4", "--cheaper=2").lines()
    )
