"""`strict-uwsgi`: what uWSGI does is kept where somebody may rely on it.

What `mule_get_msg` and crons do then is a scenario, which runs beside a real uWSGI too.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_program import running

from trisig._spool.directory import SpoolDirectory
from trisig.uwsgi._runtime.spooler import SpoolerWork

APP = """
import os, uwsgi
from notes import note
def dies(signum):
    note("dies")
    os._exit(1)
uwsgi.register_signal(1, "worker1", dies)
uwsgi.register_signal(2, "worker1", lambda signum: note("next"))
uwsgi.signal(1)
uwsgi.signal(2)
"""


@pytest.mark.parametrize(("words", "runs"), [(["--strict-uwsgi"], 1), ([], 3)])
def test_a_signal_whose_process_dies_is_not_run_again(tmp_path: Path, words: list[str], runs: int) -> None:
    """For handlers that must not run twice; without the option it is tried three times."""
    with running(tmp_path, {"app.py": APP}, *words, "app.py") as program:
        notes = program.wait_for("next")
    assert notes == ["dies"] * runs + ["next"]


def test_a_cron_of_the_options_is_run_at_once(tmp_path: Path) -> None:
    """If it is due in the minute of the start; `cron-harakiri` bounds it."""
    words = ("--strict-uwsgi", "--cron=-1 -1 -1 -1 -1 exec sleep 50", "--cron-harakiri=1", "app.py")
    with running(tmp_path, {"app.py": "import uwsgi"}, *words) as program:
        program.until(lambda: "exec sleep 50: killed after 1 s" in program.log())


def test_a_job_that_fails_is_tried_for_ever(tmp_path: Path) -> None:
    """At each look; without the option it is dead after ten attempts."""
    spool = SpoolDirectory(tmp_path)
    strict, forgiving = (
        SpoolerWork(spool, 30, "", lambda call: call(), lambda: None, 0, gives_up=gives_up).retry
        for gives_up in (False, True)
    )
    assert strict.after_error(1_000_000) == 30
    assert forgiving.after_error(9) is not None
    assert forgiving.after_error(10) is None
