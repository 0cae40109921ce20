"""What nodes announce to each other.

Anybody may say anything: it is only a reason to look, and so is what a node of an older version does not know.
"""

from __future__ import annotations

from trisig._cluster.engine import News
from trisig._model.targets import EVERY_NODE

from .floors import NOTHING_SAID


def said(word: str, first: int | None) -> str:
    """What is announced: `signals` and `signals NAME` with the lowest id that it is about, as far as that is known."""
    kind, *node = word.split()
    return word if first is None or kind != "signals" else f"signals {node[0] if node else EVERY_NODE} {first}"


def heard(payload: bytes, name: str) -> tuple[News, int] | None:
    """What was announced, and from which id on one has to look; None if it is for another node.

    Args:
        payload: of the notification.
        name: of this node.
    """
    match payload.decode(errors="replace").split():
        case ["nodes"]:
            return "nodes", NOTHING_SAID
        case ["later"]:
            return "later", NOTHING_SAID
        case ["signals", other, *_] if other not in (name, EVERY_NODE):
            return None
        case ["signals", _, first] if first.isascii() and first.isdecimal() and len(first) < 20:
            return "signals", int(first)
    return "signals", 0
