"""`trisig check`: what would run, and what is wrong."""

from __future__ import annotations

from pathlib import Path

from program import run

APP = """
import trisig
signals = trisig.Signals()

@signals.handler(17, target="workers", overlap="skip")
def hello(signum): ...

@signals.timer(2, target="mule")
def tick(signum): ...

@signals.task("worker")
def resize(path: str): ...

@signals.on_start()
def connect(): print("started")

@signals.service("master")
async def serve(master): ...
"""


def test_it_shows_what_would_run(tmp_path: Path) -> None:
    """Processes, handlers, tasks, sources, start functions and services, with the configuration; nothing starts."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "trisig.toml").write_text("workers = 2\nmules = 1\n[handlers.17]\noverlap = 'one'\n")
    checked = run(tmp_path, "check", "app.py")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.splitlines() == [
        "processes: worker1, worker2, mule1",
        "",
        "signal  target   handler    overlap",
        "0       mule     app.tick   one",
        "17      workers  app.hello  one",
        "",
        "task        target  durable",
        "app.resize  worker  no",
        "",
        "source: timer of signal 0 every 2 s",
        "",
        "start function: app.connect, all",
        "service: app.serve, master",
    ]


def test_it_finds_every_mistake(tmp_path: Path) -> None:
    """One line each, and status 2."""
    wrong = "\n@signals.task('worker3')\ndef far(): ...\n@signals.task('spooler', durable=True)\ndef job(): ...\n"
    (tmp_path / "app.py").write_text(APP + wrong)
    checked = run(tmp_path, "check", "app.py", "--spoolers=1")
    assert checked.returncode == 2
    lines = checked.stderr.splitlines()
    assert len(lines) == 3
    assert "mule" in lines[0]
    assert "worker3" in lines[1]
    assert lines[2] == "trisig: task app.job is durable: give its jobs a directory with spool=DIR"
    assert run(tmp_path, "check", "nothing.py").returncode == 2
