"""uWSGI's own API: for `trisig uwsgi`, and for processes beside it."""

from __future__ import annotations

import os
import sys
from types import ModuleType


def attach(control: str | os.PathLike[str] | None = None, *, timeout: float = 5.0) -> ModuleType:
    """Have `import uwsgi` work in this process, which trisig has not started: a web server's worker, say.

    The module raises signals and writes messages and jobs for the instance of `trisig uwsgi` at a control socket;
    locks, caches and metrics are those of its processes. Handlers run there and not here: what this process registers
    is compared with what is registered there. Nothing is connected before the first call, and each call makes a
    connection of its own, so a process may attach and then fork.

    Args:
        control: the control socket; None for `TRISIG_CONTROL`, or that of the only master in the user's run folder.
        timeout: seconds for which a call waits for a master that is away, while it restarts.

    Returns:
        The module, which is `sys.modules["uwsgi"]` from now on. Its functions raise `trisig.NoMasterError` if no
        master is there in time, and otherwise what they raise there.
    """
    from ._attach.link import MasterLink  # noqa: PLC0415  `trisig uwsgi` does not need it
    from ._attach.module import attached_module  # noqa: PLC0415

    module = attached_module(MasterLink(None if control is None else os.fspath(control), timeout))
    sys.modules["uwsgi"] = module
    return module
