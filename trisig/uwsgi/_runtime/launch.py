"""Becomes the command of a daemon or a hook. Run as a program, without `site` and without the package: for speed.

Its arguments: the pid of the master, or 0 for a command that is not to end with it; uid and gid, 0 for no change; a
directory, empty for no change; a pidfile to write, or empty; the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(master: int, uid: int, gid: int, directory: str, pidfile: str, command: str) -> None:
    """Become it."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if directory:
        os.chdir(directory)
    if gid:
        os.setgid(gid)
    if uid:
        os.setuid(uid)
    if pidfile:
        write_pid(pidfile)  # by the daemon itself: a master that is killed meanwhile leaves no daemon without one
    if master:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the user, with which it would be cleared
        if os.getppid() != master:
            sys.exit(1)
    os.execv("/bin/sh", ["/bin/sh", "-c", command])  # noqa: S606  what it is for


def write_pid(path: str) -> None:
    """Write the number of this process, which the command keeps."""
    try:
        with open(path, "w", encoding="ascii") as file:  # noqa: PTH123  pathlib takes a while to import
            file.write(f"{os.getpid()}\n")
    except OSError as error:
        sys.exit(f"pidfile = {path}: {error.strerror}")


if __name__ == "__main__":
    pid, user, group, place, pidfile_path, text = sys.argv[1:]
    main(int(pid), int(user), int(group), place, pidfile_path, text)
