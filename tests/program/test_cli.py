"""The command line as an operator meets it: real processes, their output and their exit status."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

# -P keeps Python from putting the current directory first itself, as it does not for the installed script either.
TRISIG = (sys.executable, "-P", "-m", "trisig")
SECONDS = 60  # that anything may take on a busy machine before a test fails

APPLICATION = """
import trisig

signals = trisig.Signals()
other = trisig.Signals()
number = 3

@signals.service("workers")
async def ready():
    print(trisig.current_process().name, __name__, "serves", flush=True)
"""


def trisig(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory to its end."""
    return subprocess.run(
        [*TRISIG, *arguments], cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start the command in a directory, to be told to stop."""
    return subprocess.Popen(
        [*TRISIG, "run", *arguments], cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def assert_one_line(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """The command ended with this status and one line that has all the words."""
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with an application in app.py."""
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path


def test_version_is_the_installed_one(tmp_path: Path) -> None:
    """`--version` prints the version and is a clean end."""
    result = trisig(tmp_path, "--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("trisig, version 0.")


@pytest.mark.parametrize(
    ("application", "words"),
    [
        ("nowhere:signals", ["cannot import 'nowhere'", "write a module"]),
        ("app.deeper:signals", ["cannot import 'app.deeper'", "write a module"]),
        ("nowhere.py:signals", ["no file 'nowhere.py'", "write the path"]),
        ("app:missing", ["app:missing does not exist", "write app:signals"]),
        ("app.py:missing", ["app.py:missing does not exist", "write app.py:signals"]),
        ("app:number", ["app:number is an int, not a trisig.Signals; write app:signals"]),
        ("string:signals", ["string:signals does not exist", "signals = trisig.Signals()"]),
        ("app:", ["write MODULE:NAME or FILE.py:NAME"]),
        (":signals", ["write MODULE:NAME or FILE.py:NAME"]),
        ("./app", ["is not a module name", "package.app:signals"]),
    ],
)
def test_an_application_that_is_not_there(directory: Path, application: str, words: Sequence[str]) -> None:
    """An application that cannot be found is one line with the cause and the remedy, and status 2."""
    assert_one_line(trisig(directory, "run", application), 2, *words)


def test_a_file_that_python_would_not_import(directory: Path) -> None:
    """A file named like a module of Python itself is refused, as importing it would give the other one."""
    (directory / "string.py").write_text(APPLICATION)
    assert_one_line(trisig(directory, "run", "string.py"), 2, "hidden by", "string.py", "another name")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["Missing command", "--help"]),
        (("run",), ["APPLICATION", "trisig run --help"]),
        (("run", "app", "--workers", "many"), ["--workers", "many"]),
        (("run", "app", "--workers"), ["--workers", "trisig run --help"]),
        (("run", "app", "--journal", ""), ["--journal", "write a path"]),
        (("run", "app", "--control", ""), ["--control", "write a path"]),
        (("status", "--control", ""), ["--control", "write a path", "trisig status --help"]),
        (("run", "app", "--mules", "2", "--farm", "busy"), ["busy", "like busy:1,2"]),
        (("send", "256", "--control", "x"), ["'256' is not a signal: write a number from 0 to 255"]),
        (("send", "-1", "--control", "x"), ["'-1' is not a signal: write a number from 0 to 255"]),
        (("drop", "x", "--control", "x"), ["'x' is not a signal: write a number from 0 to 255"]),
        (("dance",), ["dance"]),
        (("run", "x" * 300 + ".py"), ["too long"]),
    ],
)
def test_wrong_usage_is_one_line(directory: Path, arguments: Sequence[str], words: Sequence[str]) -> None:
    """Whatever cannot be understood: one line with the word in question, and status 2."""
    assert_one_line(trisig(directory, *arguments), 2, *words)


