"""The child processes of one master: a keeper for each slot, and what the master does about what a child does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

from trisig._ipc.cargo import CargoSender
from trisig._ipc.messages import Push
from trisig._ipc.raised_stream import Part
from trisig._model.dead_letter import DeadLetter
from trisig._model.locks import Locks
from trisig._model.targets import Topology
from trisig._util.ki_protection import ki_protected

from .dispatcher import Dispatcher
from .keeper import Keeper, Spawn
from .orphans import Orphans
from .recycler import Recycler
from .registry import Registry
from .requests import RequestHandler
from .slots import Slot

log = logging.getLogger("trisig")


@ki_protected
class Children:
    """Owns the keepers, and connects each of them with the rest of the master.

    Args:
        topology: which processes there are.
        dispatcher: takes what children raise.
        orphans: told when a child may have left processes behind.
        spawn_of: gives what makes the processes of a name.
        grace: seconds that a process may take to leave when it is asked to.
        given_up: called with each signal that is given up.

    Attributes:
        keepers: by name.
        recycler: replaces those that ask for it.
    """

    def __init__(
        self,
        topology: Topology,
        dispatcher: Dispatcher,
        orphans: Orphans,
        spawn_of: Callable[[str], Spawn],
        grace: float,
        given_up: Callable[[DeadLetter], object],
    ) -> None:
        self._dispatcher = dispatcher
        self._slots = dispatcher.destinations.slots
        self._orphans = orphans
        self._given_up = given_up
        self._requests: RequestHandler
        self._registry: Registry
        self._locks: Locks
        self.keepers = {
            slot.name: Keeper(slot, topology.farms_of(slot.kind, slot.number), spawn_of(slot.name), self, grace)
            for slot in self._slots.values()
        }
        self.recycler = Recycler(self.keepers)

    def __iter__(self) -> Iterator[Keeper]:
        return iter(self.keepers.values())

    def open(self, requests: RequestHandler, registry: Registry, locks: Locks) -> None:
        """Set who answers what children ask, and what is told when one has ended."""
        self._requests, self._registry, self._locks = requests, registry, locks

    def fds(self) -> list[int]:
        """The master's descriptors of all children, which no child may hold."""
        return [fd for keeper in self for fd in keeper.fds()]

    # What children are told

    def push(self, name: str, message: Push) -> None:
        """Tell a child something; never waits."""
        self.keepers[name].push(message)

    def push_all(self, message: Push) -> None:
        """Tell every child something; never waits."""
        for keeper in self:
            keeper.push(message)

    def answer_call(self, name: str, key: int, outcome: int, content: bytes | bytearray) -> None:
        """Give a child the answer to a call; never waits."""
        self.keepers[name].answer_call(key, outcome, content)

    def kill(self, name: str) -> None:
        """End a process now."""
        self.keepers[name].kill()

    def replace_all(self) -> None:
        """End every process now, and make another one in its place."""
        for keeper in self:
            keeper.replace()

    # What a keeper says of its process

    def accept(self, slot: Slot, signals: bytes) -> None:
        """It raised signals."""
        self._dispatcher.accept(slot.name, signals)

    def accept_all(self, slot: Slot, parts: Iterable[Part]) -> None:
        """It raised signals, and sent tasks and answers."""
        self._dispatcher.accept_all(slot.name, parts)

    def heard(self, slot: Slot) -> None:
        """It has rung."""
        slot.rang()

    def lacks(self, data: bytes) -> Sequence[str]:
        """The modules that have to be imported before `answer`."""
        return self._requests.lacks(data)

    def answer(self, asker: Keeper, data: bytes) -> bytes | None:
        """It asked for something."""
        return self._requests.answer(asker, data)

    def started(self, slot: Slot) -> None:
        """It exists."""
        if (instrument := self._dispatcher.instrument) is not None:
            instrument.process_started(self.keepers[slot.name].info)

    def attach(self, slot: Slot, pipe: int, back: int, cargo: CargoSender) -> None:
        """It is ready."""
        slot.attach(pipe, back, cargo)
        self._orphans.watch_group(self.keepers[slot.name].pid)

    def detach(self, slot: Slot, *, blame: bool) -> list[DeadLetter]:
        """It is gone: what it had not finished goes back, or is given up."""
        letters = slot.detach(blame=blame)
        for letter in letters:
            self._dead_lettered(slot.name, letter)
        return letters

    def _dead_lettered(self, name: str, letter: DeadLetter) -> None:
        log.error("%s: %s ended its process %d times; dead-lettered", name, letter, letter.attempts)
        self._given_up(letter)

    def worn(self, slot: Slot, why: str) -> None:
        """It wants to be replaced."""
        self.recycler.ask(slot.name, why)

    def ended(self, slot: Slot, pid: int, status: int | None) -> None:
        """It has ended: with it what it registered for itself, and what its tasks held and waited for."""
        self._orphans.left_by(pid)
        self._dispatcher.destinations.waiters.left(slot.name)
        self._dispatcher.destinations.mailboxes.left(slot.name)
        self._dispatcher.caller_left(slot.name)
        self._registry.process_ended(slot.name)
        self._locks.process_ended(slot.name)
        if (instrument := self._dispatcher.instrument) is not None:
            instrument.process_ended(self.keepers[slot.name].info, status)
