"""What happens to signals in a master, for whoever watches: the journal, a storm's evidence, metrics. Pure.

The master calls an instrument in the very step in which something happens, so an instrument sees every signal in
order, and a slow one slows the master. A place in a destination's queue is a pair (destination, position); a signal
keeps it for life, so it identifies the signal. A process numbers the signals that it is sent from 0.
"""

from __future__ import annotations

from .dead_letter import DeadLetter
from .invocation import QueuedTask
from .process import ProcessInfo


class Instrument:
    """Base class of instruments, after `trio.abc.Instrument`: every method does nothing. Override what you need.

    Pass instances to `open_master(..., instruments=[...])`. They are called in the thread that runs the master, and
    must not block. An instrument that raises is logged with its traceback and is not called again.

    Attributes:
        wants_ends_at_once: every process shall ring whenever it has finished something, which costs a system call there
            and one in the master. Otherwise `finished` is called when the master looks, which may be much later while
            there is nothing else to do.
    """

    wants_ends_at_once = False

    def raised(self, process: str, signals: bytes) -> None:
        """Signals arrived in the master and are about to be routed, but for those that `overlap=` lets go.

        Args:
            process: the name of the process that raised them: `worker1`, or `master` for its own tasks and sources, or
                `threads` for its other threads.
            signals: one byte each, in the order in which they were raised.
        """

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        """Signals are about to join a queue.

        Args:
            destination: the name of the queue: `worker1`, or `worker` for the first available one, `farm_busy`, `wait`.
            position: of the first of them; the others follow without a gap.
            signals: one byte each.
        """

    def task_queued(self, destination: str, position: int, task: QueuedTask) -> None:
        """A task is about to join a queue; `queued`, `moved` or `requeued` follows, with a 0 in its place.

        Args:
            destination: the name of the queue.
            position: of the task in it.
            task: its name and arguments.
        """

    def accepted(self, process: str, signals: bytes) -> None:
        """All that `raised` announced is in its queues, and none of it has been delivered yet."""

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        """Signals are about to be written to a process.

        Args:
            process: its name.
            number: of the first of them among all that this process is sent, from 0. One that is taken back and sent
                again gets its number anew.
            destination: the queue that they come from.
            position: of the first of them in that queue.
            signals: one byte each.
        """

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:
        """An async handler is known to run. A plain one is seen only when it has finished."""

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        """Handlers ran to their end, or a `wait` returned.

        Args:
            process: where.
            number: of the first of them there; None for a `wait`.
            destination: the queue that they came from.
            position: of the first of them in that queue.
            signals: one byte each.
            failed: whether the handlers raised.
        """

    def retried(
        self, process: str, number: int | None, destination: str, position: int, signum: int, pause: float | None
    ) -> None:
        """A handler with `retry=` has raised.

        Args:
            process: where.
            number: of its signal there.
            destination: the queue that the signal came from, and stays in.
            position: of the signal in that queue.
            signum: the signal.
            pause: seconds until it is tried again; None if that was the last attempt, and `dead_lettered` follows.
        """

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        """Signals went back to their places, because their process ended or a `wait` was cancelled.

        Args:
            destination: their queue.
            position: of the first of them.
            signals: one byte each.
            blamed: whether their handlers were running and may have ended the process.
        """

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        """A process had no handler for a signal, which is about to join the queue for `wait`; or a task is due.

        Args:
            destination: the queue that it came from.
            position: there.
            to: the other queue.
            start: its position there.
            signals: the signal.
        """

    def dead_lettered(self, letter: DeadLetter, position: int) -> None:
        """A signal was given up; `position` is its place in the queue `letter.destination`.

        A task that nothing can run is given up without having been in a queue; its `position` is -1.
        """

    def requeued(self, letter: DeadLetter, destination: str, position: int) -> None:
        """What was given up is about to join a queue again.

        Args:
            letter: what it was.
            destination: the name of the queue.
            position: its place there.
        """

    def dropped(self, letter: DeadLetter) -> None:
        """What was given up is forgotten; it counts as given up for ever."""

    def process_started(self, process: ProcessInfo) -> None:
        """A child process exists, and has not been sent anything yet."""

    def process_ended(self, process: ProcessInfo, status: int | None) -> None:
        """A child process has ended, and what it had not finished is back in its queues.

        Args:
            process: who it was.
            status: its exit status; minus the number of the Unix signal that killed it; None if nobody knows.
        """
