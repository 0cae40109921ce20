"""Each step of the tutorial, and each page for a way in, runs as it is shown."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import run_readme
from pages import BUFFERED, DOCS, SERVE, run, write_files
from ports import free_port
from witness import PATIENCE

STEP6 = "step6.py --workers 2 --mules 1 --spoolers 1 --spool spool"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory as the tutorial begins with, and its steps."""
    write_files("tutorial.md", tmp_path)
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "rose.txt").write_text("a rose is a rose\n")
    return tmp_path


@contextmanager
def running(folder: Path, *words: str) -> Iterator[Callable[[], str]]:
    """A program that is stopped by SIGTERM when the block ends, with status 0; its output so far."""
    with (folder / "output").open("w") as output:
        program = subprocess.Popen(words, cwd=folder, env=BUFFERED, stdout=output, stderr=output)
        try:
            yield (folder / "output").read_text
        finally:
            program.terminate()
            program.wait(PATIENCE)
    assert program.returncode == 0, (folder / "output").read_text()


def served(folder: Path, command: str) -> AbstractContextManager[Callable[[], str]]:
    """Run what a page writes behind `trisig run`."""
    return running(folder, sys.executable, *SERVE, *command.split())


def until(look: Callable[[], object]) -> None:
    """Wait for what another program does."""
    give_up = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < give_up, look
        time.sleep(0.02)


