"""What the pages of the documentation show is run here, and what the reference lists is what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import trisig

DOCS = Path(__file__).parents[1] / "docs"
NAMED_BLOCK = re.compile(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_A_CLASS = re.compile(r"autoclass:: trisig\.(\w+)\n((?:   .+\n)*)")


def write_files(page: str, directory: Path) -> None:
    """Write each block of the page that begins with the name of a file to that file, as a reader would."""
    for name, text in NAMED_BLOCK.findall((DOCS / page).read_text()):
        (directory / name).write_text(text)


def run(directory: Path, *arguments: str) -> str:
    """Run Python in the directory; what it printed. Its status must be 0."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_tests_of_the_page_on_testing_pass(tmp_path: Path) -> None:
    """The application, its tests and their settings are complete as the page shows them."""
    write_files("testing.md", tmp_path)
    assert "3 passed" in run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider")


def test_a_job_of_the_page_on_uwsgi_is_done(tmp_path: Path) -> None:
    """A worker leaves a job with its data in a directory, and a spooler does it; none is left."""
    write_files("uwsgi.md", tmp_path)
    assert run(tmp_path, "outbox.py") == "spooler1 writes to ann@example.com\n"
    assert not list((tmp_path / "spool").iterdir())


def test_the_reference_lists_every_public_name() -> None:
    """Each name that the package exports has a place in the reference."""
    listed = re.findall(r"(?:auto\w+|py:data):: trisig\.(\w+)$", (DOCS / "reference.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(trisig.__all__)


@pytest.mark.parametrize("name", ["Signals", "EventSource"])
def test_the_reference_lists_every_verb(name: str) -> None:
    """Each method that users call is listed, inherited ones too, and no other."""
    options = dict(OF_A_CLASS.findall((DOCS / "reference.md").read_text()))[name]
    listed = set(re.findall(r"\w+", options.partition(":members:")[2]))
    cls = getattr(trisig, name)
    assert listed == {verb for verb in dir(cls) if not verb.startswith("_") and callable_or_property(cls, verb)}


def callable_or_property(cls: type, name: str) -> bool:
    """Whether it is more than a plain attribute."""
    found = getattr(cls, name)
    return callable(found) or isinstance(found, property)
