"""How long things took, in a few numbers. Pure.

A histogram has a row of counts in buckets whose bounds grow by an eighth to a quarter, so it is right to that fraction
from a microsecond to an hour, and takes a kilobyte however much it counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

BUCKETS = 128
_SHIFT = 10  # the first bucket is for all below 2**10 ns


def bucket_of(nanoseconds: int) -> int:
    """The index of the bucket that counts a time; the last one has all that is longer."""
    length = nanoseconds.bit_length()
    if length <= _SHIFT:
        return 0
    # Four buckets for each power of two, by the two bits below the first.
    return min((length - _SHIFT) * 4 + (nanoseconds >> (length - 3)) - 7, BUCKETS - 1)


# The seconds that nothing in a bucket reaches.
BOUNDS = tuple(
    ((5 + part) << (_SHIFT - 2 + power)) / 1e9
    for power, part in ((0, -1), *(divmod(place, 4) for place in range(BUCKETS - 1)))
)


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took.

    Attributes:
        count: how often.
        total: seconds in all.
        p50, p99: the seconds that half of them, and 99 of 100, did not exceed, to within an eighth; None for none.
        buckets: (seconds, count) pairs of the histogram: so many took no longer than that, and longer than the bound
            before. Empty buckets are left out, so the bound before may be that of an empty one.
    """

    count: int = 0
    total: float = 0.0
    p50: float | None = None
    p99: float | None = None
    buckets: tuple[tuple[float, int], ...] = ()

    @classmethod
    def counted(cls, counts: Sequence[int], total_ns: int) -> Durations:
        """Read a row of counts.

        Args:
            counts: by bucket.
            total_ns: nanoseconds in all.
        """
        count = sum(counts)
        if not count:
            return cls()
        used = list(compress(range(BUCKETS), counts))
        p50, p99 = (_quantile(counts, used, count * share) for share in (0.5, 0.99))
        return cls(count, total_ns / 1e9, p50, p99, tuple([(BOUNDS[bucket], counts[bucket]) for bucket in used]))


def _quantile(counts: Sequence[int], used: Sequence[int], rank: float) -> float:
    """Where a rank stands, if the times in its bucket are spread evenly."""
    below = 0
    for bucket in used:
        if below + counts[bucket] >= rank:
            lower = BOUNDS[bucket - 1] if bucket else 0.0
            return lower + (BOUNDS[bucket] - lower) * (rank - below) / counts[bucket]
        below += counts[bucket]
    raise AssertionError("no rank is above the count")