@pytest.mark.parametrize("arguments", ["--version", "--help", "run --help"])
def test_standard_output_that_is_full(tmp_path: Path, arguments: str) -> None:
    """What cannot be written is one line and status 1, and the interpreter adds nothing at its end."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*TRISIG, *arguments.split()],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert (result.returncode, result.stderr) == (
        1,
        "trisig: standard output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize(
    ("option", "path", "words"),
    [
        ("--journal", ".", ["journal ", "not a regular file"]),
        ("--journal", "/dev/null", ["journal /dev/null: ", "not a regular file"]),
        ("--journal", "app.py", ["app.py: it is not a trisig journal"]),
        ("--journal", "nowhere/journal", ["journal ", "there is no directory ", "nowhere; make it"]),
        ("--journal", "app.py/journal", ["journal ", "Not a directory", "name another path"]),
        ("--journal", "x" * 300, ["journal ", "File name too long", "name another path"]),
        ("--control", ".", ["control socket .: ", "name another path"]),
        ("--control", "app.py", ["control socket app.py: ", "name another path"]),
    ],
)
def test_a_path_that_cannot_be_used(directory: Path, option: str, path: str, words: Sequence[str]) -> None:
    """What is wrong with a path on the disk is status 1, whatever it is, and one line that says what to do."""
    assert_one_line(trisig(directory, "run", "app", option, path), 1, *words)


def test_more_processes_than_there_are_descriptors_for(directory: Path) -> None:
    """That is one line before anything is started, with how many there may be and how many it takes."""
    result = subprocess.run(
        ["sh", "-c", 'ulimit -n 200; exec "$@"', "sh", *TRISIG, "run", "app", "--workers", "1000"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert_one_line(result, 1, "trisig: 1000 processes need some 10", "RLIMIT_NOFILE allows 200", "ulimit -n 10")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_journal_that_may_not_be_read(directory: Path) -> None:
    """Not being allowed to use the file is status 1, and the line says who has to be."""
    (directory / "journal").touch(0)
    result = trisig(directory, "run", "app", "--journal", "journal")
    assert_one_line(result, 1, "journal ", "Permission denied", "let this user read and write it")


def test_a_control_socket_that_cannot_be(directory: Path) -> None:
    """A path that no socket can have is one line and status 1, before any child is started."""
    result = trisig(directory, "run", "app", "--control", "x" * 200)
    assert_one_line(result, 1, "control socket", "path too long")


def test_an_application_that_exits_while_it_is_imported(directory: Path) -> None:
    """Neither its status nor its silence is taken over: the command says what happened, and fails."""
    (directory / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    assert_one_line(
        trisig(directory, "run", "leaving:signals"), 1, "'leaving'", "while it was imported", "SystemExit(0)"
    )


def test_a_file_is_found_before_others_of_its_name(directory: Path) -> None:
    """The directory of the file, or the current one, comes first, wherever else it stands on the path."""
    other = directory / "other"
    other.mkdir()
    (other / "app.py").write_text("raise LookupError('the other one')\n")
    (directory / "empty.py").write_text("import app\nsignals = None\n")
    environment = {**os.environ, "PYTHONPATH": f"{other}{os.pathsep}{directory}"}
    for application in ("app:missing", "./app.py:missing"):
        result = subprocess.run(
            [*TRISIG, "run", application],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env=environment,
        )
        assert_one_line(result, 2, ":missing does not exist")


def test_a_directory_that_was_removed(directory: Path) -> None:
    """The current directory is gone: one line, and no traceback."""
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
    gone = directory / "gone"
    gone.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", code, *TRISIG, "run", "app"],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert_one_line(result, 2, "current directory")


def test_a_parent_that_ignores_dead_children(directory: Path) -> None:
    """SIGCHLD, ignored when the command starts, is no reason not to start."""
    ignoring = partial(signal.signal, signal.SIGCHLD, signal.SIG_IGN)
    command = [*TRISIG, "run", "app"]
    start_ignoring = partial(subprocess.Popen, command, preexec_fn=ignoring)
    with start_ignoring(cwd=directory, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "worker1 app serves\n"
        process.terminate()
        assert process.wait(SECONDS) == 0


def test_a_file_whose_name_is_no_identifier(directory: Path) -> None:
    """A file that no import statement could name is refused with what a name may have."""
    (directory / "my-app.py").write_text(APPLICATION)
    assert_one_line(trisig(directory, "run", "my-app.py"), 2, "my-app.py", "underscores")


def test_the_applications_own_error(directory: Path) -> None:
    """An exception in the application shows its traceback from its first line on, and nothing of what led there."""
    (directory / "broken.py").write_text("def fail():\n    raise KeyError('mine')\n\nfail()\n")
    result = trisig(directory, "run", "broken:signals")
    assert (result.returncode, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert [line.split(", ")[1:] for line in lines if line.startswith("  File")] == [
        ["line 4", "in <module>"],
        ["line 2", "in fail"],
    ]
    assert lines[-1] == "KeyError: 'mine'"


@pytest.mark.parametrize("arguments", ["256", "1, overlap='both'", "1, retry=trisig.Backoff(2, 1)"])
def test_an_error_that_the_library_raises_for_the_application(directory: Path, arguments: str) -> None:
    """A mistake that trisig finds in a declaration shows the application's line and the message only."""
    (directory / "broken.py").write_text(
        f"import trisig\nsignals = trisig.Signals()\nsignals.handler({arguments})(print)\n"
    )
    result = trisig(directory, "run", "broken.py")
    assert result.returncode == 1
    files = [line for line in result.stderr.splitlines() if line.startswith("  File")]
    assert len(files) == 1, result.stderr
    assert "broken.py" in files[0]
    assert result.stderr.splitlines()[-1].startswith("ValueError: ")