def answer(port: int, path: str = "") -> str:
    """What a web server says; nothing while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE) as response:
            return str(response.read().decode())
    except OSError:
        return ""


def at_port(program: Path, shown: int) -> int:
    """Let a program of a page listen elsewhere than it says, since the tests of several trees share a machine."""
    port = free_port()
    text = program.read_text()
    assert str(shown) in text
    program.write_text(text.replace(str(shown), str(port)))
    return port


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """With the command below it; `nox -s readme` does it where nothing but the package is installed."""
    run_readme.main(tmp_path)


def test_the_figures_of_the_readme_are_those_of_the_page_on_performance() -> None:
    """In its rows for a pool of two, and for what else carries work to two processes; rounded to three digits."""
    shown = (DOCS.parent / "README.md").read_text().partition("## Beside others")[2].partition("\n## ")[0]
    told = [int(figure.replace(",", "")) for figure in re.findall(r"^\|[^|]+\| ([\d,]+) ", shown, re.MULTILINE)]
    page = (DOCS / "performance.md").read_text()
    [pool] = re.findall(r"pool of 2 workers, handled +\| thousand/s \| ([\d.,]+) .*?\| ([\d.,]+) ", page)
    others = re.findall(r"^\| (?:multip|Celery).*?\|.*?\|.*?\| ([\d,]+) ", page, re.MULTILINE)
    pool, others = [[float(figure.replace(",", "")) for figure in found] for found in (pool, others)]
    assert told == [float(f"{figure:.3g}") for figure in [*(1000 * figure for figure in pool), *others]]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("step1.py --mules 1", ["mule1 sees ['rose.txt']"]),
        ("step2.py --workers 2", ["worker1 has done it", "worker2 has done it"]),
        ("step3.py --workers 2 --mules 1", ["rose.txt: 5 words"]),
        ("step4.py --workers 2 --mules 1", ["rose.txt: 5 words"]),
    ],
)
def test_the_first_steps_print_what_the_page_shows(folder: Path, command: str, words: list[str]) -> None:
    """With the command that stands above the lines."""
    page = (DOCS / "tutorial.md").read_text()
    assert f"$ trisig run {command}\n" in page
    with served(folder, command) as output:
        until(lambda: all(line in output() for line in words))
    assert all(f"    {line}\n" in page for line in words)


@pytest.mark.parametrize("step", ["step4.py", "step6.py"])
def test_a_text_that_arrives_is_counted(folder: Path, step: str) -> None:
    """The kernel says so; from the fifth step on, the report is written by a job."""
    at_port(folder / "step6.py", 8000)
    with served(folder, STEP6.replace("step6.py", step)) as output:
        until(lambda: "ready" in output())
        (folder / "inbox" / "hamlet.txt").write_text("to be or not to be\n")
        report = folder / "report.txt"
        until(lambda: "hamlet.txt: 6 words" in (report.read_text() if report.exists() else output()))
    until((folder / "inbox" / "hamlet.counted").exists)


def test_the_last_step_answers_a_browser(folder: Path) -> None:
    """The page has what is counted so far."""
    port = at_port(folder / "step6.py", 8000)
    assert f"$ trisig run {STEP6}\n" in (DOCS / "tutorial.md").read_text()
    with served(folder, STEP6):
        until(lambda: "rose.txt: 5 words" in answer(port))


def test_a_trio_program_calls_tasks(tmp_path: Path) -> None:
    """The body runs in the master, and ends with all done."""
    write_files("in-a-trio-application.md", tmp_path)
    assert sorted(run(tmp_path, "service.py").splitlines()) == ["3 done", "a 97", "b 98", "c 99"]


def test_hypercorn_runs_in_each_worker(tmp_path: Path) -> None:
    """A request raises a signal that reaches all of them."""
    write_files("hypercorn.md", tmp_path)
    port = at_port(tmp_path / "page.py", 8000)
    with served(tmp_path, "page.py --workers 2") as output:
        until(lambda: "ready" in output())
        until(lambda: {answer(port) for _ in range(64)} == {f"worker{n} knows 1 prices" for n in (1, 2)})
        answer(port, "forget")
        until(lambda: {answer(port) for _ in range(64)} == {f"worker{n} knows 0 prices" for n in (1, 2)})


def test_a_web_server_beside_raises_signals_and_writes_jobs(tmp_path: Path) -> None:
    """Gunicorn serves what the page shows, and the processes of the master do the work."""
    write_files("beside-a-web-server.md", tmp_path)
    port = free_port()
    instance = "uwsgi --control ./control --import shop --mules 1 --spooler spool"
    # Gunicorn waits half a minute for a worker that was told to leave before it could listen to that.
    gunicorn = f"-m gunicorn --graceful-timeout 1 -b 127.0.0.1:{port} -w 2 shop:application"
    server = f"-m trisig.uwsgi --control ./control {sys.executable} {gunicorn}"
    with running(tmp_path, sys.executable, "-m", "trisig", *instance.split()) as output:
        until(lambda: "ready" in output())
        web = subprocess.Popen([sys.executable, *server.split()], cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            until(lambda: answer(port) == "ordered")
            until(lambda: "mail to ann@example.org" in output() and "mule 1 counts" in output())
        finally:
            web.terminate()
            web.wait(PATIENCE)


def test_what_replaces_celery_beat_is_right(tmp_path: Path) -> None:
    """The application of the page has no mistake, with the options that stand below it."""
    write_files("from-celery-beat.md", tmp_path)
    checked = run(tmp_path, "-m", "trisig", "check", "app.py", *["--mules", "1", "--spoolers", "1", "--spool", "jobs"])
    assert "30 7 * * mon-fri" in checked
    assert "app.mail" in checked


def test_a_poison_signal_is_given_up_and_the_next_one_runs(tmp_path: Path) -> None:
    """The page shows both lines."""
    write_files("poison-signals.md", tmp_path)
    shown = re.findall(r"^    (given up.*|still here)$", (DOCS / "poison-signals.md").read_text(), re.MULTILINE)
    assert sorted(run(tmp_path, "poison.py").splitlines()) == sorted(shown)


def test_breakpoint_in_a_task_has_a_terminal(tmp_path: Path) -> None:
    """The debugger stops in it, shows its argument, and goes on."""
    write_files("debugging.md", tmp_path)
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"p number * 11\ncontinue\n")
        stopped = subprocess.run(
            [sys.executable, "look.py"],
            cwd=tmp_path,
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert re.search(r"app\.py\(\d+\)half\(\)", stopped.stdout)
    assert "99" in stopped.stdout
    assert "half is 4" in stopped.stdout
