"""Remote signals of `trisig uwsgi`: the option `socket`, uWSGI's statuses, and a real uWSGI at the other end."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from uwsgi_config import plan_of, write
from uwsgi_program import SECONDS, TRISIG, running

from trisig._cli.uwsgi_signal import send_and_leave
from trisig._remote.deliver import deliver
from trisig.uwsgi._config.problem import ConfigError

UWSGI = os.environ.get("TRISIG_TESTS_UWSGI") or shutil.which("uwsgi", path=str(Path(sys.executable).parent))

APP = """
import os, uwsgi
from notes import note
for number in (0, 7, 17, 255):
    uwsgi.register_signal(number, "worker1", lambda signum: note("got", signum))
uwsgi.post_fork_hook = lambda: note("forked", os.getuid(), uwsgi.is_a_reload)
"""

OUTWARD = """
import uwsgi
from notes import note
def outward(signum):
    note("sent", uwsgi.signal(17, "there"))
    try:
        uwsgi.signal(17, "nowhere")
    except OSError as error:
        note(error)
uwsgi.register_signal(7, "worker1", outward)
"""


def command(folder: Path, *words: str) -> tuple[int, str]:
    """The status of a command of trisig, and what it says."""
    done = subprocess.run(
        [*TRISIG[:-1], *words], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_where_signals_are_taken(tmp_path: Path) -> None:
    """At Unix sockets and loopback addresses; what others can reach is for the web server, and is said."""
    ini = write(
        tmp_path, "chdir = /srv\nsocket = here\nsocket = :3031\nuwsgi-socket = localhost:3031\nchmod-socket = 660"
    )
    plan = plan_of("--ini", ini)
    assert [address.path or address.port for address in plan.settings.addresses] == ["/srv/here", 3031]
    assert plan.settings.chmod_socket == 0o660
    [remark] = plan.remarks()
    assert remark.startswith("socket = :3031: not listened at")
    assert "signals of other programs at here" in list(plan.lines())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_sockets_are_made_before_the_rights_of_root_are_given_up() -> None:
    """In a folder that is root's alone, with the mode that `chmod-socket` says."""
    with TemporaryDirectory(dir="/tmp") as name:  # that of pytest's is for root alone
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "notes").touch()
        (folder / "notes").chmod(0o666)
        words = ("--socket=here", "--chmod-socket=666", "--wsgi-file=app.py", "--uid=65534")
        with running(folder, {"app.py": APP}, *words) as program:
            program.wait_for("forked 65534 False")
            found = (folder / "here").stat()
            assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o666)
            deliver(17, os.path.relpath(folder / "here"))
            program.wait_for("got 17")


def test_sockets_outlive_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects while the instance begins anew waits for it; at its end the file is removed."""
    monkeypatch.setattr("trisig._remote.deliver.PATIENCE_S", SECONDS)  # a busy machine takes longer to begin anew
    with running(tmp_path, {"app.py": APP}, "--socket=here", "--wsgi-file=app.py", "--chdir=.") as program:
        program.wait_for(f"forked {os.getuid()} False")
        inode = (tmp_path / "here").stat().st_ino
        assert command(tmp_path, "uwsgi", "--signal=here,17") == (0, "signal 17 delivered to node here\n")
        program.process.send_signal(signal.SIGHUP)
        while f"forked {os.getuid()} True" not in program.notes():
            deliver(7, os.path.relpath(tmp_path / "here"))
        assert (tmp_path / "here").stat().st_ino == inode
        program.wait_for("got 7", "got 17")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        ("nowhere,17", 1, "unable to deliver signal 17 to node nowhere"),
        ("17", 1, "invalid syntax for signal, must be addr,signal"),
        ("here,256", 3, "invalid signal number, must be from 0 to 255"),
    ],
)
def test_the_option_signal_ends_with_the_status_of_uwsgi(
    value: str, status: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unreachable node and a wrong word are 1, a number above 255 is 3."""
    with pytest.raises(SystemExit) as ended:
        send_and_leave(value)
    assert ended.value.code == status
    assert text in capsys.readouterr().err


def test_a_place_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    """What is there is left alone; a mode that is none is said, too."""
    (tmp_path / "taken").write_text("mine")
    code, said = command(tmp_path, "uwsgi", "--socket=taken")
    assert (code, "this is a file, not a socket; name another path" in said) == (1, True), said
    assert (tmp_path / "taken").read_text() == "mine"
    with pytest.raises(ConfigError, match="chmod-socket = rw: write octal digits, like 660"):
        plan_of("--chmod-socket=rw")


@pytest.mark.skipif(UWSGI is None, reason="needs uWSGI: nox -s uwsgi, or TRISIG_TESTS_UWSGI=/path/to/uwsgi")
@pytest.mark.parametrize("inward", [True, False])
def test_uwsgi_signals_trisig_and_the_reverse(tmp_path: Path, *, inward: bool) -> None:
    """`uwsgi.signal(n, node)` of the one raises the signal in the other, and fails where nobody listens."""
    assert UWSGI is not None
    theirs = (UWSGI, "--die-on-term", "--master")
    sender, receiver = (theirs, TRISIG) if inward else (TRISIG, theirs)
    receiving = ("--socket=there", "--wsgi-file=app.py")
    with running(tmp_path, {"app.py": APP, "out.py": OUTWARD}, *receiving, command=receiver) as program:
        program.until(lambda: any(note.startswith("forked") for note in program.notes()))
        if inward:
            for number, status in (("17", 0), ("256", 3)):
                done = subprocess.run([UWSGI, "--signal", f"there,{number}"], cwd=tmp_path, check=False)
                assert done.returncode == status
        else:
            assert command(tmp_path, "send", "17", "--remote=there") == (0, "")
        (tmp_path / "log").rename(tmp_path / "log of the receiver")
        words = ("--socket=here", "--wsgi-file=out.py", "--rbtimer=7 1")
        with running(tmp_path, {}, *words, command=sender) as other:
            other.wait_for("sent None", "got 17", "unable to deliver signal 17 to node nowhere")