def test_a_module_that_the_application_misses(directory: Path) -> None:
    """An import that fails inside the application is the application's error, not a wrong command line."""
    (directory / "broken.py").write_text("import nowhere\n")
    result = trisig(directory, "run", "broken:signals")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'nowhere'"
    assert result.stderr.count("  File") == 1


def test_a_chained_error_is_stripped_too(directory: Path) -> None:
    """The exception that another one came from is shown without the command's frames as well."""
    (directory / "broken.py").write_text(
        "import importlib\ntry:\n    importlib.import_module('nowhere')\n"
        "except ImportError:\n    raise OSError('mine')\n"
    )
    result = trisig(directory, "run", "broken:signals")
    assert result.returncode == 1
    assert "During handling of the above exception" in result.stderr
    assert {line.split('"')[1] for line in result.stderr.splitlines() if line.startswith("  File")} == {
        str(directory / "broken.py")
    }


def test_a_syntax_error(directory: Path) -> None:
    """A syntax error shows the line that has it."""
    (directory / "broken.py").write_text("signals = (\n")
    result = trisig(directory, "run", "broken:signals")
    assert result.returncode == 1
    assert str(directory / "broken.py") in result.stderr
    assert result.stderr.splitlines()[-1].startswith("SyntaxError: ")
    assert "importlib" not in result.stderr


@pytest.mark.parametrize("farm", ["busy", "busy:", ":1", "busy:one", "busy:1,,2"])
def test_a_farm_that_cannot_be_read(directory: Path, farm: str) -> None:
    """A malformed farm is a usage error that says how to write one."""
    result = trisig(directory, "run", "app", "--mules", "2", "--farm", farm)
    assert result.returncode == 2
    assert "like busy:1,2" in result.stderr


def test_a_farm_named_twice(directory: Path) -> None:
    """Two farms of one name are a usage error, not one of them silently."""
    result = trisig(directory, "run", "app", "--mules", "2", "--farm", "busy:1", "--farm", "busy:2")
    assert result.returncode == 2
    assert "named twice" in result.stderr


