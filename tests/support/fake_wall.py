"""A wall clock that a test sets, and what a cron job raised by it."""

from datetime import UTC, datetime

import trio

from trisig._sources.occurrences import OnNotice


class FakeWall:
    """A wall clock on trio's clock. Rounded, since sums of floats may fall just short of the deadline."""

    def __init__(self, start: str) -> None:
        self._changed = trio.Event()
        self._offset = moment(start) - trio.current_time()

    def now(self) -> float:
        return round(trio.current_time() + self._offset, 3)

    async def wait_until(self, deadline: float, passed: OnNotice | None = None) -> None:
        assert passed is None  # cron jobs do not ask for that
        # A millisecond later where the rounding of `now` could fall short of it for ever.
        with trio.move_on_at(deadline - self._offset + (0 if deadline.is_integer() else 0.001)):
            await self._changed.wait()
        await trio.lowlevel.checkpoint()

    def set(self, to: str) -> None:
        """Somebody sets the clock, and the kernel says so."""
        self.set_silently(to)
        self._changed.set()
        self._changed = trio.Event()

    def set_silently(self, to: str) -> None:
        self._offset += moment(to) - self.now()


def moment(text: str) -> float:
    """Seconds since 1970 of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class Times:
    """The times of day at which signals came."""

    def __init__(self, wall: FakeWall) -> None:
        self.wall = wall
        self.seen: list[str] = []
        self.delays: list[float] = []

    async def send(self, _signum: int) -> None:
        await trio.lowlevel.checkpoint()
        self.seen.append(datetime.fromtimestamp(self.wall.now(), UTC).isoformat()[:19])
        if self.delays:
            await trio.sleep(self.delays.pop(0))
