"""`py-autoreload`: an application begins anew when its source files change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from uwsgi_program import SECONDS, running

INI = """
[uwsgi]
chdir = site
wsgi-file = app.py
py-autoreload = 1
py-auto-reload-ignore = generated
"""

APP = """
import os, sys, uwsgi
sys.path.append("..")
import generated
from notes import note
from helper import VALUE
if uwsgi.worker_id() or not uwsgi.opt.get("lazy-apps"):
    note("life", VALUE, os.environ.get("UWSGI_RELOADS", "0"))
"""


@pytest.mark.parametrize("words", [[], ["--lazy-apps"]])
def test_a_changed_source_file_begins_anew(tmp_path: Path, words: list[str]) -> None:
    """One that cannot be imported waits to be mended; new files, and modules that are to be ignored, do not count."""
    site = tmp_path / "site"
    site.mkdir()
    files = {"app.ini": INI, "site/app.py": APP, "site/helper.py": "VALUE = 1", "site/generated.py": "A = 1"}
    with running(tmp_path, files, "--ini=app.ini", "--control=control", *words) as program:
        program.wait_for("life 1 0")
        program.until(lambda: "master: ready" in program.log())
        put(site / "generated.py", "A = 2")
        put(site / "new.py", "B = 1")
        program.until(lambda: signals_so_far(tmp_path) > 0)
        put(site / "helper.py", "VALUE = = 2")
        program.until(lambda: program.log().count("master: ready") == 2)
        put(site / "helper.py", "VALUE = 2")
        notes = program.wait_for("life 2 2")
        program.until(lambda: program.log().count("master: ready") == 3)
    assert notes == ["life 1 0", "life 2 2"]
    assert "SyntaxError" in program.log()
    assert program.process.returncode == 0


def put(path: Path, text: str) -> None:
    """Write a file in one step, as a reload may read it at any moment."""
    whole = path.parents[1] / "whole"
    whole.write_text(text)
    whole.replace(path)


def signals_so_far(folder: Path) -> int:
    """How many the instance has accepted; 0 while it does not answer."""
    command = [sys.executable, "-P", "-m", "trisig", "status", "--json", "--control=control"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=SECONDS)
    return int(json.loads(done.stdout)["accepted"]) if not done.returncode else 0