def test_a_farm_with_a_mule_named_twice(directory: Path) -> None:
    """A number that stands twice in a farm is a mistake, and most likely was to be another one."""
    result = trisig(directory, "run", "app", "--mules", "2", "--farm", "busy:1,1", "--log-level", "error")
    assert_one_line(result, 2, "busy", "names a mule twice")


def test_a_farm_of_mules_that_are_not_there(directory: Path) -> None:
    """A farm that names a mule that the topology lacks is one line and status 2."""
    assert_one_line(trisig(directory, "run", "app", "--farm", "busy:7", "--log-level", "error"), 2, "busy", "7")


def test_a_target_that_is_not_there(directory: Path) -> None:
    """A handler whose target the topology lacks is one line and status 2."""
    (directory / "app.py").write_text(
        "import trisig\nsignals = trisig.Signals()\nsignals.handler(1, target='worker9')(print)\n"
    )
    assert_one_line(trisig(directory, "run", "app", "--log-level", "error"), 2, "worker9")


def test_a_child_that_cannot_start(directory: Path) -> None:
    """A child that fails before it is ready ends the command with the child's own traceback and status 1."""
    (directory / "app.py").write_text(
        "import trisig\nsignals = trisig.Signals()\n"
        "@signals.on_start('worker1')\ndef fail():\n    raise KeyError('in the child')\n"
    )
    result = trisig(directory, "run", "app")
    assert result.returncode == 1
    assert "KeyError: 'in the child'" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("trisig: worker1 ")


@pytest.mark.parametrize("name", ["empty", "./empty"])
def test_a_directory_is_no_application(directory: Path, name: str) -> None:
    """The line says to name a file in it, as a module or a path."""
    (directory / "empty").mkdir()
    assert_one_line(trisig(directory, "run", name), 2, "is a directory", "empty/app.py")


@pytest.mark.parametrize("error", ["ValueError('mine')", "TypeError('mine')", "OSError('mine')", "LookupError('mine')"])
@pytest.mark.parametrize("parameters", ["master", "master, task_status"])
def test_an_error_of_a_service_of_the_master(directory: Path, error: str, parameters: str) -> None:
    """Whatever it raises, and when: the traceback of the application, and status 1."""
    (directory / "app.py").write_text(
        "import trisig\nsignals = trisig.Signals()\n"
        f"@signals.service('master')\nasync def fail({parameters}):\n    raise {error}\n"
    )
    result = trisig(directory, "run", "app", "--log-level", "error")
    assert result.returncode == 1
    first, place, *_, last = result.stderr.splitlines()
    assert (first, last) == ("Traceback (most recent call last):", error.replace("('", ": ").replace("')", ""))
    assert "line 5, in fail" in place


@pytest.mark.parametrize(
    ("application", "stop"),
    [
        ("app", signal.SIGTERM),
        ("app:signals", signal.SIGINT),
        ("app.py", signal.SIGINT),
        ("./app.py:signals", signal.SIGTERM),
    ],
)
def test_an_application_serves_until_it_is_told_to_stop(directory: Path, application: str, stop: int) -> None:
    """An application serves under its module's real name, and a stop is a clean end."""
    with start(directory, application) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "worker1 app serves\n"
        process.send_signal(stop)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_a_file_imports_its_neighbours(directory: Path) -> None:
    """A file can import the files beside it, from wherever the command is run."""
    (directory / "main.py").write_text("from app import signals as signals\n")
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    with start(elsewhere, "../main.py") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "worker1 app serves\n"
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_every_option_reaches_the_topology(directory: Path) -> None:
    """Workers, mules, farms and spoolers are as many as the command line says."""
    (directory / "app.py").write_text(
        "import os, trisig\nsignals = trisig.Signals()\n"
        "@signals.on_start()\ndef show():\n"
        "    me = trisig.current_process()\n"
        "    os.write(1, ' '.join((me.name, *me.farms, chr(10))).encode())\n"  # at once: six of them write
    )
    topology = "--workers 2 --mules 3 --farm busy:1,2 --farm slow:2,3 --spoolers 1 --cores 2 --handler-timeout 9"
    with start(directory, "app", *topology.split()) as process:
        assert process.stdout is not None
        seen = {process.stdout.readline().strip() for _ in range(6)}
        process.terminate()
        process.communicate(timeout=SECONDS)
    assert seen == {"worker1", "worker2", "mule1 busy", "mule2 busy slow", "mule3 slow", "spooler1"}
    assert process.returncode == 0


