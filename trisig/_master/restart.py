"""When a process that has ended is replaced, and when the master gives up. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from trisig._util.backoff import Backoff


class RestartPolicy(msgspec.Struct, frozen=True):
    """How patient a master is with processes that fail.

    Args:
        backoff: the pauses between failures in a row. The first failure has none: whatever ended the process may have
            been an accident. A process that was ready for the steady time has not failed.
        tries_at_open: failures in a row before giving up, for a process that was never ready.
        tries: the same for one that was ready before.
        notice_after: seconds without being ready after which the log says so.
    """

    backoff: Backoff = msgspec.field(default_factory=lambda: Backoff(0.1, 30.0, steady=1.0))
    tries_at_open: int = 5
    tries: int = 12
    notice_after: float = 10.0

    def pause(self, failures: int) -> float:
        """Seconds to wait before the next try, after so many failures in a row."""
        return self.backoff.pause(failures - 1)

    def gives_up(self, failures: int, *, ever_ready: bool) -> bool:
        """Whether so many failures in a row are too many."""
        return failures >= (self.tries if ever_ready else self.tries_at_open)


class Ending(msgspec.Struct, frozen=True):
    """What is known about a process that has ended.

    Attributes:
        asked: it was asked to leave.
        ready: it had been ready.
        worked: it had finished a handler, or a signal that it ran was dead-lettered.
        handling: it was running a handler.
        steady: it had been ready for longer than the steady time.
    """

    asked: bool = False
    ready: bool = False
    worked: bool = False
    handling: bool = False
    steady: bool = False


Verdict = Literal["left", "restart", "blame the signal", "failed to start", "failed at once"]


def judge(ending: Ending) -> Verdict:
    """What the end of a process means for its successor.

    "left" and "restart" are no failures. With "blame the signal" there is a pause but no giving up, because the signal
    will be dead-lettered. The other two count until the master gives up.
    """
    if ending.asked:
        return "left"
    if not ending.ready:
        return "failed to start"
    if ending.worked or ending.steady:
        return "restart"
    return "blame the signal" if ending.handling else "failed at once"
