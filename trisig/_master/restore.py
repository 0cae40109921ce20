"""What an earlier master left in the journal, taken over by the next one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from trisig._journal.recovery import Pending
from trisig._model.dead_letter import DeadLetter
from trisig._model.errors import TargetError
from trisig._model.invocation import Invocation, QueuedTask
from trisig._model.ledger import Ledger
from trisig._model.process import CLUSTER, MASTER
from trisig._model.table import Table
from trisig._model.targets import Target, parse

from .dispatcher import Dispatcher

log = logging.getLogger("trisig")


def restore(pending: Pending, dispatcher: Dispatcher, ledger: Ledger, table: Table) -> None:
    """Put pending signals and tasks back into their queues, and accept what was raised and not accepted."""
    for letter in pending.letters:
        ledger.accept_letter(letter)
    claimed = bytes(signum for signum, entry in table if entry.target.node is not None)
    for name, waiting in pending.queues.items():
        for part in _parts(waiting, pending.tasks.get(name, {})):
            if isinstance(part, QueuedTask):
                _restore_task(name, part, dispatcher, ledger)
            else:
                # What was claimed in the cluster is there still, and somebody gets it once the lease is over.
                _restore_signals(name, part if name == CLUSTER else part.translate(None, claimed), dispatcher, table)
    for raised in pending.raised:
        dispatcher.accept(MASTER, raised)


def _parts(waiting: bytes, tasks: Mapping[int, QueuedTask]) -> Iterator[bytes | QueuedTask]:
    """What waits in a queue, in order."""
    start = 0
    for at, task in sorted(tasks.items()):
        if at > start:
            yield waiting[start:at]
        yield task
        start = at + 1
    if start < len(waiting):
        yield waiting[start:]


def _restore_signals(name: str, waiting: bytes, dispatcher: Dispatcher, table: Table) -> None:
    if waiting and not dispatcher.restore(name, waiting):
        _raise_again(name, waiting, dispatcher, table)


def _restore_task(name: str, task: QueuedTask, dispatcher: Dispatcher, ledger: Ledger) -> None:
    """Put a task back into its queue; if there is none, its target says where it goes now."""
    place = task.destination or name
    index = dispatcher.task_routes.index(task.task)
    if index is None:
        letter = DeadLetter(None, place, 0, task.task, arguments=task.arguments, reason="no such task")
        log.error("master: %s from the journal is a dead letter: this application has no such task", letter)
        ledger.accept_letter(letter)
        return
    if place != CLUSTER and dispatcher.task_routes.is_for_cluster(index):
        return  # it was claimed, and is in the cluster still
    own = dispatcher.destinations.named(place)
    if own is None and is_copy(dispatcher.task_routes.target(index), place):
        log.warning("master: dropped task %s queued for %s, which no longer exists", task.task, place)
        return
    for destination in dispatcher.task_routes[index] if own is None else (own,):
        invocation = Invocation(index, task.arguments, priority=task.priority)
        dispatcher.queue_tasks([invocation], task.due, destination)
        destination.deliver()
    dispatcher.destinations.later.deliver()  # sets its alarm


def _raise_again(name: str, waiting: bytes, dispatcher: Dispatcher, table: Table) -> None:
    """Signals wait for a process that this topology lacks: the table says where they go now.

    Except for copies of broadcast signals: every remaining process has already received its own copy.
    """
    copies = bytes(signum for signum, entry in table if is_copy(entry.target, name))
    left = waiting.translate(None, copies)
    if dropped := len(waiting) - len(left):
        log.warning("master: dropped %d broadcast signals queued for %s, which no longer exists", dropped, name)
    if left:
        dispatcher.accept(MASTER, left)


def is_copy(target: Target, name: str) -> bool:
    """Whether a signal with this target, in the queue of this name, is one of those that each of its kind gets."""
    try:
        place = parse(name)
    except TargetError:
        return False  # `wait`
    return target.audience in ("all", "active") and place.audience == "one" and place.kind == target.kind