def test_a_log_line_has_the_time_the_level_and_the_process(directory: Path) -> None:
    """What the application logs is one line on standard error that says when, how bad and which process."""
    (directory / "app.py").write_text(
        "import logging, trisig\nsignals = trisig.Signals()\n"
        "@signals.on_start('worker1')\ndef show():\n    logging.getLogger('app').warning('mind the %s', 'gap')\n"
        "@signals.service('worker1')\nasync def ready():\n    print('ready', flush=True)\n"
    )
    with start(directory, "app", "--log-level", "warning") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        _, log = process.communicate(timeout=SECONDS)
    (line,) = [line for line in log.splitlines() if "mind the gap" in line]
    time, rest = line.split(" ", 1)
    assert rest == "WARNING worker1: mind the gap"
    assert datetime.strptime(time, "%Y-%m-%dT%H:%M:%S%z").tzinfo is not None


def test_the_module_is_imported_once(directory: Path) -> None:
    """Children are forked from the process that imported the module; none of them imports it again."""
    (directory / "app.py").write_text(f"print('imported', flush=True)\n{APPLICATION}")
    with start(directory, "app", "--workers", "3") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.terminate()
        rest, _ = process.communicate(timeout=SECONDS)
    assert sorted(lines) == ["imported\n", *(f"worker{number} app serves\n" for number in (1, 2, 3))]
    assert rest == ""


# Logging


def test_a_log_call_that_is_wrong_harms_no_handler(directory: Path) -> None:
    """As anywhere in Python it is told on standard error, and the handler goes on."""
    (directory / "app.py").write_text(
        "import logging, os, trisig\nsignals = trisig.Signals()\n"
        "@signals.service('worker1')\nasync def begin():\n    await signals.send(1)\n"
        "@signals.handler(1)\ndef wrong(signum):\n    logging.info('%d', 'x')\n    os.kill(os.getppid(), 15)\n"
    )
    command = [*TRISIG, "run", "app.py"]
    ended = subprocess.run(command, cwd=directory, timeout=SECONDS, check=False, capture_output=True, text=True)
    assert "Logging error" in ended.stderr
    assert ended.returncode == 0


@pytest.mark.parametrize("how", ["trisig run", "open_master"])
def test_without_a_standard_error_nothing_is_written_to_the_file_that_gets_its_number(
    directory: Path, how: str
) -> None:
    """A program that is started without one may open a file with its number; log lines do not go there."""
    (directory / "app.py").write_text(
        "import logging, os, trio, trisig\nsignals = trisig.Signals()\n"
        "precious = open('precious', 'w')\nif precious.fileno() != 2: os._exit(3)\n"
        "@signals.handler(1)\ndef fail(signum):\n"
        "    logging.error('x')\n    os.kill(os.getppid(), 15)\n    raise ValueError\n"
        "@signals.service('worker1')\nasync def begin():\n    await signals.send(1)\n"
        "async def main():\n"
        "    with trio.move_on_after(20), trio.open_signal_receiver(15) as arrivals:\n"
        "        async with trisig.open_master(signals):\n            await anext(aiter(arrivals))\n"
        "if __name__ == '__main__':\n    trio.run(main)\n"
    )
    command = [*TRISIG, "run", "app.py"] if how == "trisig run" else [sys.executable, "app.py"]
    program = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    status = subprocess.run(program, cwd=directory, timeout=SECONDS, check=False).returncode
    if status == 3:
        pytest.skip("a library has opened a file with that number before the program could")
    assert status == 0
    assert (directory / "precious").read_text() == ""
