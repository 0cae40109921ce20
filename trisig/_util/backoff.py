"""How long to wait before trying again."""

from __future__ import annotations

import msgspec

from trisig._model.backoff import doubled


class Backoff(msgspec.Struct, frozen=True):
    """Pauses between tries: each failure in a row doubles the pause, up to a limit.

    Args:
        first: seconds to wait after the first failure.
        longest: seconds that no pause exceeds.
        steady: seconds of success after which a failure counts as the first one again.
    """

    first: float = 0.1
    longest: float = 30.0
    steady: float = 60.0

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row; none after none."""
        return doubled(self.first, self.longest, failures)

    def count(self, failures: int, lasted: float) -> int:
        """The failures in a row, once a try that lasted `lasted` seconds has failed after `failures` others."""
        return 1 if lasted > self.steady else failures + 1
