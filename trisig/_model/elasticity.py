"""Between how many workers a master keeps, and when one comes or goes. Pure."""

from __future__ import annotations

import msgspec


class Elasticity(msgspec.Struct, frozen=True):
    """How the number of workers follows the work; uWSGI's `cheaper`.

    Attributes:
        least: how many workers there are at least.
        initial: how many there are at first.
        step: how many come at a time.
        idle: seconds without work after which one goes.
    """

    least: int
    initial: int
    step: int
    idle: float

    @classmethod
    def given(cls, workers: int, least: int, initial: int | None, step: int, idle: float) -> Elasticity:
        """The elasticity that some options mean.

        Raises:
            ValueError: there are not more workers than the least, or the initial number is not between them.
        """
        if least >= workers:
            raise ValueError(f"cheaper is less than workers, which is {workers}, not {least}")
        first = least if initial is None else initial
        if not least <= first <= workers:
            raise ValueError(f"cheaper_initial is a number from cheaper to workers, {least} to {workers}, not {first}")
        return cls(least, first, step, idle)
