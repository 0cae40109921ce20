"""The same programs under a real uWSGI 2.0.31: what trisig is held to is what uWSGI does.

`nox -s uwsgi` installs it. Without a uWSGI these tests are skipped.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from uwsgi_program import TRISIG, decorators, running
from uwsgi_scenarios import SCENARIOS

UWSGI = os.environ.get("TRISIG_TESTS_UWSGI") or shutil.which("uwsgi", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.skipif(UWSGI is None, reason="needs uWSGI: nox -s uwsgi, or TRISIG_TESTS_UWSGI=/path/to/uwsgi")

# What an application sees of its options, and what both say of a configuration.
SHOW = """
import uwsgi
from notes import note
for key in sorted(uwsgi.opt):
    if key.startswith("x-"):
        note(key, uwsgi.opt[key])
uwsgi.post_fork_hook = lambda: note("forked")
"""

OPTIONS = """
[uwsgi]
master = true
x-a = 1 ; kept
x-b = "quoted"
x-c
x-file = %n|%s|%e|%c|%x|%N|%k|%V|%u|%[|%j
x-percent = 50%%
x-unset = %H%y%9|
x-home = $(HOME)|$(NO_SUCH)
x-number = 4
x-product = %(x-number * 2)|%(x-number + 1 * 2)|%(x-number / 0)|%(x-number ++)|%(x-number --)|%(x-number -)
x-odd = %(x-number * 1.5)|%(x-number+1)|%(x-number % 3)|%(nothing)|%(nothing more)
x-twice = first
x-twice = second
x-again = %(x-twice)
x-late = /srv/%(x-later)
x-later = late
x-at = @(content)
set-placeholder = x-placeholder=/srv
set = x-set=/srv
x-placed = %(x-placeholder)|%(x-set)
if-env = HOME
x-if-env = %(_)
endif =
if-not-env = HOME
x-if-not-env = 1
endif =
if-opt = x-number=4
x-if-opt = %(_)
endif =
for = a b
x-for = %(_)
endfor =
for-times = 3
x-times = %(_)
endfor =
if-exists = /nonexistent
x-if-exists = 1
end =
ini = :more
x-end = 1

[more]
x-more = %x
[uwsgi]
x-second = 1
"""


@pytest.mark.parametrize("name", SCENARIOS)
def test_uwsgi_notes_the_same(tmp_path: Path, name: str) -> None:
    """Each note of the scenario, but for those that differ on purpose."""
    scenario = SCENARIOS[name]
    files = {**scenario.files, **({"uwsgidecorators.py": decorators()} if scenario.decorated else {})}
    expected = [note for note in scenario.notes if note not in scenario.in_uwsgi]
    instead = [note for note, _ in scenario.in_uwsgi.values() if note is not None]
    words = ("--die-on-term", "--socket=socket", "--wsgi-file", "app.py", *scenario.words)
    assert UWSGI is not None
    with running(tmp_path, files, *words, command=(UWSGI,)) as program:
        program.wait_for(*expected, *instead)


def test_options_are_what_they_are_in_uwsgi(tmp_path: Path) -> None:
    """One file with all that can be written in it, as the application sees it under both."""
    assert UWSGI is not None
    seen = {}
    for command, more in ((TRISIG, ()), ((UWSGI,), ("--die-on-term", "--socket=socket"))):
        (tmp_path / "notes").unlink(missing_ok=True)
        files = {"app.py": SHOW, "my.site.ini": OPTIONS, "content": "from a file\n"}
        with running(tmp_path, files, "--ini=my.site.ini", "--wsgi-file=app.py", *more, command=command) as program:
            seen[command] = program.wait_for("forked")
    ours, theirs = seen.values()
    assert ours == theirs
    assert len(ours) > 25
