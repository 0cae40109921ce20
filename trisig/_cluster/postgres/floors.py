"""Where a node looks for free rows. Pure.

The index has them by node, priority and id, and beside them what was free once and is claimed or settled: dead entries,
which stay until a vacuum comes by. So a look begins behind what this node has seen.

A row behind that may be free all the same: it was given back, or its transaction has ended after that of a later row.
Whoever does that says its id, and the next look begins there. What nobody has said is found by a look that begins at 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from trisig._cluster.engine import Claimed
from trisig._model.invocation import UNRANKED

NOTHING_SAID = 2**63
_LOWEST, _END = -(2**31) - 1, 2**31  # before and behind all priorities
_MOST = 8  # priorities to keep apart; what lies between them is looked at each time


class Floors:
    """Up to which id all has been seen, for each priority.

    Args:
        nodes: whose rows are looked at, in this order.

    Attributes:
        top: an id that was given before the next look begins.
    """

    def __init__(self, *nodes: str) -> None:
        self._floors: dict[str, dict[int, int]] = {node: {UNRANKED: 0} for node in nodes}
        self._before = self._floors
        self._said = NOTHING_SAID
        self.top = 0

    def say(self, row_id: int) -> None:
        """A row may have come to be free, and no lower one; the next look begins there."""
        self._said = min(self._said, row_id)

    def starts(self) -> list[tuple[str, int, int, int]]:
        """Begin a look: by node, the priority and id behind which it goes on, and the priority where it stops."""
        said, self._said = self._said, NOTHING_SAID
        self._before = self._floors
        self._floors = {
            node: {priority: max(0, min(floor, said - 1)) for priority, floor in floors.items()}
            for node, floors in self._before.items()
        }
        return [start for node, floors in self._floors.items() for start in _starts(node, floors)]

    def looked(self, found: Iterable[tuple[Claimed, str]], *, ended: bool) -> None:
        """A look is over.

        Args:
            found: what it has claimed, and for which node that was.
            ended: whether there was nothing else.
        """
        for claimed, node in found:
            floors = self._floors[node]
            floors[claimed.priority] = max(floors.get(claimed.priority, 0), claimed.id)
        for node, floors in self._floors.items():
            if ended:
                before = self._before[node]
                floors |= {one: max(floor, before.get(one, 0), self.top) for one, floor in floors.items()}
            while len(floors) > _MOST:
                del floors[min(floors.keys() - {UNRANKED}, key=lambda one: floors[one])]


def _starts(node: str, floors: dict[int, int]) -> list[tuple[str, int, int, int]]:
    known = [(_LOWEST, 0), *sorted(floors.items())]
    ends = [priority for priority, _ in known[1:]] + [_END]
    return [(node, priority, floor, end) for (priority, floor), end in zip(known, ends, strict=True)]
