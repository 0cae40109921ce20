"""The destination that several processes serve: the first available one of them gets the signal.

A process gets only as much of a shared queue as it is likely to finish within a millisecond: one signal at a time when
handlers are slow, hundreds when they are fast. Each process measures what a signal takes it, where the handler runs.
Seen from here, a process that waits for a CPU would look slow, and many processes on few cores would be given signals
one by one. `rebalancer` corrects a wrong estimate.
"""

from __future__ import annotations

from trisig._model.destination import Destination
from trisig._model.event import Event
from trisig._model.queue import Queue
from trisig._util.ki_protection import ki_protected

from .delivery import Delivery
from .slots import AHEAD_NS, DEEPEST, Slot, request_bells


@ki_protected
class Pool(Destination):
    """A queue that several processes serve: the first available one gets the signal.

    Args:
        name: of the queue.
        members: the slots of the processes.
        delivery: what destinations share.

    Attributes:
        idle: members without work; the one that has been idle for longest comes first.
        busy: members not known to be idle; the one that was given signals longest ago comes first.
        has_unread: whether some members hold what others could start.
        depth: how many signals of the pool a member may hold.
    """

    def __init__(self, name: str, members: list[Slot], delivery: Delivery) -> None:
        self.queue = Queue(name, shared=True)
        self.members = members
        self.idle: dict[Slot, None] = {}
        self.busy: dict[Slot, None] = {}
        self.has_unread = False
        self.depth = 1
        self._pace = 0
        self._delivery = delivery

    @property
    def in_flight(self) -> int:
        """None of its own: the lanes of the members count them."""
        return 0

    @property
    def deliverable(self) -> int:
        """What is queued, if any member is there to take it."""
        return len(self.queue) if any(slot.active for slot in self.members) else 0

    def deliver_new(self, signal: bytes, event: Event | None = None) -> bool:
        """Accept one signal and write it, if none waits before it and a member is free."""
        if len(self.queue) or self.queue.resting:
            return False
        slot = self._find_free()
        if slot is None:
            return False
        slot.deliver_shared(self.queue, signal, event)
        self._delivery.given.set()
        return True

    def deliver(self) -> None:
        """Give what waits to idle members."""
        while len(self.queue) and (slot := next(iter(self.idle), None) or self.find_idle()):
            slot.deliver()
        if len(self.queue) or self.queue.held:
            self._delivery.short.set()
            request_bells(self.members, self._delivery)

    def read_marks(self) -> None:
        """Read the marks of those members that would not ring."""
        for slot in list(self.busy):
            if not slot.bell_requested:
                slot.read_marks()

    def find_idle(self) -> Slot | None:
        """A member that has become idle without ringing."""
        for slot in list(self.busy):
            if not slot.bell_requested:
                slot.read_marks()
                if slot in self.idle:
                    return slot
        return None

    def _find_free(self) -> Slot | None:
        """The idle member that is next, or one that has become idle without ringing, if it can begin a signal now."""
        if self.idle:
            slot = next(iter(self.idle))
            return slot if slot.is_free else None
        return next((slot for slot in self.busy if not slot.bell_requested and slot.is_free), None)

    def note_idle(self, slot: Slot) -> None:
        """A member has nothing to do."""
        self.busy.pop(slot, None)
        self.idle.setdefault(slot)

    def note_busy(self, slot: Slot) -> None:
        """A member was given signals."""
        self.idle.pop(slot, None)
        self.busy.pop(slot, None)
        self.busy[slot] = None

    def note_gone(self, slot: Slot) -> None:
        """A member's process has ended."""
        self.idle.pop(slot, None)
        self.busy.pop(slot, None)

    def note_pace(self, nanoseconds: int) -> None:
        """A member took so long for a signal. One that was interrupted looks slow: a sample counts double at most."""
        self._pace = min(nanoseconds, 2 * self._pace) if self._pace else nanoseconds
        self.depth = max(1, min(AHEAD_NS // max(self._pace, 1), DEEPEST))

    def reset_pace(self) -> None:
        """A member was given more than it could do: begin again with one signal at a time."""
        self._pace, self.depth = AHEAD_NS, 1
