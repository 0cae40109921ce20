"""`trisig.toml` and `[tool.trisig]`, and where the other commands find the master."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from program import SECONDS, TRISIG, read_until, run

APP = """
import trisig
signals = trisig.Signals()

@signals.timer(3600, target="worker", signum=3)
def tick(signum): ...

@signals.cron("0 3 * * *", target="worker", signum=4)
def night(signum): ...

@signals.handler(17, target="workers")
def work(signum): ...
"""

CONFIG = """
application = "app"
workers = 2
mules = 2
handler-timeout = 30
farms = { busy = [1, 2] }

[handlers.17]
overlap = "skip"
retry = { first = 1, longest = 60, attempts = 5 }

[sources.3]
seconds = 7200
catch-up = "none"

[sources."cron of signal 4 at 0 3 * * *"]
when = "30 4 * * *"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An application with a configuration, in a user's own run folder."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "trisig.toml").write_text(CONFIG)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    """A run folder of the test's own."""
    return {**os.environ, "XDG_RUNTIME_DIR": str(folder)}


@contextmanager
def master(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A master that is ready, stopped at the end."""
    command = [*TRISIG, "run", *words]
    with subprocess.Popen(command, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True) as app:
        try:
            read_until(app, "master: ready")
            yield app
        finally:
            app.terminate()
            assert app.wait(SECONDS) == 0


