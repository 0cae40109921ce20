"""Messages that wait in boxes until somebody asks for them. Pure.

A box is a queue like any other, but nothing is delivered from it: a process asks for the next message of one box or
several, and who asked first is served first. A message that was handed out is in flight until its `receive` has
returned; if that is cancelled, or the process ends, the message goes back to its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from .destination import Destination
from .errors import TargetError
from .invocation import PLACE
from .ledger import Ledger
from .process import process_name
from .queue import Queue
from .targets import Topology, parse

Hand = Callable[[str, int, "bytes | bytearray"], object]


class _Ask(msgspec.Struct):
    process: str
    key: int
    boxes: tuple[int, ...]


class Mailbox(Destination):
    """The messages to one address.

    Args:
        name: of the queue.
        serve: called when there is a message.
    """

    def __init__(self, name: str, serve: Callable[[], object]) -> None:
        self.queue = Queue(name, shared=True)
        self._serve = serve
        self.handed_out = 0

    @property
    def in_flight(self) -> int:
        """How many messages are on their way to who asked."""
        return self.handed_out

    @property
    def deliverable(self) -> int:
        """None: a message waits for somebody who may never ask."""
        return 0

    def deliver(self) -> None:
        """Serve those who wait."""
        self._serve()


class Boxes:
    """Which boxes there are, the same in all processes.

    Args:
        topology: which processes there are.
        first: the number of the first box, which travels where a task has its index.

    Attributes:
        addresses: of the boxes, in order.
    """

    def __init__(self, topology: Topology, first: int) -> None:
        self._topology = topology
        groups = [name for name, members in topology.groups().items() if members]
        self.addresses = [*topology.names(), *groups]
        self._numbers = {address: first + nth for nth, address in enumerate(self.addresses)}

    def number(self, box: str) -> int:
        """The number of a box.

        Raises:
            TargetError: it is not a target, or means every process of a kind, or the topology lacks it.
        """
        target = parse(box)
        members = self._topology.members(target)
        if target.audience in ("all", "active"):
            raise TargetError(f"a message has one box, and {box!r} means several; name one process, a kind or a farm")
        one = target.audience == "one"
        return self._numbers[process_name(*members[0]) if one else self._topology.group_of(target)]


class Mailboxes:
    """All boxes of one master.

    Args:
        addresses: the targets that have a box, in order.
        first: the number of the first box.
        ledger: the counters to keep.
        hand: gives a message to who asked: process, key, content.
        passed: called after messages were taken, or have come back.
    """

    def __init__(
        self, addresses: Iterable[str], first: int, ledger: Ledger, hand: Hand, passed: Callable[[], object]
    ) -> None:
        self.boxes = {
            number: Mailbox(box_name(address), self._serve) for number, address in enumerate(addresses, first)
        }
        self._ledger = ledger
        self._hand = hand
        self._passed = passed
        self._asks: list[_Ask] = []
        self._handed_out: dict[tuple[str, int], tuple[Mailbox, int]] = {}

    def ask(self, process: str, key: int, boxes: tuple[int, ...]) -> None:
        """Wait for the next message in some boxes.

        Raises:
            KeyError: there is no such box.
        """
        for number in boxes:
            _ = self.boxes[number]
        self._asks.append(_Ask(process, key, boxes))
        self._serve()

    def end(self, process: str, key: int, *, took: bool) -> None:
        """That is over: the message was taken, or is not wanted any more."""
        self._asks = [ask for ask in self._asks if (ask.process, ask.key) != (process, key)]
        held = self._handed_out.pop((process, key), None)
        if held is None:
            return
        box, position = held
        box.handed_out -= 1
        if took:
            self._ledger.finish(box.queue, position, PLACE, process)
        else:
            self._ledger.put_back(box.queue, position, PLACE)
            self._serve()
        self._passed()

    def left(self, process: str) -> None:
        """A process has ended: forget what it asked for, put back what it was handed and had not taken."""
        self._asks = [ask for ask in self._asks if ask.process != process]
        # All of it goes back before any is handed out again, or a later one could overtake an earlier one.
        for key in [key for key in self._handed_out if key[0] == process]:
            box, position = self._handed_out.pop(key)
            box.handed_out -= 1
            self._ledger.put_back(box.queue, position, PLACE)
        self._serve()
        self._passed()

    def _serve(self) -> None:
        for ask in tuple(self._asks):
            box = next((self.boxes[number] for number in ask.boxes if len(self.boxes[number].queue)), None)
            if box is not None:
                self._asks.remove(ask)
                self._give(ask, box)

    def _give(self, ask: _Ask, box: Mailbox) -> None:
        position, _ = box.queue.take(1)
        box.handed_out += 1
        self._handed_out[ask.process, ask.key] = box, position
        self._hand(ask.process, ask.key, box.queue.invocations[position].arguments)


def box_name(address: str) -> str:
    """What the queue of a box is called, in the statistics and in a journal."""
    return f"messages for {address}"
