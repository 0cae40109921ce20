"""The verbs of `Signals` about the nodes of a cluster."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeVar, Unpack

from trisig._model.handlers import Handler, check_called
from trisig._model.handling import HandlingOptions
from trisig._model.node_info import NodeInfo
from trisig._model.signum import check_signum
from trisig._model.targets import parse

from .application import Application, NodeChange

H = TypeVar("H", bound=Handler)


class NodeEvents(abc.ABC):
    """The part of `Signals` that tells of other nodes."""

    _app: Application

    @abc.abstractmethod
    def register(self, signum: int, target: str, handler: Handler, **handling: Unpack[HandlingOptions]) -> None: ...
    @abc.abstractmethod
    def free_signum(self) -> int: ...
    @abc.abstractmethod
    def _before_the_fork(self, what: str) -> None: ...

    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes of the cluster, by name, as this master saw them last; none without a cluster.

        A child asks its master, which takes about as long as `register`.
        """
        return () if self._app.verbs is None else self._app.verbs.nodes()

    def add_node_up(self, signum: int) -> None:
        """Raise a signal when a node has joined the cluster: in each other node, or with target `cluster` once.

        Args:
            signum: the signal.

        Raises:
            TypeError, ValueError: not a signal number.
            RuntimeError: a master is open.
        """
        self._add_node_event("up", signum)

    def add_node_down(self, signum: int) -> None:
        """Raise a signal when a node has left the cluster or died; the rest as for `add_node_up`."""
        self._add_node_event("down", signum)

    def _add_node_event(self, change: NodeChange, signum: int) -> None:
        check_signum(signum)
        self._before_the_fork(f"node_{change}")
        self._app.node_signums[change].append(signum)

    def node_up(
        self, target: str = "worker", signum: int | None = None, **handling: Unpack[HandlingOptions]
    ) -> Callable[[H], H]:
        """Decorate a handler that runs when a node has joined the cluster; see `add_node_up` and `register`.

        `Signals.event().payload` is the name of the node, unless the target is one in the cluster.
        """
        return self._on_node("up", target, signum, handling)

    def node_down(
        self, target: str = "worker", signum: int | None = None, **handling: Unpack[HandlingOptions]
    ) -> Callable[[H], H]:
        """Decorate a handler that runs when a node has left the cluster or died; see `node_up`."""
        return self._on_node("down", target, signum, handling)

    def _on_node(
        self, change: NodeChange, target: str, signum: int | None, handling: HandlingOptions
    ) -> Callable[[H], H]:
        check_called(target, f"signals.node_{change}()")
        parse(target)

        def decorate(handler: H) -> H:
            number = self.free_signum() if signum is None else signum
            self.register(number, target, handler, **handling)
            self._add_node_event(change, number)
            return handler

        return decorate
