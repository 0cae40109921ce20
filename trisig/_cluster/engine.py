"""What a cluster is made of: a place where nodes meet, leave signals for each other, and see who lives.

An engine makes links. A link is a session with that place: its methods wait for an answer, and raise
`ClusterLostError` when the session is over, whatever became of the last statement. `put` and `settle` may then be
repeated on the next link.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal

import msgspec

from trisig._model.dead_letter import DeadLetter
from trisig._model.invocation import UNRANKED
from trisig._model.node_info import NodeInfo
from trisig._model.once import Once

News = Literal["signals", "nodes", "later"]
LETTER_PREFIX = "cluster-"  # of the ids of dead letters, which a master must not mistake for its own
MOST_BYTES = 16 * 2**20  # of arguments in one batch, but for a first task that is longer


class ClusterLostError(Exception):
    """The session with the database is over, or was not made.

    Attributes:
        answered: whether a server has refused it, for a password or a database, say.
    """

    def __init__(self, message: str, *, answered: bool = False) -> None:
        super().__init__(message)
        self.answered = answered


class Outbound(msgspec.Struct, frozen=True):
    """A signal or a task for the cluster.

    Attributes:
        signum: the signal; None for a task.
        node: for which node: its name, `ANY_NODE` or `EVERY_NODE`.
        once: which occurrence it is, if the cluster shall let it through once.
        task: its name; None for a signal.
        arguments: of the task, in MessagePack.
        priority: as in `Invocation`.
        due: when it may run, in seconds since the epoch by the clock of this node; 0 for at once.
    """

    signum: int | None
    node: str
    once: Once | None = None
    task: str | None = None
    arguments: bytes | bytearray = b""
    priority: int = UNRANKED
    due: float = 0.0


class Claimed(msgspec.Struct, frozen=True):
    """A signal or a task that this node has taken over.

    Attributes:
        id: of its row.
        signum: the signal; None for a task.
        attempts: how many nodes have taken it over, this one included, that did not give it back.
        once, task, arguments, priority: as in `Outbound`.
    """

    id: int
    signum: int | None
    attempts: int
    once: Once | None = None
    task: str | None = None
    arguments: bytes = b""
    priority: int = UNRANKED

    def __str__(self) -> str:
        """What it is: `signal 17`, `task shop.resize`."""
        return f"signal {self.signum}" if self.task is None else f"task {self.task}"


class Settlement(msgspec.Struct):
    """What has become of claimed signals: ids.

    Attributes:
        done: their handlers ran to the end.
        returned: another node may have them.
        dead: they are given up, each for a reason.
    """

    done: list[int] = msgspec.field(default_factory=list)
    returned: list[int] = msgspec.field(default_factory=list)
    dead: list[tuple[int, str]] = msgspec.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.done) + len(self.returned) + len(self.dead)

    @property
    def ids(self) -> list[int]:
        """All of them."""
        return [*self.done, *self.returned, *(row_id for row_id, _ in self.dead)]


class ClusterLink(abc.ABC):
    """A session with the database. Each of its methods raises `ClusterLostError`.

    Attributes:
        is_successor: the server has taken the place of another one since the session before, and may lack what that
            one has stored last.
    """

    is_successor = False

    @abc.abstractmethod
    async def join(self, incarnation: str) -> None:
        """Become a node, in the place of a dead one of the same name.

        Raises:
            trio.BusyResourceError: another node has the name.
        """

    @abc.abstractmethod
    async def renew(self, incarnation: str, *, sweep: bool) -> tuple[NodeInfo, ...] | None:
        """Renew the lease, and list all nodes; None if this node was declared down.

        Args:
            incarnation: of this node.
            sweep: whether to declare down the nodes whose lease is over, which gives back what they had claimed.
        """

    @abc.abstractmethod
    async def lead(self, incarnation: str) -> int | None:
        """Become the leader, or its successor, if there is none that lives; return a token larger than all before.

        Args:
            incarnation: of this node, which has renewed its lease.
        """

    @abc.abstractmethod
    async def resign(self, incarnation: str) -> None:
        """Not be the leader any more, so that another node may be."""

    @abc.abstractmethod
    async def leave(self, incarnation: str) -> None:
        """End being a node; what it had claimed is free again."""

    @abc.abstractmethod
    async def wait_news(self) -> Collection[News]:
        """Wait until somebody has announced something; there may be less, and more, than was announced."""

    @abc.abstractmethod
    async def wait_silent(self, incarnation: str) -> None:
        """Wait until the session of a node has ended, and shorten its lease to the grace for a new one."""

    @abc.abstractmethod
    async def put(self, sender: str, number: int, batch: Sequence[Outbound]) -> bool:
        """Store signals, unless this batch of this sender is stored already; return once they are on disk.

        Args:
            sender: who has numbered the batch.
            number: of the batch, larger than those before it.
            batch: the signals, in order.

        Returns:
            Whether there may be something of which `announce` has to tell.
        """

    @abc.abstractmethod
    async def keep(
        self, sender: str, number: int, batch: Sequence[Outbound], incarnation: str
    ) -> Sequence[Claimed] | None:
        """Store signals, and take them over at once; return once they are on disk.

        Args:
            sender: who has numbered the batch, as for `put`.
            number: of the batch.
            batch: the signals, in order; for this node or any, due, and no occurrences.
            incarnation: of this node.

        Returns:
            What was taken over; None if the batch is stored already, or else this sender is not known yet, and `put`
            has to look.
        """

    @abc.abstractmethod
    async def announce(self, words: Collection[str]) -> None:
        """Wake up the nodes for what was stored.

        Args:
            words: `signals` for all nodes, `signals NAME` for one, `later` for a task that is due some day.
        """

    @abc.abstractmethod
    async def last_due(self, source: str) -> float | None:
        """When the last occurrence of a source was due that was let through; None if none is known."""

    @abc.abstractmethod
    async def ripen(self) -> float | None:
        """Let nodes claim the tasks that are due by now; return the seconds until the next one is; None for none."""

    @abc.abstractmethod
    async def claim(
        self, incarnation: str, signums: Collection[int], tasks: Collection[str], limit: int
    ) -> Sequence[Claimed]:
        """Take over signals and tasks that nobody has and that are due, by priority and age.

        There may be fewer than the limit, for the size of their arguments.

        Args:
            incarnation: of this node.
            signums: the numbers that it can handle.
            tasks: the names of the tasks that it can run.
            limit: how many at most.
        """

    @abc.abstractmethod
    async def keep_only(self, incarnation: str, known: Callable[[], Collection[int]]) -> None:
        """Give back what a node has claimed besides what it knows of.

        Args:
            incarnation: of the node.
            known: says what it knows of; called when it has been noted up to where the rows are looked at, so that
                what it stores meanwhile stays.
        """

    @abc.abstractmethod
    async def settle(self, incarnation: str, settlement: Settlement) -> None:
        """Say what has become of claimed signals; of those that are not this node's any more, nothing."""


class ClusterEngine(abc.ABC):
    """Where the nodes of a cluster meet; `trisig.postgres.Cluster` is one.

    Attributes:
        node: the name of this node.
        lease: seconds without a word from a node after which it counts as dead.
        grace: seconds that a node has for a new session when it has lost its old one.
    """

    node: str
    lease: float
    grace: float

    @abc.abstractmethod
    async def dead_letters(self) -> Sequence[DeadLetter]:
        """What the nodes have given up, the oldest first.

        Raises:
            ClusterError: the database cannot be used, or reached.
        """

    @abc.abstractmethod
    async def requeue(self, letter_id: str) -> DeadLetter | None:
        """Let a dead letter run again, with all its attempts; None if there is none with this id.

        Raises:
            ClusterError: the database cannot be used, or reached.
        """

    @abc.abstractmethod
    async def drop(self, letter_id: str) -> DeadLetter | None:
        """Forget a dead letter; None if there is none with this id.

        Raises:
            ClusterError: the database cannot be used, or reached.
        """

    @abc.abstractmethod
    def connect(self) -> AbstractAsyncContextManager[ClusterLink]:
        """Make a session.

        Raises:
            ClusterError: the database cannot be used.
            ClusterLostError: it cannot be reached, or has refused.
        """
