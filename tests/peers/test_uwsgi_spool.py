"""One directory of jobs, written by a real uWSGI and run here, and the other way round."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from witness import Journal, eventually

import trisig

WRITER = """
import uwsgi, uwsgidecorators

uwsgi.opt["spooler"] = b"elsewhere"  # the decorators do not look for an external one

@uwsgidecorators.spool
def note(arguments):
    pass

def application(environ, start_response):
    pass

note.spool(word=b"from its decorator", count=b"7")
uwsgi.spool({b"ud_spool_func": b"note", b"word": b"with a body", b"body": b"B" * 100000})
uwsgi.spool({b"ud_spool_func": b"note", b"word": b"urgent", b"priority": b"3"})
uwsgi.spool({b"ud_spool_func": b"note", b"word": b"later", b"at": b"%d" % AT})
uwsgi.spool({b"ud_spool_func": b"note", b"word": b"much later", b"at": b"4000000000"})
uwsgi.spool({b"a": b"not for trisig"})
"""
READER = """
import json, os, uwsgi

def run(job):
    seen = {key if isinstance(key, str) else key.decode(): value.decode("latin-1") for key, value in job.items()}
    fd = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, json.dumps(seen).encode() + b"\\n")
    os.close(fd)
    return uwsgi.SPOOL_OK

uwsgi.spooler = run

def application(environ, start_response):
    pass
"""


def uwsgi_program() -> str:
    """Where uWSGI is: beside the interpreter, or on the path; without it, the tests are skipped."""
    beside = Path(sys.executable).with_name("uwsgi")
    found = os.environ.get("TRISIG_UWSGI") or (str(beside) if beside.exists() else shutil.which("uwsgi"))
    if found is None:
        pytest.skip("uWSGI is not installed; `nox -s uwsgi` builds it")
    return found


@contextmanager
def uwsgi(folder: Path, application: str, kind: str, spool: Path) -> Iterator[Path]:
    """Run uWSGI with an application and a spooler, of its own or `external`; gives the path of its log."""
    script, log = folder / "application.py", folder / "log"
    script.write_text(application)
    option = {"own": "--spooler", "external": "--spooler-external"}[kind]
    options = [
        "--master",
        "--die-on-term",
        "--processes=1",
        "--http-socket=127.0.0.1:0",
        "--spooler-frequency=1",
        f"{option}={spool}",
        f"--wsgi-file={script}",
        f"--logto={log}",
    ]
    null = subprocess.DEVNULL
    with subprocess.Popen(
        [uwsgi_program(), *options], stdin=null, stdout=null, stderr=null, cwd=folder, start_new_session=True
    ) as process:
        try:
            yield log
        finally:
            if kind == "external":  # SIGTERM makes it wait for that spooler
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.terminate()


def jobs(spool: Path) -> list[Path]:
    """The jobs in a spool, those in directories of priorities too."""
    return [path for path in spool.rglob("uwsgi_spoolfile_on_*") if path.parent.name != "dead"]


async def test_what_uwsgi_writes_is_run_here(tmp_path: Path) -> None:
    """At once or when it is due: pairs are arguments, and the body is one too; what is for no task is given up."""
    journal, signals, spool, at = Journal(tmp_path), trisig.Signals(), tmp_path / "spool", int(time.time()) + 3

    @signals.task("spooler", durable=True)
    def note(word: str, count: int = 0, body: bytes = b"") -> None:
        journal.note(word, count, len(body), time.time())

    spool.mkdir()
    with uwsgi(tmp_path, f"AT = {at}\n{WRITER}", "external", spool):
        await eventually(lambda: len(jobs(spool)) == 6)
    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool):
        notes = sorted(note[1:] for note in await journal.until(4))
        await eventually(lambda: len(jobs(spool)) == 1)
    assert [note[:3] for note in notes] == [
        ("from its decorator", 7, 0),
        ("later", 0, 0),
        ("urgent", 0, 0),
        ("with a body", 0, 100_000),
    ]
    assert at <= notes[1][3] < at + 0.5
    [reason] = (spool / "dead").glob(".reason_*")
    assert reason.read_text().startswith("no task: ")


async def test_what_is_written_here_uwsgi_runs(tmp_path: Path) -> None:
    """With the name of the task and the arguments, and when it is due; what was given up stays where it is."""
    signals, spool, notes = trisig.Signals(), tmp_path / "spool", tmp_path / "notes"

    @signals.task("spooler", durable=True)
    def mail(to: str) -> None: ...

    @signals.task("spooler", durable=True)
    def fail() -> None:
        raise ValueError

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool):
        await fail.send()
        await eventually(lambda: list((spool / "dead").glob("uwsgi*")))
        await mail.configure(delay=1).send("a@example.org")
        await mail.configure(delay=3600).send("nobody")
    with uwsgi(tmp_path, f"NOTES = {str(notes)!r}\n" + READER, "own", spool):
        await eventually(notes.exists)
        await eventually(lambda: len(jobs(spool)) == 1)
    [seen] = [json.loads(line) for line in notes.read_text().splitlines()]
    assert seen["trisig_task"] == f"{__name__}.test_what_is_written_here_uwsgi_runs.<locals>.mail"
    assert seen["body"].encode("latin-1") == b"\x91\xada@example.org"
    assert list((spool / "dead").glob("uwsgi*"))


async def test_both_run_the_jobs_of_one_directory(tmp_path: Path) -> None:
    """Each job is run once, by one of the two: they respect each other's locks."""
    signals, spool, notes, ran = trisig.Signals(), tmp_path / "spool", tmp_path / "notes", Journal(tmp_path)

    @signals.task("spooler", durable=True)
    def note(number: int) -> None:
        time.sleep(0.005)
        ran.note(number)

    async with trisig.open_master(signals, workers=0, spoolers=2, spool=spool):
        for number in range(50):
            await note.configure(delay=1.5).send(number)
        with uwsgi(tmp_path, f"NOTES = {str(notes)!r}\nimport time\n" + READER, "own", spool):
            await eventually(lambda: not jobs(spool))
    here = [number for _, number in ran.read()]
    there = [json.loads(line)["body"] for line in notes.read_text().splitlines()] if notes.exists() else []
    assert sorted(here + [ord(body[1]) for body in there]) == list(range(50))
