"""What the pages of the documentation show is run here, and what the reference lists is what there is."""

import ast
import itertools
import re
import sqlite3
import textwrap
from contextlib import closing
from pathlib import Path

import pytest
from pages import DOCS, SERVE, raise_signals, run, run_until, write_files

import trisig
from trisig._cli.run import run as run_command

TESTS = Path(__file__).parents[1]
OF_A_CLASS = re.compile(r"autoclass:: trisig\.(\w+)\n((?:   .+\n)*)")


def test_the_tests_of_the_page_on_testing_pass(tmp_path: Path) -> None:
    """The application, its tests and their settings are complete as the page shows them."""
    write_files("testing.md", tmp_path)
    # A pytest that shares our folder of temporary files would remove those of earlier runs before it ends.
    assert "4 passed" in run(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp=files")


def test_the_first_application_of_the_quickstart_runs(tmp_path: Path) -> None:
    """With the options that the page gives, a tick in the mule reaches both workers."""
    write_files("quickstart.md", tmp_path)
    written = run_until(tmp_path, "got signal 17", *SERVE, "app.py", "--workers", "2", "--mules", "1")
    assert "worker1 got signal 17\n" in written
    assert "worker2 got signal 17\n" in written


def test_sigterm_ends_a_program_of_its_own_in_order(tmp_path: Path) -> None:
    """A program that cancels at SIGTERM delivers what it has raised, and ends with status 0."""
    write_files("in-a-trio-application.md", tmp_path)
    written = run_until(tmp_path, "ready", "own.py")
    assert sorted(written.splitlines()) == ["ready", "worker1 got signal 17", "worker2 got signal 17"]


def test_the_first_application_of_the_page_on_events_runs(tmp_path: Path) -> None:
    """The processes that its targets name are those of the command below it."""
    write_files("events.md", tmp_path)
    run_until(tmp_path, "ready", *SERVE, "app.py", "--mules", "1", "--spoolers", "1")


def test_results_are_written_line_by_line(tmp_path: Path) -> None:
    """What handlers wrote to a file that their process opened is there after an orderly end, all of it."""
    write_files("quickstart.md", tmp_path)
    raise_signals(tmp_path, "results", *[1] * 100)
    assert sum(path.read_text().count("a result\n") for path in tmp_path.glob("worker*.txt")) == 100


def test_threads_that_a_start_function_starts_run(tmp_path: Path) -> None:
    """An executor made in each child does its jobs."""
    write_files("quickstart.md", tmp_path)
    assert raise_signals(tmp_path, "pictures", 1) == ["resized"] * 2


def test_a_thread_local_set_in_a_start_function_is_there_in_handlers(tmp_path: Path) -> None:
    """A start function and the handlers after it run in the same thread."""
    write_files("targets.md", tmp_path)
    assert raise_signals(tmp_path, "greeting", 1, 1) == ["Guten Tag"] * 2


def test_a_signal_raised_after_a_commit_tells_every_worker(tmp_path: Path) -> None:
    """The process that commits raises the signal, and every worker reads the row."""
    write_files("files.md", tmp_path)
    assert sorted(raise_signals(tmp_path, "prices", 31)) == [f"worker{n} ('tea', 250)" for n in (1, 2)]


@pytest.mark.parametrize("program", ["pictures_tasks.py", "sums.py", "mails.py", "account.py"])
def test_the_programs_of_the_page_on_tasks_print_what_it_says(program: str, tmp_path: Path) -> None:
    """Each prints the lines below it."""
    write_files("tasks.md", tmp_path)
    page = (DOCS / "tasks.md").read_text()
    shown = page.partition(f"# {program}\n")[2].partition("It prints:\n\n")[2].partition("\n\n")[0]
    assert run(tmp_path, program).splitlines() == textwrap.dedent(shown).splitlines()


def test_every_process_logs_to_the_file(tmp_path: Path) -> None:
    """The master's line comes by way of its thread, the workers' own directly; each is there once."""
    write_files("command-line.md", tmp_path)
    run(tmp_path, "logged.py")
    expected = ("the workers are ready", "worker1 is at work", "worker2 is at work")
    assert sorted((tmp_path / "app.log").read_text().splitlines()) == sorted(f"INFO:root:{line}" for line in expected)


def test_a_job_of_the_page_on_uwsgi_is_done(tmp_path: Path) -> None:
    """The spooler does it."""
    write_files("uwsgi.md", tmp_path)
    assert run(tmp_path, "outbox.py") == "spooler1 writes to ann@example.com\n"
    assert not [path for path in (tmp_path / "spool").iterdir() if path.name.startswith("uwsgi")]


def test_a_job_of_the_page_on_tasks_waits_for_the_next_master(tmp_path: Path) -> None:
    """The one for Bob is there when the program has ended."""
    write_files("tasks.md", tmp_path)
    run(tmp_path, "mails.py")
    [job] = (tmp_path / "spool" / "3").iterdir()
    assert b"bob@example.org" in job.read_bytes()


def test_the_outbox_is_served_by_the_command_too(tmp_path: Path) -> None:
    """Importing it opens no master of its own: nothing is written."""
    write_files("uwsgi.md", tmp_path)
    assert "writes to" not in run_until(tmp_path, "ready", *SERVE, "outbox.py", "--spoolers", "1", "--spool", "spool")
    assert not list((tmp_path / "spool").iterdir())


def test_workers_write_to_a_database_that_the_master_has_closed(tmp_path: Path) -> None:
    """Each worker adds its row through a connection of its own."""
    write_files("uwsgi.md", tmp_path)
    run(tmp_path, "stock.py")
    with closing(sqlite3.connect(tmp_path / "stock.db")) as db:
        assert sorted(db.execute("select name from seen")) == [("worker1",), ("worker2",)]


def test_a_lock_keeps_workers_apart(tmp_path: Path) -> None:
    """No worker begins before the one that has begun has ended."""
    write_files("locks.md", tmp_path)
    words = " ".join(raise_signals(tmp_path, "invoices", 1, 1)).split()
    begun, ended = words[0::4], words[2::4]
    assert (begun, words[1::4], words[3::4]) == (ended, ["begins"] * 4, ["ends"] * 4)


def test_the_tests_that_the_page_on_reliability_names_exist() -> None:
    """Each is in the file that its row names, or in the one that the page names for all other rows."""
    page = (DOCS / "reliability.md").read_text()
    [usual] = re.findall(r"Tests are in `tests/faults/(\w+\.py)`", page)
    named = re.findall(r"`(?:(test_\w+\.py)(?:::)?)?(test_\w+)?`", page)
    assert len(named) > 43
    missing = [(file, test) for file, test in named if not is_there(file or usual, test)]
    assert not missing


def is_there(file: str, test: str) -> bool:
    """Whether one of the folders of tests has the file, and the file the test."""
    return any(f"def {test}(" in path.read_text() or not test for path in TESTS.glob(f"*/{file}"))


def test_the_page_on_the_command_line_lists_every_option_of_run() -> None:
    """In the order of `--help`, which has no others but itself."""
    rows = re.findall(r"^\| `(--[\w-]+)", (DOCS / "command-line.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(option.opts[0] for option in run_command.params if option.name != "application")


def test_the_files_that_the_page_on_architecture_names_exist() -> None:
    """Each is in the package, and the folders in its table are all there are."""
    page = (DOCS / "architecture.md").read_text()
    package = Path(trisig.__file__).parent
    named = set(re.findall(r"`(_\w+(?:/\w+)*\.py)`", page))
    assert len(named) > 20
    assert not [name for name in named if not (package / name).is_file()]
    folders = {path.parent.name for path in package.glob("_*/__init__.py")}
    assert set(re.findall(r"^\| `(_\w+)` \|", page, re.MULTILINE)) == folders


def test_the_page_on_watching_lists_every_method_of_an_instrument() -> None:
    """Each has a row, and no row is about another one."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", (DOCS / "watching.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"\w+", row)}
    assert listed == {name for name in vars(trisig.Instrument) if not name.startswith("_")}


def test_the_instrument_of_the_page_on_watching_counts(tmp_path: Path) -> None:
    """Each line counts both workers, and no less than the line before."""
    write_files("watching.md", tmp_path)
    lines = [ast.literal_eval(line) for line in run(tmp_path, "counting.py").splitlines()]
    assert len(lines) == 3
    assert lines[-1].keys() == {"worker1", "worker2"}
    assert all(before[name] <= after[name] for before, after in itertools.pairwise(lines) for name in before)


def test_the_reference_lists_every_public_name() -> None:
    """Each name that the package exports has a place in the reference."""
    listed = re.findall(r"(?:auto\w+|py:data):: trisig\.(\w+)$", (DOCS / "reference.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(trisig.__all__)


@pytest.mark.parametrize("name", ["Signals", "EventSource", "Lock", "Master"])
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


def test_the_links_of_the_pages_beside_the_documentation_lead_somewhere() -> None:
    """Sphinx checks the documentation's own; these are files of the repository, and headings in them."""
    for page in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md"):
        text = (DOCS.parent / page).read_text()
        for path, anchor in re.findall(r"\]\((?!https?:)([\w./-]*)(?:#([\w-]+))?\)", text):
            target = DOCS.parent / (path or page)
            assert target.is_file(), (page, path)
            assert not anchor or anchor in headings(target.read_text()), (page, path, anchor)


def headings(text: str) -> set[str]:
    """The anchors that a page has."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
