"""One process that fills a slot, from its fork until its end is settled."""

from __future__ import annotations

import os
import signal

import trio

from trisig._ipc.bulk import BulkReceiver
from trisig._ipc.cargo import CargoSender
from trisig._ipc.descriptors import MasterEnds
from trisig._ipc.push_queue import PushQueue
from trisig._ipc.raised_stream import RaisedStream
from trisig._util.exit_status import exit_in_words

from .restart import Ending

_NOT_OURS = "status unknown: something else in this program reaped it"


class Incarnation:
    """What the master knows of one process.

    Args:
        ends: the master's descriptors.
        words: what it shares with the master about its lane.

    Attributes:
        pid: of the process, until it is reaped and settled.
        pidfd: open until the process is reaped; -1 before and afterwards.
        pushes: the messages on their way to it.
        cargo: the arguments and answers on their way to it.
        bulk: what is too long for the stream of what it raises.
        raised: that stream.
        greeted: it has said hello, so it reads what is pushed.
        ready_at: the trio time at which it became ready; None before.
        services_ended: its services have ended.
        ended_by_us: the master killed it, so none of its signals is to blame.
        replaced: the master killed it to make another one.
        status: its exit status, minus the Unix signal that killed it; None while it runs, or if it is unknown.
        traceback: what it reported when it could not start, with `summary` in one line.
        running: the signals whose handlers it was running when it ended, and the names of the tasks.
        worked: it has finished a handler, or a signal that it ran was dead-lettered.
    """

    def __init__(self, ends: MasterEnds, words: memoryview) -> None:
        self.ends = ends
        self.pid, self.pidfd = 0, -1
        self.words = words
        self.pushes = PushQueue(ends.pushes)
        self.cargo = CargoSender(ends.cargo, words)
        self.bulk = BulkReceiver(ends.bulk)
        self.raised = RaisedStream(self.bulk.take)
        self.greeted = False
        self.ready_at: float | None = None
        self.services_ended = False
        self.ended_by_us = False
        self.replaced = False
        self.status: int | None = None
        self.traceback = self.summary = ""
        self.running: list[int | str] = []
        self.worked = False

    def kill(self) -> None:
        """End the process now."""
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                pass

    async def reap(self) -> None:
        """Kill the process, wait for its end and take its status."""
        self.kill()
        await trio.lowlevel.wait_readable(self.pidfd)
        try:
            ended = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)  # noqa: ASYNC222  it is dead, the pidfd says so
        except ChildProcessError:
            ended = None  # a SIGCHLD handler, os.wait() or an ignored SIGCHLD of the application was faster
        finally:
            os.close(self.pidfd)
            self.pidfd = -1
        if ended is not None:
            self.status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def describe_exit(self) -> str:
        """How the process ended, and during which signals, for the log."""
        how = _NOT_OURS if self.status is None else exit_in_words(self.status)
        if not self.running:
            return how
        return f"{how}; running: {_listed(self.running)}"

    def ending(self, *, asked: bool, steady: float) -> Ending:
        """The facts by which its end is judged.

        Args:
            asked: it was asked to leave.
            steady: seconds of being ready after which it has not failed.
        """
        ready_at = self.ready_at
        lived = 0.0 if ready_at is None else trio.current_time() - ready_at
        return Ending(asked, ready_at is not None, self.worked, bool(self.running), lived > steady)


def _listed(running: list[int | str]) -> str:
    """`signals 3, 7, task shop.resize`."""
    signals = [str(one) for one in running if isinstance(one, int)]
    tasks = [one for one in running if isinstance(one, str)]
    parts = [f"signal{'s' if len(signals) > 1 else ''} {', '.join(signals)}"] if signals else []
    parts += [f"task{'s' if len(tasks) > 1 else ''} {', '.join(tasks)}"] if tasks else []
    return ", ".join(parts)
