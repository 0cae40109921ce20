"""Where masters listen that were given no path: one folder for each user, in which commands find them."""

from __future__ import annotations

import os
from pathlib import Path

from .probe import is_listened_on

CONTROL_VARIABLE = "TRISIG_CONTROL"  # in the environment: where a master listens, and where to ask it
LONGEST_PATH = 107  # bytes that the kernel takes for the address of a unix socket


def run_folder() -> Path:
    """The user's own: in `XDG_RUNTIME_DIR`, in `/run/user/UID`, or for root in `/run`. It need not exist."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    by_login = Path(f"/run/user/{os.getuid()}")
    if given:
        return Path(given, "trisig")
    return (by_login if os.getuid() and by_login.is_dir() else Path("/run")) / "trisig"


def default_sockets(application: str) -> tuple[Path, ...]:
    """Where the master of an application may listen: by its name, and if another one does so already, by its pid too.

    Makes the folder, for nobody but the user. None if it cannot be made, or its path is too long for a socket.

    Args:
        application: its name, a part of a file name.
    """
    folder = run_folder()
    paths = (folder / f"{application}.sock", folder / f"{application}.{os.getpid()}.sock")
    if max(len(os.fsencode(path)) for path in paths) > LONGEST_PATH:
        return ()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return ()
    return paths if os.access(folder, os.W_OK | os.X_OK) else ()


def living_sockets() -> list[Path]:
    """Those in the folder on which somebody listens."""
    return [path for path in sorted(run_folder().glob("*.sock")) if _is_alive(path)]


def _is_alive(path: Path) -> bool:
    try:
        return is_listened_on(path)
    except OSError:
        return False
