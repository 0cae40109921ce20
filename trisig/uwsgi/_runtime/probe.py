"""With `lazy-apps` each process imports the application itself. What it registers must be known before, and once.

So the application is imported once more, in a process that ends at once, and what it registers there is noted.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

log = logging.getLogger("trisig")


class Notes:
    """What an application asks for while it is imported, where that is not to be done at once.

    Attributes:
        mode: "do" what is asked for; "note" it; or "skip" it, because the master has done it.
        calls: what was noted: names of functions, and their arguments.
    """

    def __init__(self) -> None:
        self.mode: Literal["do", "note", "skip"] = "do"
        self.calls: list[tuple[str, list[Any]]] = []

    def takes(self, name: str, *arguments: object) -> bool:
        """Whether a call is not to be done now; then it is noted if it has to be."""
        if self.mode == "note":
            self.calls.append((name, list(arguments)))
        return self.mode != "do"


@dataclass(frozen=True)
class Noted:
    """What an application has asked for.

    Attributes:
        calls: names of functions, and their arguments.
        failed: it could not be imported to its end; its traceback has been printed.
    """

    calls: Sequence[tuple[str, list[Any]]]
    failed: bool


def noted_in_a_fork(notes: Notes, import_application: Callable[[], object]) -> Noted:
    """Import an application in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.close(reader)
            notes.mode = "note"
            import_application()
            status = 0
        except BaseException:  # noqa: ASYNC103  it ends here
            log.exception("the application cannot be imported")
        finally:
            with suppress(BaseException), os.fdopen(writer, "w") as pipe:
                json.dump(notes.calls, pipe)
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return Noted([(name, arguments) for name, arguments in json.loads(text or "[]")], failed=status != 0)
