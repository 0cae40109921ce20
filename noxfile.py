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
# Whichever of these are installed. The classifiers in pyproject.toml name those that every release is tested with.
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
CODE = ("trisig", "tests", "docs", "noxfile.py")
PROSE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "findings")
# Much of what the tests do is waiting for processes: two at a time take little more than half of the time.
AT_ONCE = ("-n2", "--dist=worksteal")
TESTS = (*AT_ONCE, "-m", "not sweep")
# What is left out traces or kills all that it looks at, measures time, or looks for long at lines that others run too.
MEASURED = (
    *AT_ONCE,
    "-m",
    "not sweep and not thorough",
    "--ignore=tests/faults",
    "--ignore=tests/storm",
    "--ignore=tests/benchmarks",
    "--ignore=tests/examples",
)
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
    """Run the tests but the sweeps; what follows `--` goes to pytest."""
    install(session, "tests")
    session.run("pytest", *(session.posargs or TESTS))


@nox.session
def sweeps(session: nox.Session) -> None:
    """Kill, cancel and interrupt at every fifth moment, in minutes; `storm` takes every moment."""
    install(session, "tests")
    minutes = ("-o", "timeout=900", "-o", "faulthandler_timeout=1000")
    session.run("pytest", *AT_ONCE, "-m", "sweep", *minutes, *session.posargs)


@nox.session(reuse_venv=True)
def quick(session: nox.Session) -> None:
    """Run the unit tests on the checkout, in seconds: no process, no long search, few examples."""
    session.install(*PYPROJECT["project"]["dependencies"], *nox.project.dependency_groups(PYPROJECT, "unit"))
    chosen = ("tests/unit", "-m", "not thorough", "--hypothesis-profile=quick")
    session.run("python", "-m", "pytest", *chosen, *session.posargs)


@nox.session
def readme(session: nox.Session) -> None:
    """Run the example of the README where the wheel and its dependencies are installed, and nothing else."""
    install(session)
    session.run("python", "tests/support/run_readme.py", session.create_tmp())


@nox.session
def uwsgi(session: nox.Session) -> None:
    """Run what `tests` skips, beside a real uWSGI, and compare; to build it takes a C compiler and half a minute."""
    install(session, "tests")
    session.install("uwsgi")
    session.run("pytest", *(session.posargs or ("tests/uwsgi", "tests/peers/test_uwsgi_spool.py")))


@nox.session(python="3.13")
def coverage(session: nox.Session) -> None:
    """Measure which lines of the package the tests run, in the children too; what follows `--` goes to pytest.

    Faults and storms are left out: they trace or kill what they look at. What a killed process ran is not counted.
    A test that fails does not fail this session: measured processes end later and write more than others, and whether
    the tests pass is for `tests` to say.
    """
    install(session, "tests", "coverage")
    # Python's own monitoring takes half of the time of a tracer; before Python 3.14 it counts no branches.
    measured = {
        "COVERAGE_FILE": str(Path(session.virtualenv.location, "measured").resolve()),
        "COVERAGE_CORE": "sysmon",
    }
    session.run("coverage", "erase", env=measured)
    chosen = session.posargs or MEASURED
    session.run("coverage", "run", "-m", "pytest", *chosen, env=measured, success_codes=[0, 1])
    session.run("coverage", "combine", "--quiet", env=measured)
    session.run("coverage", "report", env=measured)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, the use of async, and spelling."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", *CODE)
    session.run("ruff", "format", "--check", *CODE)
    files = (str(path) for top in CODE for path in python_files(Path(top)))
    session.run("python", "-m", "flake8_async", *ASYNC_RULES, *files)
    session.run("codespell", *PROSE, *CODE)


