"""What the parts of a node need of their master. Types only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from trisig._model.node_info import NodeInfo
from trisig._model.once import Once

from .claims import Claim


class UniqueSource(Protocol):
    """A source of which all nodes have the like, and whose occurrences pass once."""

    @property
    def name(self) -> str: ...
    @property
    def signum(self) -> int: ...
    def missed_since(self, last: float, now: float) -> Once | None: ...


class Leader(Protocol):
    """What runs while this node leads."""

    @property
    def token(self) -> int | None: ...
    @property
    def is_candidate(self) -> bool: ...

    resigns: bool

    def begin(self, token: int, until: float) -> None: ...
    def extend(self, until: float) -> None: ...
    def lose(self) -> None: ...


class Inlet(Protocol):
    """The master, as the cluster needs it."""

    @property
    def leader(self) -> Leader: ...

    @property
    def max_attempts(self) -> int: ...
    @property
    def signums(self) -> Collection[int]: ...
    @property
    def tasks(self) -> Collection[str]: ...
    @property
    def unique_sources(self) -> Iterable[UniqueSource]: ...
    def accept_claims(self, claims: Iterable[Claim]) -> None: ...
    def passed(self) -> None: ...
    def nodes_changed(self, up: Sequence[NodeInfo], down: Sequence[NodeInfo]) -> None: ...
