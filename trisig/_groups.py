"""One exception out of the groups that nurseries put around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ._errors import ChildFailedError


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, or the one that is none."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from leaves(inner)


def only(error: BaseException) -> BaseException:
    """The sole exception inside nested groups; the group itself if there are several."""
    inside = list(leaves(error))
    return inside[0] if len(inside) == 1 else error


@contextmanager
def unwrapped() -> Iterator[None]:
    """Let a lone exception out of its groups; of several children that failed to start, the first."""
    try:
        yield
    except BaseExceptionGroup as group:
        inside = list(leaves(group))
        if len(inside) > 1 and not all(isinstance(error, ChildFailedError) for error in inside):
            raise
        first, context = inside[0], inside[0].__context__
        try:
            raise first
        finally:
            first.__context__ = context  # not the group, which says the same again
