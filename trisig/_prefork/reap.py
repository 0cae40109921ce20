"""Reaping children by number or by group, whoever else in this process may reap them first."""

from __future__ import annotations

import os

import trio


async def reap_killed(idtype: int, ident: int) -> None:
    """Reap the killed children of this name. Those not dead yet are waited for in a thread: a group has no pidfd."""
    if not reap_now(idtype, ident, os.WNOHANG):
        await trio.to_thread.run_sync(reap_now, idtype, ident)


def reap_now(idtype: int, ident: int, options: int = 0) -> bool:
    """Reap every child of this name; tells whether none is left."""
    try:
        while os.waitid(idtype, ident, os.WEXITED | options) is not None:
            pass
    except ChildProcessError:
        return True
    return False


def has_children(group: int) -> bool:
    """Whether this process has a child in a process group, dead or alive."""
    try:
        os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
