"""From signal numbers to destinations. Pure.

A route is the tuple of destinations that get a copy of a signal. Raised signals arrive as a run of bytes, mostly
of one route, which is passed on whole. A run of several routes is parted by destination, not by route: two routes
may share one (`worker1` and `workers`), and what goes to one destination must stay in order. `bytes.translate`
does it, so the cost of a run does not depend on how many signals it holds beyond what C does to bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

D = TypeVar("D", bound=Hashable)

_EVERY = bytes(range(256))


class Routes(Generic[D]):
    """Which destinations each of the 256 numbers goes to.

    Args:
        resolve: gives the route of a number; asked for each number whenever `refresh` is called.
    """

    def __init__(self, resolve: Callable[[int], tuple[D, ...]]) -> None:
        self._resolve = resolve
        self.refresh()

    def refresh(self) -> None:
        """The table has changed."""
        self._of = [self._resolve(signum) for signum in range(256)]
        self._distinct = list(dict.fromkeys(self._of))
        index = {route: k for k, route in enumerate(self._distinct)}
        self._index = bytes(index[route] for route in self._of)
        self._parts = [self._parts_of(route) for route in self._distinct]

    def _parts_of(self, route: tuple[D, ...]) -> dict[bytes, tuple[D, ...]]:
        """Destinations of a route by the signals that they do not get; those that get the same ones together."""
        parts: dict[bytes, tuple[D, ...]] = {}
        for destination in route:
            gets = [destination in other for other in self._distinct]
            others = bytes(signum for signum in _EVERY if not gets[self._index[signum]])
            parts[others] = (*parts.get(others, ()), destination)
        return parts

    def __getitem__(self, signum: int) -> tuple[D, ...]:
        return self._of[signum]

    def part(self, signals: bytes) -> Iterable[tuple[tuple[D, ...], bytes]]:
        """Split a run of signals, one or more, by destination; the order within each stays."""
        if len(signals) == 1 or signals.count(signals[0]) == len(signals):
            return ((self._of[signals[0]], signals),)
        return self._parted(signals)

    def _parted(self, signals: bytes) -> Iterator[tuple[tuple[D, ...], bytes]]:
        present = sorted(set(signals.translate(self._index)))
        if len(present) == 1:
            yield self._distinct[present[0]], signals
            return
        parts: dict[bytes, tuple[D, ...]] = {}
        for index in present:
            parts |= self._parts[index]
        for others, destinations in parts.items():
            yield destinations, signals.translate(None, others)
