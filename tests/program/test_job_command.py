"""Durable jobs with the command: `trisig run --spool`, and what `trisig status` says of them."""

from __future__ import annotations

from pathlib import Path

from program import run, running
from witness import eventually

APPLICATION = """
import trisig
signals = trisig.Signals()

@signals.task("spooler", durable=True)
def mail(to: str) -> None: ...

@signals.service("worker1")
async def send() -> None:
    await mail.configure(delay=3600).send("a@example.org")
"""


async def test_the_status_counts_the_jobs(tmp_path: Path) -> None:
    """Those that wait, run and were given up, and where they are; found again by the next master."""
    with running(tmp_path, APPLICATION, "--spoolers=1", "--spool=jobs"):
        await eventually(lambda: list((tmp_path / "jobs").glob("uwsgi*")))  # a service begins with its process
    assert len(list((tmp_path / "jobs").iterdir())) == 1
    with running(tmp_path, APPLICATION.partition("@signals.service")[0], "--spoolers=1", "--spool=jobs"):
        status = run(tmp_path, "status", "--control", "control").stdout
    assert f"jobs: 1 waiting, 0 running, 0 dead-lettered (in {tmp_path / 'jobs'})" in status.splitlines()


def test_a_durable_task_needs_a_directory(tmp_path: Path) -> None:
    """One line says what to write."""
    (tmp_path / "app.py").write_text(APPLICATION)
    ended = run(tmp_path, "run", "app.py", "--spoolers=1")
    assert ended.returncode in (1, 2)
    [line] = ended.stderr.splitlines()
    assert line.endswith("mail is durable: give its jobs a directory with --spool DIR")
