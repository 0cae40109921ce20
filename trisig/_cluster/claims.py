"""The signals that this node has claimed, until the cluster knows what became of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from trisig._model.dead_letter import DeadLetter
from trisig._model.text import times

from .engine import Claimed, Settlement

_MOST = 256  # at a time
_QUICK_S = 0.05  # a batch that is done sooner lets the node claim more at a time
_SLOW_S = 0.2


class Claim:
    """A claimed signal, and its copies in the queues of this node.

    Args:
        claims: where it belongs.
        owner: the incarnation of this node that has claimed it.
        row: what was claimed.
    """

    def __init__(self, claims: Claims, owner: str, row: Claimed) -> None:
        self._claims = claims
        self.owner = owner
        self.row = row
        self._copies = 1  # and the one who makes the copies
        self._letter: DeadLetter | None = None
        self._returns = False

    def copied(self) -> None:
        """It has joined a queue."""
        self._copies += 1

    def give_back(self) -> None:
        """It cannot be handled here."""
        self._claims.give_back(self)

    def withdrawn(self) -> None:
        """A copy left its queue before any process had it: when the others have ended, another node may run it."""
        self._returns = True
        self.ended()

    def ended(self, letter: DeadLetter | None = None) -> None:
        """A copy is done, or given up."""
        self._letter = letter or self._letter
        self._copies -= 1
        if not self._copies and self._returns:
            self.give_back()
        elif not self._copies:
            self._claims.settle(self, None if self._letter is None else _reason(self._letter))


class Claims:
    """What is claimed, and how much more may be.

    Args:
        least: how many signals may be claimed at a time at least: as many as the node can run at once.
        stir: called when there is something to settle.
    """

    def __init__(self, least: int, stir: Callable[[], object]) -> None:
        self._least = self._window = max(1, least)
        self._stir = stir
        self._held: set[Claim] = set()
        self._settled: defaultdict[str, Settlement] = defaultdict(Settlement)
        self._filled_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def ids(self) -> list[int]:
        """The rows that this node has, as far as the cluster knows: held, or ended and not settled."""
        ended = (row_id for settlement in self._settled.values() for row_id in settlement.ids)
        return [*(claim.row.id for claim in self._held), *ended]

    @property
    def unsettled(self) -> int:
        """How many have ended and are not settled."""
        return sum(map(len, self._settled.values()))

    def room(self, now: float) -> int:
        """How many more may be claimed now; none until half of the window is free, so that they come in batches.

        A node with slow handlers claims what it can run and leaves the rest to others. One with quick handlers claims
        more and more at a time.

        Args:
            now: the time, in seconds.
        """
        return 0 if self._held and len(self._held) > self._window // 2 else self.spare(now)

    def spare(self, now: float) -> int:
        """How many more may be held now.

        Args:
            now: the time, in seconds.
        """
        if self._filled_at and len(self._held) <= self._window // 2:
            self._adapt(now - self._filled_at)
        return max(0, self._window - len(self._held))

    def _adapt(self, took: float) -> None:
        self._filled_at = 0.0
        if took < _QUICK_S:
            self._window = min(_MOST, self._window * 2)
        elif took > _SLOW_S:
            self._window = max(self._least, self._window // 2)

    def hold(self, owner: str, row: Claimed, now: float) -> Claim:
        """Note a claim.

        Args:
            owner: the incarnation of this node.
            row: what was claimed.
            now: the time, in seconds.
        """
        claim = Claim(self, owner, row)
        self._held.add(claim)
        if len(self._held) >= self._window:
            self._filled_at = now
        return claim

    def settle(self, claim: Claim, dead: str | None = None) -> None:
        """A claim has ended; `dead` says why it was given up, if it was."""
        self._held.discard(claim)
        settlement = self._settled[claim.owner]
        if dead is None:
            settlement.done.append(claim.row.id)
        else:
            settlement.dead.append((claim.row.id, dead))
        self._stir()

    def give_back(self, claim: Claim) -> None:
        """A claim cannot be handled here."""
        self._held.discard(claim)
        self._settled[claim.owner].returned.append(claim.row.id)
        self._stir()

    def take_settled(self) -> tuple[str, Settlement] | None:
        """What has ended, for one incarnation of this node; to be put back if the cluster cannot be told."""
        for owner in list(self._settled):
            settlement = self._settled.pop(owner)
            if len(settlement):
                return owner, settlement
        return None

    def put_back(self, owner: str, settlement: Settlement) -> None:
        """The cluster could not be told."""
        newer = self._settled[owner]
        newer.done += settlement.done
        newer.returned += settlement.returned
        newer.dead += settlement.dead


def _reason(letter: DeadLetter) -> str:
    if letter.failures:
        return f"its handler failed {times(letter.failures)}"
    return f"it ended its process {times(letter.attempts)}"
