"""Who came and who went, between two looks at the nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from trisig._model.node_info import NodeInfo


class Members:
    """The nodes as one of them saw them last.

    Args:
        me: the name of that one.

    Attributes:
        nodes: all of them, by name.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._seen = False
        self.nodes: tuple[NodeInfo, ...] = ()

    def see(self, nodes: Iterable[NodeInfo]) -> tuple[list[NodeInfo], list[NodeInfo]]:
        """Take note of the nodes; return those that have come and those that have gone, without this one."""
        before, self.nodes = self.nodes, tuple(sorted(nodes, key=lambda node: node.name))
        if not self._seen:
            self._seen = True
            return [], []
        return self._others(self.nodes, before), self._others(before, self.nodes)

    def _others(self, nodes: Iterable[NodeInfo], known: Iterable[NodeInfo]) -> list[NodeInfo]:
        incarnations = {node.incarnation for node in known}
        return [node for node in nodes if node.incarnation not in incarnations and node.name != self._me]

    @property
    def neighbour(self) -> NodeInfo | None:
        """The node that this one watches: the next one in a ring of them all; None if there is no other."""
        others = [node for node in self.nodes if node.name != self._me]
        return next((node for node in others if node.name > self._me), others[0] if others else None)
