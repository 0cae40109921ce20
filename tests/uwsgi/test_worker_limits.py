"""Workers of `trisig uwsgi` that are replaced because they are old or have grown."""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_program import Program, running

APP = """
import mmap, os, time, uwsgi
from notes import note
kept = []
def slow(signum):
    note("slow", os.getpid())
    while not os.path.exists("go"):
        time.sleep(0.01)
    note("slept", os.getpid())
def quick(signum):
    note("quick", os.getpid())
def grow(signum):
    kept.append(b"x" * (200 * 2**20))
    note("grown", uwsgi.worker_id(), os.getpid())
def look(signum):
    note("look", os.getpid())
uwsgi.register_signal(1, "worker1", slow)
uwsgi.register_signal(2, "worker1", quick)
uwsgi.register_signal(3, "worker1", grow)
uwsgi.register_signal(4, "mule2", grow)
uwsgi.register_signal(5, "worker1", look)
"""

RESERVING = APP.replace('b"x" * (200 * 2**20)', "mmap.mmap(-1, 2**30, prot=mmap.PROT_READ)")

OLD = """
import os, time, uwsgi
from notes import note
note("mule", os.getpid())
uwsgi.signal(1)
while "replacing it" not in open("log").read():
    time.sleep(0.01)
uwsgi.signal(2)
note("raised")
open("go", "w").close()
while True:
    time.sleep(0.1)
"""

GROWN = """
import os, time, uwsgi
from notes import note
note("mule", os.getpid())
uwsgi.signal(4)
uwsgi.signal(3)
while True:
    time.sleep(0.2)
    if "grown" in open("notes").read():
        uwsgi.signal(5)
"""


def pids(program: Program, word: str) -> list[int]:
    """The processes that have noted a word, one for each time."""
    return [int(note.split()[-1]) for note in program.notes() if note.split()[0] == word]


def test_an_old_worker_ends_what_it_runs_and_loses_nothing(tmp_path: Path) -> None:
    """What waits goes to its successor; the program of a mule, which never returns, goes on, and spoolers stay."""
    words = ["--max-worker-lifetime=1", "--min-worker-lifetime=0", "--mule=mule.py", "--spooler=spool", "app.py"]
    (tmp_path / "spool").mkdir()
    with running(tmp_path, {"app.py": APP, "mule.py": OLD}, *words) as program:
        program.until(lambda: pids(program, "quick"), "no successor")
        program.until(lambda: program.log().count("replacing it") >= 2, "only one life")
        slow, slept, quick = (pids(program, word) for word in ("slow", "slept", "quick"))
        assert len(slow) == len(quick) == len(pids(program, "mule")) == 1
        assert slow == slept != quick
        log = program.log()
    assert "worker1: is 1" in log
    assert "s old; replacing it when its handlers have ended" in log
    assert not any(f"{name}: is " in log for name in ("mule1", "spooler1"))


@pytest.mark.parametrize("option", ["reload-on-rss", "evil-reload-on-rss"])
def test_a_worker_that_has_grown_is_replaced(tmp_path: Path, option: str) -> None:
    """When the handler has ended, without another signal; a mule that has grown as much stays."""
    words = [f"--{option}=180", "--min-worker-lifetime=0", "--mule=mule.py", "--mule", "app.py"]
    with running(tmp_path, {"app.py": APP, "mule.py": GROWN}, *words) as program:
        program.until(lambda: set(pids(program, "look")) - set(pids(program, "grown")), "no successor")
        assert len(pids(program, "mule")) == 1
        program.until(lambda: len(pids(program, "grown")) == 2)
        log = program.log()
    assert "MiB of memory resident; replacing it when its handlers have ended" in log
    assert "mule2: has" not in log


@pytest.mark.parametrize("option", ["reload-on-as", "evil-reload-on-as"])
def test_a_worker_whose_address_space_has_grown_is_replaced(tmp_path: Path, option: str) -> None:
    """Though nothing of what it has reserved is resident."""
    words = [f"--{option}=900", "--reload-on-rss=900", "--min-worker-lifetime=0", "--mule=mule.py", "--mule", "app.py"]
    with running(tmp_path, {"app.py": RESERVING, "mule.py": GROWN}, *words) as program:
        program.until(lambda: set(pids(program, "look")) - set(pids(program, "grown")), "no successor")
        program.until(lambda: len(pids(program, "grown")) == 2)
        log = program.log()
    assert "has an address space of " in log
    assert log.count("replacing it when its handlers have ended") == 1
    assert "mule2: has" not in log


def test_a_young_worker_may_be_large(tmp_path: Path) -> None:
    """Before `min-worker-lifetime` its memory does not count."""
    words = [
        "--reload-on-rss=180",
        "--reload-on-as=1",
        "--min-worker-lifetime=3600",
        "--mule=mule.py",
        "--mule",
        "app.py",
    ]
    with running(tmp_path, {"app.py": APP, "mule.py": GROWN}, *words) as program:
        program.until(lambda: len(pids(program, "look")) >= 6)
        assert set(pids(program, "look")) <= set(pids(program, "grown"))
        assert "replacing it" not in program.log()