def asked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What a command answers."""
    return run(folder, *words, **environment(folder))


def test_options_handlers_and_sources_come_from_the_file(folder: Path) -> None:
    """The command needs no argument then; what the file says of handlers and sources replaces what the code says."""
    with master(folder):
        status = json.loads(asked(folder, "status", "--json").stdout)
    assert [*status["processes"]] == ["worker1", "worker2", "mule1", "mule2"]
    names = [source["source"] for source in status["sources"]]
    assert names == ["timer of signal 3 every 7200 s", "cron of signal 4 at 30 4 * * *"]
    assert status["sources"][0]["settings"]["catch_up"] == "none"
    assert status["sources"][1]["settings"]["when"] == ["30 4 * * *"]
    assert status["signals"]["17"]["overlap"] == "skip"
    assert status["signals"]["17"]["retry"] == {"first": 1, "longest": 60, "attempts": 5, "jitter": 0.0}


def test_the_command_line_wins(folder: Path) -> None:
    """So do `--config` over the current directory, and trisig.toml over pyproject.toml, which a file may replace."""
    (folder / "other.toml").write_text('application = "app"\nworkers = 3\n')
    (folder / "pyproject.toml").write_text('[tool.trisig]\napplication = "app"\nworkers = 4\n')
    with master(folder, "--workers=1"):
        assert len(json.loads(asked(folder, "status", "--json").stdout)["processes"]) == 3
    with master(folder, "--config=other.toml"):
        assert len(json.loads(asked(folder, "status", "--json").stdout)["processes"]) == 3
    (folder / "trisig.toml").unlink()
    with master(folder):
        assert len(json.loads(asked(folder, "status", "--json").stdout)["processes"]) == 4


@pytest.mark.parametrize(
    ("was", "instead", "words"),
    [
        ("workers = 2", "worker = 2", "there is no 'worker'; write workers"),
        ("workers = 2", 'workers = "x"', "workers: it is a whole number, not 'x'"),
        ("workers = 2", "workers = -1", "workers: -1 is not in the range"),
        ("workers = 2", "workers =", "at line 3"),
        ("= 30\n", "= true\n", "handler_timeout: it is a number of seconds, not True"),
        ("[1, 2]", "1", "farms: it is a table of farms and their mules"),
        ("[1, 2]", "[1, 7]", "farm 'busy' names mule7"),
        ('"skip"', '"skp"', "handlers.17: overlap must be one of 'queue', 'one', 'skip', not 'skp'"),
        ("attempts", "attempt", "handlers.17: there is no 'attempt'; write attempts"),
        ("handlers.17", "handlers.18", "handlers.18: no handler is registered for signal 18; write one of: 17, 3, 4"),
        ("sources.3", "sources.5", "sources.5: no source is called '5'; write one of: cron"),
        ("[handlers.17]", "handler_timeout = 3\n[handlers.17]", "trisig.toml: handler_timeout stands there twice"),
        ("catch-up", "catchup", "sources.3: there is no 'catchup'; write catch_up"),
        ("30 4", "30 44", "4 at 0 3 * * *: "),
    ],
)
def test_a_mistake_in_the_file_is_one_line(folder: Path, was: str, instead: str, words: str) -> None:
    """It names the file and the key, and says what to write; nothing starts, and the status is 2."""
    assert was in CONFIG
    (folder / "trisig.toml").write_text(CONFIG.replace(was, instead))
    done = asked(folder, "run")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("trisig: ")


@pytest.mark.parametrize("text", ["[tool]\ntrisig = 3", 'tool = "x"'])
def test_a_table_that_is_none(folder: Path, text: str) -> None:
    """What is no table in pyproject.toml is an error if it is ours, and else none of ours."""
    (folder / "trisig.toml").unlink()
    (folder / "pyproject.toml").write_text(text)
    done = asked(folder, "run")
    words = "tool.trisig: it is a table, not 3" if "trisig" in text else "Missing argument 'APPLICATION'"
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """The one that `--config` names has to be there: it is a matter of the disk, and the status is 1."""
    done = asked(folder, "run", "--config=nope.toml")
    assert (done.returncode, done.stderr) == (1, "trisig: cannot read nope.toml: No such file or directory\n")


def test_commands_find_the_only_master(folder: Path) -> None:
    """Its socket has the application's name; the folder is the user's alone, and empty when it has ended."""
    with master(folder):
        assert asked(folder, "send", "17").returncode == 0
        assert (folder / "trisig").stat().st_mode & 0o777 == 0o700
        assert [path.name for path in (folder / "trisig").iterdir()] == ["app.sock"]
    assert [*(folder / "trisig").iterdir()] == []
    done = asked(folder, "status")
    assert done.returncode == 1
    assert f"no master listens in {folder / 'trisig'}" in done.stderr


def test_two_masters_of_one_application(folder: Path) -> None:
    """Both can be asked, by their sockets: an option, the environment or the file says which."""
    with ExitStack() as stack:
        stack.enter_context(master(folder))
        second = stack.enter_context(master(folder, "--workers=3"))
        done = asked(folder, "status")
        assert done.returncode == 2
        assert "several masters listen" in done.stderr
        path = str(folder / "trisig" / f"app.{second.pid}.sock")
        assert path in done.stderr
        by_environment = {**environment(folder), "TRISIG_CONTROL": path}
        assert "worker3" in run(folder, "status", **by_environment).stdout
        (folder / "trisig.toml").write_text(f'control = "{path}"')
        assert "worker3" in asked(folder, "status").stdout
        assert "worker3" not in asked(folder, "status", "--control", str(folder / "trisig" / "app.sock")).stdout


def test_the_socket_of_a_killed_master_is_used_again(folder: Path) -> None:
    """Nobody has to remove it, and no command takes it for a master."""
    with pytest.raises(AssertionError), master(folder) as app:  # its status is not 0
        app.kill()
        app.wait(SECONDS)
    assert [path.name for path in (folder / "trisig").iterdir()] == ["app.sock"]
    assert "no master listens" in asked(folder, "status").stderr
    with master(folder):
        assert asked(folder, "send", "17").returncode == 0


def test_without_a_run_folder_it_runs_all_the_same(folder: Path) -> None:
    """A folder that cannot be made, or is too deep for a socket, costs only the commands."""
    (folder / "trisig").write_text("in the way")
    with master(folder):
        assert asked(folder, "status").returncode == 1
    deep = folder / ("x" * 100)
    deep.mkdir()
    command = [*TRISIG, "run"]
    with subprocess.Popen(command, cwd=folder, env=environment(deep), stderr=subprocess.PIPE, text=True) as app:
        read_until(app, "master: ready")
        app.terminate()
        assert app.wait(SECONDS) == 0
