"""Programs that were written for uWSGI, under `trisig uwsgi`: identities, signals, decorators."""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_program import decorators, running
from uwsgi_scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_program_notes_what_it_notes_under_uwsgi(tmp_path: Path, name: str) -> None:
    """Unmodified, with uWSGI's options."""
    scenario = SCENARIOS[name]
    files = {**scenario.files, **({"uwsgidecorators.py": decorators()} if scenario.decorated else {})}
    with running(tmp_path, files, "--wsgi-file", "app.py", *scenario.words, *scenario.own_words) as program:
        notes = program.wait_for(*scenario.notes)
    assert program.process.returncode == 0
    first = {note.split()[0] for note in scenario.notes if not note.startswith(("waited", "locked"))}
    unexpected = {note for note in notes if note not in scenario.notes and note.split()[0] in first}
    assert unexpected == set()
