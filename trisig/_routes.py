"""From signal numbers to queues. Pure.

A route is the list of queues that get a copy of a signal. Raised signals arrive as a run of bytes, mostly
of few kinds; they are parted by route with `bytes.translate`, so that the cost of a run does not depend on
how many signals it holds beyond what C does to bytes.
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
        self._others = [self._all_but(route) for route in self._distinct]

    def __getitem__(self, signum: int) -> Route:
        return self._of[signum]

    def part(self, signals: bytes) -> Iterable[tuple[Route, bytes]]:
        """Split a run of signals by route; the order within each route stays."""
        if len(signals) == 1 or signals.count(signals[0]) == len(signals):
            return ((self._of[signals[0]], signals),)
        return self._parted(signals)

    def _parted(self, signals: bytes) -> Iterator[tuple[Route, bytes]]:
        present = sorted(set(signals.translate(self._index)))
        if len(present) == 1:
            yield self._distinct[present[0]], signals
            return
        for index in present:
            yield self._distinct[index], signals.translate(None, self._others[index])

    def _all_but(self, route: Route) -> bytes:
        return bytes(signum for signum in _EVERY if self._of[signum] != route)
