"""One exception out of the groups that nurseries put around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trisig._model.errors import ChildFailedError


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, or the one that is none."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from leaves(inner)


def peeled(error: BaseException) -> BaseException:
    """What is inside of groups that hold one thing each: an exception, or a group of several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class Body:
    """Notes what its block raises, so that it can come out just so."""

    def __init__(self) -> None:
        self._raised: BaseException | None = None

    def __enter__(self) -> None: ...

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self._raised = error

    def is_all_of(self, inside: list[BaseException]) -> BaseException | None:
        """What the block raised, if nothing else was raised; nurseries may have rebuilt the groups in it."""
        if self._raised is None or {*map(id, inside)} != {*map(id, leaves(self._raised))}:
            return None
        return self._raised


@contextmanager
def unwrapped() -> Iterator[Body]:
    """Let a lone exception out of its groups; of several children that failed to start, the first.

    What the body raises comes out as it is, a group too.
    """
    body = Body()
    try:
        yield body
    except BaseExceptionGroup as group:
        inside = list(leaves(group))
        whole = body.is_all_of(inside)
        if whole is None and len(inside) > 1 and not all(isinstance(error, ChildFailedError) for error in inside):
            raise
        first = whole or inside[0]
        context = first.__context__
        try:
            raise first
        finally:
            first.__context__ = context  # not the group, which says the same again
