"""Jobs of uWSGI's spooler: written by `uwsgi.spool` and the decorators, run by the spoolers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from uwsgi_program import decorators, running

APP = """
import os, time, uwsgi
from notes import note
from uwsgidecorators import spool, spoolforever, spoolraw
@spool
def plain(task):
    note("plain", task["to"], task["body"], task["spooler_task_name"].startswith("uwsgi_spoolfile_on_"),
         os.path.basename(os.getcwd()), bool(uwsgi.i_am_the_spooler()))
@spool(pass_arguments=True)
def passed(number, *, word):
    note("passed", number, word)
@spoolraw
def raw(task):
    note("raw", task["n"])
    return uwsgi.SPOOL_OK if task["n"] == "1" else uwsgi.SPOOL_RETRY
@spool
def fails(task):
    note("fails")
    raise RuntimeError("this job")
dispatch = uwsgi.spooler
def chained(task):
    if b"mine" in task:
        note("mine", sorted((str(key), value) for key, value in task.items() if "name" not in str(key)))
        return uwsgi.SPOOL_OK
    return dispatch(task)
uwsgi.spooler = chained
"""

MULE = """
import os, time, uwsgi
import uwsgi_file_app as app
from notes import note
app.plain.spool(to="ann", body=b"hello")
app.plain(to="later", at=str(time.time() - 5).encode(), body="past")
app.passed.spool(7, word="x")
app.raw.spool(n="1")
app.fails.spool()
path = uwsgi.spool({b"mine": b"1", "text": "2"}, at=int(time.time()) + 1, priority=3)
note("path", type(path).__name__, os.path.basename(os.path.dirname(path)), uwsgi.parsefile(path)[b"text"])
note("jobs", path in uwsgi.spooler_jobs(), uwsgi.spooler_get_task(path.decode())[b"mine"], len(uwsgi.spoolers))
for wrong in ({"x": 1}, {"x": None}):
    try:
        uwsgi.spool(wrong)
    except ValueError as error:
        note("wrong", error)
while True:
    uwsgi.signal_wait()
"""


MANY = """
import os, uwsgi
from notes import note
def run(task):
    note("ran", os.getpid())
    return uwsgi.SPOOL_OK
uwsgi.spooler = run
for _ in range(5):
    uwsgi.spool({"a": "b"})
"""


def test_jobs_run_in_the_spooler(tmp_path: Path) -> None:
    """With uWSGI's keys, in the spool as working directory; numbers are taken for `at` and `priority`, and on time."""
    files = {"app.py": APP, "mule.py": MULE, "uwsgidecorators.py": decorators()}
    with running(tmp_path, files, "--spooler=jobs", "--mule=mule.py", "--wsgi-file=app.py") as program:
        program.wait_for(
            "plain ann hello True jobs True",
            "plain later past True jobs True",
            "passed 7 x",
            "raw 1",
            "fails",
            "path bytes b'3' b'2'",
            "jobs True b'1' 1",
            "wrong spooler callable dictionary must contains only bytes",
        )
        program.until(lambda: any(note.startswith("mine [") for note in program.notes()))
        program.until(lambda: "it has raised RuntimeError: this job" in program.log())
    left = list((tmp_path / "jobs").glob("uwsgi_spoolfile_on_*"))
    assert len(left) == 1  # the one that fails is tried again later


def test_a_spooler_is_replaced_after_so_many_jobs(tmp_path: Path) -> None:
    """`spooler-max-tasks`: each process runs that many, and each job runs once."""
    with running(tmp_path, {"app.py": MANY}, "-p0", "--spooler=jobs", "--spooler-max-tasks=2", "app.py") as program:
        program.until(lambda: len(program.notes()) == 5)
        program.until(lambda: not list((tmp_path / "jobs").glob("uwsgi_spoolfile_on_*")))
    assert sorted(Counter(program.notes()).values()) == [1, 2, 2]


def test_jobs_for_another_instance_stay_where_they_are(tmp_path: Path) -> None:
    """`spooler-external`: they are written, and this instance has no spooler."""
    with running(tmp_path, {"app.py": MANY}, "-p0", "--spooler-external=jobs", "app.py") as program:
        program.until(lambda: "master: ready" in program.log())
    assert len(list((tmp_path / "jobs").glob("uwsgi_spoolfile_on_*"))) == 5
    assert not program.notes()
    assert "spooler" not in program.log()
