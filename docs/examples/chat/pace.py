"""How fast one client may go on: a bucket of permissions that refills with time. Pure."""

from __future__ import annotations

RATE = 5.0  # requests a second
BURST = 20.0  # requests at once, after a pause


class Pace:
    """The pace of one client.

    A client that goes too fast is not refused anything: it is read later. Its own socket fills, its own sending
    waits, nobody else notices, and nothing that it wrote is lost.
    """

    def __init__(self, now: float, rate: float = RATE, burst: float = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._seen = burst, now

    def take(self, now: float) -> float:
        """Take one permission; returns the seconds to wait before using it."""
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate) - 1
        self._seen = now
        return max(0.0, -self._left / self._rate)
