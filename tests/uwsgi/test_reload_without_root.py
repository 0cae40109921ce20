"""An instance that was started by root, has given up its rights, and begins anew without them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from uwsgi_program import SECONDS, TRISIG, running

NOBODY = 65534
APP = "import os, uwsgi; print('app', os.getuid(), uwsgi.is_a_reload, flush=True)"

# Where only root can reach the interpreter, a mount namespace in which others can, at the same place.
OPENED = """
set -e
mount --bind "$1" "$3"
mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"
mount --move "$3" "$1"
shift 3
exec "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def closed_folder(path: Path) -> Path | None:
    """The first folder on the way that is closed to others."""
    return next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o1), None)


def for_everybody(folder: Path) -> Sequence[str]:
    """What to write before a command whose interpreter everybody has to be able to run."""
    closed = closed_folder(Path(sys.executable).resolve())
    if closed is None:
        return ()
    if (unshare := shutil.which("unshare")) is None:
        pytest.skip(f"{closed} is closed to others")
    place = folder / "place"
    place.mkdir()
    shell = ("/bin/sh", "-c", OPENED, "sh", sys.base_prefix, str(closed), str(place))
    return (unshare, "--mount", "--propagation", "private", *shell)


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(dir="/tmp") as name:  # that of pytest's is for root alone
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "control").mkdir()
        (folder / "control").chmod(0o777)
        yield folder


def test_a_reload_goes_on_without_the_rights_of_root(folder: Path) -> None:
    """In a folder that is root's, the log goes on and the pidfile stays. A log that was renamed is told of."""
    command = [*for_everybody(folder), *TRISIG]
    probe = [*command[: -len(TRISIG)], sys.executable, "-P", "-c", f"import os; os.setuid({NOBODY}); import trisig"]
    if subprocess.run(probe, check=False, capture_output=True, cwd="/").returncode:
        pytest.skip("the interpreter, or what it imports, cannot be reached without the rights of root")
    words = (f"--uid={NOBODY}", "--logto=lines", "--pidfile=pid", "--control=control/socket")
    lines = folder / "lines"
    with running(folder, {"app.py": APP}, "app.py", *words, command=command) as program:
        program.until(lambda: lines.exists() and lines.read_text().count("master: ready") == 1)
        pid = int((folder / "pid").read_text())
        os.kill(pid, signal.SIGHUP)
        program.until(lambda: lines.read_text().count("master: ready") == 2)
        assert "may not open it anew" not in lines.read_text()
        lines = lines.rename(folder / "lines.1")
        os.kill(pid, signal.SIGHUP)
        program.until(lambda: lines.read_text().count("master: ready") == 3)
        os.kill(pid, signal.SIGTERM)
        assert program.process.wait(SECONDS) == 0
    text = lines.read_text()
    assert f"app {NOBODY} False" in text
    assert text.count(f"app {NOBODY} True") == 2
    assert text.count("log file lines: this user may not open it anew; the log goes on in the file of before") == 1
    assert int((folder / "pid").read_text()) == pid
    assert not (folder / "lines").exists()
