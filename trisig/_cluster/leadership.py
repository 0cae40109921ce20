"""The lease of the leader, on the side of one node."""

from __future__ import annotations

from .engine import ClusterLink
from .inlet import Inlet

_RENEWS = 5  # times within the grace
_LEADS_FOR = 0.8  # of the grace; the rest is for the end of what runs


class Leadership:
    """Says how long this node may lead, and asks to lead when it would.

    Args:
        inlet: the master; its leader runs while this node leads.
        grace: seconds that a node has for a new session when it has lost its old one.
    """

    def __init__(self, inlet: Inlet, grace: float) -> None:
        self._inlet = inlet
        self._grace = grace

    @property
    def pause(self) -> float:
        """Seconds between two renewals of the lease."""
        return self._grace / (1 if self._inlet.leader.token is None else _RENEWS)

    def renewed(self, at: float) -> None:
        """The lease was renewed, by a statement that was sent at that time."""
        self._inlet.leader.extend(self._until(at))

    def lost(self) -> None:
        """Another node may lead."""
        self._inlet.leader.lose()

    async def stand(self, link: ClusterLink, incarnation: str, renewed_at: float) -> None:
        """Be the leader, if there is none and this node would; or let another one be."""
        if self._inlet.leader.resigns:
            await link.resign(incarnation)
            self._inlet.leader.resigns = False
        elif self._inlet.leader.is_candidate and (token := await link.lead(incarnation)) is not None:
            self._inlet.leader.begin(token, self._until(renewed_at))

    def _until(self, renewed_at: float) -> float:
        """When the services of the leader must end, by trio's clock.

        Whenever its session ends, and it may not learn of that, a node has the grace to come back: so nobody else leads
        within the grace from when a renewal was sent that was answered.
        """
        return renewed_at + self._grace * _LEADS_FOR
