"""What every signal of a master goes through. Everything else of the master is made around it.

sources, at once, or by way of a channel if they have to wait ─┐
raises of children ─> Keeper ──────────────────────────────────┴─> Dispatcher ─> destinations ─> lanes ─> children
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from trisig._api.application import Application
from trisig._api.options import Options
from trisig._ipc.raised_stream import Part, TasksRaised
from trisig._ipc.raiser import THREADS
from trisig._linux.membarrier import global_barrier
from trisig._model.instrument import Instrument
from trisig._model.ledger import Ledger
from trisig._model.locks import Locks
from trisig._model.mailboxes import Boxes, Mailboxes, box_name
from trisig._model.process import MASTER
from trisig._model.table import Entry, Table
from trisig._model.turns import Turns
from trisig._util.ki_protection import ki_protected

from .calls import ReplyBook
from .dead_letter_hook import DeadLetterHook
from .delivery import Delivery
from .destinations import Destinations
from .dispatcher import Dispatcher
from .extras import Journal
from .instruments import combine
from .known_tasks import KnownTasks
from .memory import MasterMemory
from .post import Post
from .raiser import MasterRaiser
from .rebalancer import Rebalancer
from .retries import Retries
from .task_routes import TaskRoutes


@ki_protected
class Core:
    """The table, the ledger, the queues, and what goes around between them.

    Args:
        app: the application.
        options: of the master.
        journal: keeps what is pending; None for none. It is closed with this.

    Attributes:
        topology: which processes there are.
        memory: what they share with the master.
        table: who handles which signal.
        tasks: those that the master knows.
        ledger: where every signal is.
        delivery: what destinations share.
        dispatcher: routes what is raised.
        raiser: raises in this process.
        rebalancer: takes back what stalled processes hold.
        retries: brings back what rests.
        locks: those of all processes.
        post: gives processes what they have asked for.
        hook: is told of dead letters.

    Raises:
        TypeError: an instrument is none.
        OSError: out of descriptors, or of memory to share. Nothing is left open but the journal.
    """

    def __init__(self, app: Application, options: Options, journal: Journal | None = None) -> None:
        self.topology = topology = options.topology
        self.post = Post()
        self.hook = DeadLetterHook(options.on_dead_letter)
        self._journal = journal
        instrument = combine(None if journal is None else journal.recorder, options.instruments)
        app.boxes = Boxes(topology, len(app.tasks)) if app.has_messages else None
        addresses = app.boxes.addresses if app.boxes is not None else []
        self.tasks = KnownTasks(app.tasks, list(map(box_name, addresses)))
        replies = ReplyBook(self.post.answer)
        self.ledger = self._new_ledger(options.max_attempts, instrument, replies)
        self.memory = MasterMemory(len(topology.processes()), len(app.tasks), journal)
        self.table = Table(self.memory.shared.table)
        for signum, declared in app.handlers.items():
            self.table.register(signum, Entry(declared.target, None, declared.handling))
        self.delivery = Delivery(
            self.ledger, self.memory.gate, options.max_queued, options.max_queued_bytes, self.post.grant
        )
        mailboxes = Mailboxes(addresses, len(app.tasks), self.ledger, self.post.hand, self.delivery.passed)
        destinations = Destinations(topology, self.memory.shared.slots, self.delivery, mailboxes)
        routes = TaskRoutes(self.tasks.all, destinations)
        self.dispatcher = Dispatcher(destinations, self.table, self.delivery, routes, replies)
        self.rebalancer = Rebalancer(destinations.pools.values(), self.delivery, self.post.nudge)
        self.retries = Retries(self.ledger.turns, destinations, self.hook.given_up)
        self.locks = Locks(self.post.grant_lock)
        self.raiser = self._new_raiser()

    def _new_ledger(self, max_attempts: int, instrument: Instrument | None, replies: ReplyBook) -> Ledger:
        turns, names, durable = Turns(global_barrier), self.tasks.names, self.tasks.durable
        now = time.time, time.monotonic_ns
        return Ledger(max_attempts, instrument, names, replies.given_up, turns, durable, *now)

    def _new_raiser(self) -> MasterRaiser:
        outbox = None if self._journal is None else self._journal.outbox(MASTER)
        try:
            return MasterRaiser(self._accept_here, self._accept_task_here, self._accept_piped, self.memory.gate, outbox)
        except OSError:  # out of descriptors
            self.memory.close()
            raise

    @property
    def destinations(self) -> Destinations:
        """Where signals wait."""
        return self.dispatcher.destinations

    def _accept_here(self, signals: bytes) -> None:
        self.dispatcher.accept(MASTER, signals)

    def _accept_task_here(self, tasks: TasksRaised) -> None:
        self.dispatcher.accept_all(MASTER, (tasks,))

    def _accept_piped(self, parts: Iterable[Part]) -> None:
        self.dispatcher.accept_all(THREADS, parts)

    def close(self) -> None:
        """Let go of all descriptors."""
        self.raiser.close()
        self.memory.close()
        if self._journal is not None:
            self._journal.close()
