"""Starts the commands of daemons and hooks, by way of `launch.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from trisig.uwsgi._config.daemons import Daemon


def launching(
    command: str, *, master: int = 0, uid: int = 0, gid: int = 0, directory: str = "", pidfile: str = ""
) -> tuple[str, ...]:
    """The words that run a command for the shell."""
    program = str(Path(__file__).with_name("launch.py"))
    return (sys.executable, "-I", "-S", program, str(master), str(uid), str(gid), directory, pidfile, command)


def launched(daemon: Daemon) -> subprocess.Popen[bytes]:
    """Start a daemon, in a session of its own. It ends with the master, unless it has a pidfile.

    Raises:
        OSError: out of processes, memory or descriptors.
    """
    words = launching(
        daemon.command,
        master=0 if daemon.pidfile else os.getpid(),
        uid=daemon.uid,
        gid=daemon.gid,
        directory=daemon.directory,
        pidfile=os.path.abspath(daemon.pidfile) if daemon.stays else "",  # noqa: PTH100
    )
    # In this thread and not in one of trio's: the kernel ends the process when the thread ends that has forked it.
    return subprocess.Popen(words, stdin=None if daemon.keeps_input else subprocess.DEVNULL, start_new_session=True)
