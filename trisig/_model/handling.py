"""What becomes of a signal whose handler still runs, and of one whose handler fails. Pure."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any, Literal, TypeAlias, TypedDict, Unpack, get_args

import msgspec

from .backoff import Backoff

Overlap: TypeAlias = Literal["queue", "one", "skip"]


class HandlingOptions(TypedDict, total=False):
    """What the decorators of handlers take by name."""

    overlap: Overlap
    """`queue` handles each signal; with `one`, one runs and one waits at most; with `skip`, none waits."""
    retry: Backoff | None
    """How often a handler that raises is tried; None for once."""


class Handling(msgspec.Struct, frozen=True):
    """How the signals of one number are handled.

    Args:
        overlap: `queue` handles each of them. With `one`, one runs at a time and one waits besides it. With `skip`,
            none is accepted while one waits or runs.
        retry: how often a handler that raises is tried; None for once.

    Raises:
        TypeError: a value of another type.
        ValueError: another word.
    """

    overlap: Overlap = "queue"
    retry: Backoff | None = None

    def __post_init__(self) -> None:
        if self.overlap not in get_args(Overlap):
            words = ", ".join(map(repr, get_args(Overlap)))
            raise ValueError(f"overlap must be one of {words}, not {self.overlap!r}")
        if self.retry is not None and not isinstance(self.retry, Backoff):
            raise TypeError(f"retry must be a trisig.Backoff or None, not {self.retry!r}")

    @classmethod
    def given(cls, default: Overlap = "queue", **options: Unpack[HandlingOptions]) -> Handling:
        """The handling that some options mean.

        Args:
            default: `overlap`, if it is not among them.
            options: by name.

        Raises:
            TypeError, ValueError: another name, or another value.
        """
        if unknown := ", ".join(sorted(options.keys() - {"overlap", "retry"})):
            raise TypeError(f"a handler takes overlap= and retry=, not {unknown}")
        return cls(options.get("overlap", default), options.get("retry"))

    def to_plain(self) -> dict[str, Any]:
        """What `from_plain` makes an equal one of; plain enough for JSON."""
        return {"overlap": self.overlap, "retry": None if self.retry is None else list(astuple(self.retry))}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Handling:
        """The one that some plain data stands for."""
        retry = plain["retry"]
        return cls(plain["overlap"], None if retry is None else Backoff(*retry))
