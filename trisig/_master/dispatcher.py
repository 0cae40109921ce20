"""From raised signals to the processes that must run them: table, ledger, destinations.

Every destination has its own queue, so one that stops delays nobody.

What an event source raises is accepted in the step in which the source noticed it. What has to wait for room comes
through a memory channel, which the dispatcher task receives from: back-pressure is not receiving, and the end of the
sources is the closed channel. What children raise is accepted in the synchronous step that read it from their pipes: a
checkpoint between the read and `accept` would lose the bytes of a cancelled reader, and cost 7 microseconds, a fifth of
the way of a signal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import trio

from trisig._ipc.raised_stream import AnswerRaised, Part, TasksRaised
from trisig._model.destination import Destination
from trisig._model.event import Event
from trisig._model.instrument import Instrument
from trisig._model.invocation import NO_REPLY, Invocation
from trisig._model.once import Once
from trisig._model.process import CLUSTER, MASTER
from trisig._model.queue import Queue
from trisig._model.routes import Routes
from trisig._model.table import Table
from trisig._sources.raised import Raised
from trisig._util.ki_protection import ki_protected

from .calls import ReplyBook
from .delivery import Delivery
from .destinations import Destinations
from .slots import request_bells
from .task_routes import TaskRoutes

if TYPE_CHECKING:  # no run without a cluster imports it
    from trisig._cluster.claims import Claim

_YIELDS_APART_S = 0.01


@ki_protected
class Dispatcher:
    """Routes what is raised, and counts where it is.

    Args:
        destinations: all of them.
        table: the signal table; call `refresh` when it, or the set of active workers, has changed.
        delivery: what destinations share.
        task_routes: where tasks go.
        replies: knows which calls wait for which tasks.
    """

    def __init__(
        self,
        destinations: Destinations,
        table: Table,
        delivery: Delivery,
        task_routes: TaskRoutes,
        replies: ReplyBook,
    ) -> None:
        self.destinations = destinations
        self._table = table
        self._delivery = delivery
        self._ledger = delivery.ledger
        self._routes = Routes(self.route)
        self.task_routes = task_routes
        self._replies = replies
        self._rule()
        self._next_yield = 0.0

    def route(self, signum: int) -> tuple[Destination, ...]:
        """Where a signal goes."""
        entry = self._table[signum]
        if entry is None:
            return (self.destinations.waiters,)
        if entry.owner is not None:
            return (self.destinations.slots[entry.owner],)
        return self.destinations.of(entry.target)

    @property
    def instrument(self) -> Instrument | None:
        """Who watches the signals of this master."""
        return self._ledger.instrument

    def refresh(self) -> None:
        """The table or the set of active workers has changed."""
        self._routes.refresh()
        self._rule()
        self.task_routes.refresh()

    def _rule(self) -> None:
        self._ledger.turns.rule({signum: entry.handling for signum, entry in self._table})

    async def run(self, raised: trio.MemoryReceiveChannel[Raised]) -> None:
        """Accept what event sources raise, until the last of them has closed its end of the channel."""
        async with raised:
            async for first in raised:
                if self._delivery.gate.paused:
                    first.go_on()  # it says then that it waits
                    await self._delivery.wait_room()  # a cancellation here loses nothing: the sender still waits
                if not first.withdrawn:
                    self._accept_first(first)
                    self._give_way()
                    first.go_on()
                self._accept_waiting(raised)

    def accept_at_once(self, one: Raised) -> bool:
        """Accept what an event source has just noticed; False if it has to wait for room."""
        if self._delivery.gate.paused:
            return False
        self._accept_first(one)
        self._give_way()
        one.go_on()
        return True

    def _accept_first(self, one: Raised) -> None:
        destinations: Iterable[Destination] = ()
        signal, event, once = bytes((one.signum,)), one.origin.event(), one.origin.once
        if once is not None:
            self.accept_once(one.signum, once)
        elif not self._deliver_new(signal, event):
            destinations = self._queue(MASTER, signal, event)
        one.origin.was_accepted()
        one.accepted = True
        self._deliver(destinations)

    def _accept_waiting(self, raised: trio.MemoryReceiveChannel[Raised]) -> None:
        """Take along others that wait to send, as far as there is room: a turn of the loop less for each."""
        wanted = [one for one in self._waiting(raised, self._delivery.room) if not one.withdrawn]
        self._accept_raised(wanted)
        for one in wanted:
            one.go_on()

    def _accept_raised(self, batch: Iterable[Raised]) -> None:
        destinations: dict[Destination, None] = {}
        for one in batch:
            queued: Iterable[Destination] = ()
            if (once := one.origin.once) is not None:
                self.accept_once(one.signum, once)
            else:
                queued = self._queue(MASTER, bytes((one.signum,)), one.origin.event())
            one.origin.was_accepted()
            one.accepted = True
            destinations.update(dict.fromkeys(queued))
        self._deliver(destinations)

    def accept_once(self, signum: int, once: Once) -> None:
        """Raise a signal that the cluster lets through once."""
        signal, cluster, instrument = bytes((signum,)), self.destinations.cluster, self._ledger.instrument
        assert cluster is not None
        if instrument is not None:
            instrument.raised(MASTER, signal)
        cluster.accept_once(signum, once)
        if instrument is not None:
            instrument.accepted(MASTER, signal)

    def _give_way(self) -> None:
        """Let a process run that has just been sent a signal.

        The kernel puts it on the master's own CPU, where it runs when the master sleeps. That would be after the work
        that is left here, which takes longer than the handler. Not always: where all CPUs are busy with something else,
        the master has to wait for a time slice.
        """
        now = trio.current_time()
        if now >= self._next_yield:
            self._next_yield = now + _YIELDS_APART_S
            os.sched_yield()

    async def raise_for(self, signum: int, event: Event) -> None:
        """Raise a signal as an event source would."""
        await self._delivery.wait_room()
        self.accept_event(signum, event)

    def accept_event(self, signum: int, event: Event) -> None:
        """Raise a signal with what raised it, however much is queued."""
        self._deliver(self._queue(MASTER, bytes((signum,)), event))

    def _deliver(self, destinations: Iterable[Destination]) -> None:
        for destination in destinations:
            destination.deliver()
        if self._delivery.room <= 0:
            self._pause()

    def _waiting(self, raised: trio.MemoryReceiveChannel[Raised], most: int) -> Iterator[Raised]:
        for _ in range(most):
            try:
                yield raised.receive_nowait()
            except (trio.WouldBlock, trio.EndOfChannel):
                return

    def accept(self, process: str, signals: bytes) -> None:
        """Take raised signals, in order; nothing is lost from here on.

        Args:
            process: the name of the process that raised them, as instruments know it.
            signals: one byte each.
        """
        if len(signals) != 1 or not self._deliver_new(signals):
            self._deliver(self._queue(process, signals))

    def _deliver_new(self, signal: bytes, event: Event | None = None) -> bool:
        """Accept and deliver one signal in one step, if it is for one process and none of its number is in its way."""
        ledger, signum = self._ledger, signal[0]
        if ledger.instrument is not None or self._delivery.room <= 1:
            return False
        route = self._routes[signum]
        if len(route) != 1:
            return False
        destination, turns = route[0], ledger.turns
        if signum in turns.limited and turns.has_turn(signum):
            destination.read_marks()  # the last one may have ended, and nobody have looked
            if turns.has_turn(signum):
                return False
        return destination.deliver_new(signal, event)

    def accept_claims(self, claims: Iterable[Claim]) -> None:
        """Take over what this node has claimed in the cluster, for its own processes."""
        destinations: dict[Destination, None] = {}
        for claim in claims:
            queue = self._queue_claim if claim.row.task is None else self._queue_claimed_task
            destinations.update(dict.fromkeys(queue(claim)))
        self._deliver(destinations)
        request_bells(self.destinations.slots.values(), self._delivery)

    def withdraw_claims(self) -> None:
        """Give the cluster back what was claimed and no process has been sent."""
        here = self.destinations
        for destination in (*here.slots.values(), *here.pools.values()):
            self._ledger.withdraw(destination.queue, CLUSTER)
        self._delivery.passed()

    def _queue_claim(self, claim: Claim) -> tuple[Destination, ...]:
        signum, ledger = claim.row.signum or 0, self._ledger
        entry = self._table[signum]
        if entry is None or entry.target.node is None:  # it was unregistered meanwhile
            claim.give_back()
            return ()
        route, signal = self.destinations.here(entry.target), bytes((signum,))
        if ledger.instrument is not None:
            ledger.instrument.raised(CLUSTER, signal)
        wanted = ledger.turns.without_skipped(signal) if ledger.turns.limited else signal
        for destination in route if wanted else ():
            self._queue_copy(claim, destination.queue, signal)
        if ledger.instrument is not None:
            ledger.instrument.accepted(CLUSTER, signal)
        claim.ended()  # as far as copies are made of it
        return route

    def _queue_claimed_task(self, claim: Claim) -> tuple[Destination, ...]:
        row, index = claim.row, self.task_routes.index(claim.row.task or "")
        if not self.task_routes.can_run(index):
            claim.give_back()
            return ()
        route = self.destinations.here(self.task_routes.target(index))
        for destination in route:
            position = destination.queue.reach
            self._ledger.accept_tasks(destination.queue, [Invocation(index, row.arguments, NO_REPLY, row.priority)])
            claim.copied()
            destination.queue.note(position).claim = claim
        claim.ended()  # as far as copies are made of it
        return route

    def _queue_copy(self, claim: Claim, queue: Queue, signal: bytes) -> None:
        position, once = queue.reach, claim.row.once
        self._ledger.accept(queue, signal, None if once is None else Event(once.source, once.due))
        if queue.reach > position:  # else one waits there already, which does for both
            claim.copied()
            queue.note(position).claim = claim

    def accept_all(self, process: str, parts: Iterable[Part]) -> None:
        """Take signals, tasks and answers of a process, in order; nothing is lost from here on."""
        destinations: dict[Destination, None] = {}
        for part in parts:
            if isinstance(part, TasksRaised):
                destinations.update(dict.fromkeys(self._queue_tasks(process, part)))
            elif isinstance(part, AnswerRaised):
                self._replies.answered(part.reply, part.outcome, part.content)
            else:
                destinations.update(dict.fromkeys(self._queue(process, part)))
        self._deliver(destinations)

    def destination_of_task(self, task: int) -> Destination:
        """Who runs a task that is for one process."""
        return self.task_routes[task][0]

    def caller_left(self, process: str) -> None:
        """A process has ended: nobody waits for its calls."""
        self._replies.left(process)

    def _queue_tasks(self, process: str, raised: TasksRaised) -> tuple[Destination, ...]:
        route = self.task_routes[raised.task]
        if raised.key:
            several = self.task_routes.for_several(raised.task)
            replies = self._replies.open(process, raised.key, len(route), several=several)
        else:
            replies = [NO_REPLY] * len(route)
        for destination, reply in zip(route, replies, strict=True):
            invocations = [Invocation(raised.task, arguments, reply, raised.priority) for arguments in raised.arguments]
            self.queue_tasks(invocations, raised.due, destination)
        waits = raised.due or raised.task >= self.task_routes.runnable
        return (self.destinations.later, *route) if waits else route

    def queue_tasks(self, invocations: Sequence[Invocation], due: float, destination: Destination) -> None:
        """Queue calls of one task for a destination: when they are due, or now if that is 0, and can run."""
        cluster = self.destinations.cluster
        if cluster is not None and destination is cluster:
            cluster.accept_tasks(invocations, due)
        elif invocations[0].task >= self.task_routes.runnable:
            self.destinations.later.hold(invocations, due, destination)
        elif due:
            self.destinations.later.accept(invocations, due, destination)
        else:
            self._ledger.accept_tasks(destination.queue, invocations)

    def release_tasks(self) -> None:
        """Every process knows all tasks now: run those that were held."""
        self.task_routes.all_run()
        self.destinations.later.release()

    def take_over(self, signum: int) -> None:
        """A number has a handler now: deliver what waits because it had none."""
        data, route, waiting = bytes((signum,)), self._routes[signum], self.destinations.waiters.queue
        while (position := waiting.take_first(signum)) is not None:
            first, *others = route
            start = first.queue.reach
            self._ledger.move(waiting, position, data, first.queue)
            self._ledger.turns.joined(first.queue, start, data)
            for destination in others:
                self._ledger.accept(destination.queue, data)
        self._deliver(route)

    def _queue(self, process: str, signals: bytes, event: Event | None = None) -> list[Destination]:
        ledger = self._ledger
        if ledger.instrument is not None:
            ledger.instrument.raised(process, signals)
        destinations: list[Destination] = []
        # Before they are routed: copies for several processes are one signal.
        wanted = ledger.turns.without_skipped(signals) if ledger.turns.limited else signals
        for route, part in self._routes.part(wanted) if wanted else ():
            for destination in route:
                ledger.accept(destination.queue, part, event)
            destinations += route
        if ledger.instrument is not None:
            ledger.instrument.accepted(process, signals)
        # They deliver after all of it is queued, and is in the journal: a process that runs the first one may kill the
        # master.
        return destinations

    def _pause(self) -> None:
        if not self._delivery.gate.paused:
            self._delivery.gate.pause()
            request_bells(self.destinations.slots.values(), self._delivery)

    def restore(self, name: str, signals: bytes) -> bool:
        """Take over signals that an earlier master had in a queue; False if there is no such queue now."""
        destination = self.destinations.named(name)
        if destination is None:
            return False
        self._ledger.restore(destination.queue, signals)
        return True

    def read_marks(self) -> None:
        """Read the marks of all processes now, for a report."""
        for slot in self.destinations.slots.values():
            slot.read_marks()

    def deliverable(self) -> int:
        """How many pending signals could still be delivered if nobody waits for the unregistered."""
        return sum(destination.deliverable + destination.in_flight for destination in self.destinations)

    def in_flight(self) -> int:
        """How many signals were handed to a process, or to a waiting task, and are not done."""
        return sum(destination.in_flight for destination in self.destinations)

    def queued(self) -> int:
        """How many signals wait in the master."""
        queues = [destination.queue for destination in self.destinations]
        return sum(len(queue) + len(queue.resting) for queue in queues)