def python_files(top: Path) -> list[Path]:
    """The Python files in a folder, or the file itself."""
    found = top.rglob("*.py") if top.is_dir() else [top]
    return sorted(path for path in found if "_build" not in path.parts)


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, in the package and in the examples; with mypy in the tests, as strictly."""
    install(session, "typing", extras="[lua,metrics,otel,postgres,top]")
    session.run("mypy", "trisig", "noxfile.py")
    session.run("mypy", "--explicit-package-bases", "--exclude=tests/storm/", "tests")
    session.run("mypy", "--explicit-package-bases", "tests/storm")  # which imports support/ as part of its package
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


@nox.session(name="cluster-storm")
def cluster_storm(session: nox.Session) -> None:
    """Kill, stop and cut off nodes of a cluster for a minute, and their server; then the control, which has to lose.

    `-- --seconds 600 --seed 1` takes longer, and the same way.
    """
    install(session, "tests", extras="[postgres]")
    session.run("python", "tests/support/cluster_storm.py", *session.posargs)


@nox.session
def typing_uwsgi(session: nox.Session) -> None:
    """Compare the module of `trisig uwsgi` with the types of uWSGI's, which typeshed has; differences have a reason."""
    install(session)
    session.install("mypy", "types-uwsgi")
    stubs = Path("tests", "typing", "uwsgi_stubs").resolve()
    words = ("mypy.stubtest", "uwsgi", "--concise", f"--allowlist={stubs / 'allowed.txt'}")
    session.run("python", "-m", *words, env={"PYTHONPATH": str(stubs)})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    install(session, "docs", extras="[lua,metrics,otel]")  # the pages import what they describe
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def links(session: nox.Session) -> None:
    """Look whether the addresses in the documentation still lead somewhere; this needs the network."""
    install(session, "docs", extras="[lua,metrics,otel]")
    online = {"DOCS_ONLINE": "1"}  # with the links to trio's and Python's own pages
    session.run("sphinx-build", "-b", "linkcheck", "docs", session.create_tmp(), *session.posargs, env=online)


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw the pictures of `trisig status` and `trisig top` for the documentation again."""
    install(session, extras="[top]")
    session.run("python", Path("docs", "pictures", "draw.py"))


@nox.session
def hello(session: nox.Session) -> None:
    """Run the first example until Ctrl-C; `-- --seconds 5` bounds it."""
    install(session)
    run_example(session, EXAMPLES / "hello" / "hello.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure trisig beside uWSGI, its growth, its peers and a cluster: in minutes, on a machine at rest.

    `-- --rows burst-mule --rounds 5` measures less; `-- --help` tells the rest.
    """
    install(session, "bench", extras="[postgres]")
    session.run("python", "-m", "tests.benchmarks", f"--uwsgi={Path(session.bin, 'uwsgi')}", *session.posargs)


@nox.session
def chat(session: nox.Session) -> None:
    """Run the chat server until Ctrl-C; what follows `--` goes to it, for example `-- --port 8080`."""
    install(session, "chat")
    run_example(session, EXAMPLES / "chat" / "chat.py")


@nox.session
def storm(session: nox.Session) -> None:
    """Kill for minutes: a thousand children, 200 masters, 10,000 respawns, at every step; queue ten million signals.

    With arguments only a storm of those: `-- --signals 20000 --kills 40 --seed 1`, `-- --help` for the rest.
    """
    install(session, "tests")
    if session.posargs:
        session.run("python", "-m", "tests.storm", *session.posargs)
        return
    session.run("python", "-m", "tests.storm", "--signals", "1000000", "--kills", "1000")
    session.run("python", "-m", "tests.storm", "--signals", "1000000", "--masters", "200")
    session.run("python", "-m", "tests.storm", "--jobs", "50000", "--kills", "300")
    patient = ("-o", "timeout=0", "-o", "faulthandler_timeout=0")
    reloads = ("-m", "sweep", "tests/faults/test_reload_storm.py")
    session.run("pytest", *reloads, *patient, env={"TRISIG_RELOADS": "100"})
    long = {
        "TRISIG_RESPAWNS": "10000",
        "TRISIG_QUEUED": "10000000",
        "TRISIG_DIRECTORIES": "20000",
        "TRISIG_CHANGES": "50000",
    }
    files = ("tests/faults/test_faults.py", "tests/processes/test_source_trees.py")
    chosen = ("-k", "respawns or stopped_worker or many_directories or many_changes")
    session.run("pytest", *files, *chosen, *patient, env=long)
    session.run("pytest", "tests/program/test_control_fuzz.py", *patient, env={"TRISIG_FUZZ": "60"})
    session.run(
        "pytest",
        "tests/faults",
        "-k",
        "sweeps or any_bit_that_is_flipped",
        *AT_ONCE,
        *patient,
        env={"TRISIG_SWEEP_STEP": "1"},
    )
