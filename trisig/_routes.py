"""From signal numbers to queues. Pure.

A route is the list of queues that get a copy of a signal. Raised signals arrive as a run of bytes, mostly
of one route, which is passed on whole. A run of several routes is parted by queue, not by route: two routes
may share a queue (`worker1` and `workers`), and what goes to one queue must stay in order. `bytes.translate`
does it, so that the cost of a run does not depend on how many signals it holds beyond what C does to bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

Route = tuple[str, ...]

_EVERY = bytes(range(256))


class Routes:
    """Which queues, by name, each of the 256 numbers goes to.

    Args:
        resolve: gives the route of a number; asked for each number whenever `refresh` is called.
    """

    def __init__(self, resolve: Callable[[int], Route]) -> None:
        self._resolve = resolve
        self.refresh()

    def refresh(self) -> None:
        """The table has changed."""
        self._of = [self._resolve(signum) for signum in range(256)]
        self._distinct = list(dict.fromkeys(self._of))
        index = {route: k for k, route in enumerate(self._distinct)}
        self._index = bytes(index[route] for route in self._of)
        self._parts = [self._parts_of(route) for route in self._distinct]

    def _parts_of(self, route: Route) -> dict[bytes, Route]:
        """The queues of a route, those that get the same signals together, by the signals they do not get."""
        parts: dict[bytes, Route] = {}
        for name in route:
            gets = [name in other for other in self._distinct]
            others = bytes(signum for signum in _EVERY if not gets[self._index[signum]])
            parts[others] = (*parts.get(others, ()), name)
        return parts

    def __getitem__(self, signum: int) -> Route:
        return self._of[signum]

    def part(self, signals: bytes) -> Iterable[tuple[Route, bytes]]:
        """Split a run of signals, one or more, by queue; the order within each queue stays."""
        if len(signals) == 1 or signals.count(signals[0]) == len(signals):
            return ((self._of[signals[0]], signals),)
        return self._parted(signals)

    def _parted(self, signals: bytes) -> Iterator[tuple[Route, bytes]]:
        present = sorted(set(signals.translate(self._index)))
        if len(present) == 1:
            yield self._distinct[present[0]], signals
            return
        parts: dict[bytes, Route] = {}
        for index in present:
            parts |= self._parts[index]
        for others, names in parts.items():
            yield names, signals.translate(None, others)
