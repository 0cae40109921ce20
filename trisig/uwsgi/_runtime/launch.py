"""Becomes the command of a daemon or a hook. Run as a program, without `site` and without the package: for speed.

Its arguments: the pid of the master, or 0 for a command that is not to end with it; uid and gid, 0 for no change; a
directory, empty for no change; the command.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(master: int, uid: int, gid: int, directory: str, command: str) -> None:
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
    if master:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # after the user, with which it would be cleared
        if os.getppid() != master:
            sys.exit(1)
    os.execv("/bin/sh", ["/bin/sh", "-c", command])  # noqa: S606  what it is for


if __name__ == "__main__":
    pid, user, group, place, text = sys.argv[1:]
    main(int(pid), int(user), int(group), place, text)
