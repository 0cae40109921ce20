"""One call of a task. Pure.

A task takes one place in a queue, as a signal does, so both keep their order. The byte at that place is `PLACE`, and
means nothing; the queue keeps the invocation itself by position, from when it is accepted until it is finished or
given up. So the process that runs it may die at any moment: its arguments are still here.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

PLACE = b"\0"  # stands in a queue, and in a lane, where a task does
NO_REPLY = 0
UNRANKED = 1_000_000_000  # behind every priority


class Invocation(msgspec.Struct, gc=False):
    """A task and its arguments.

    Attributes:
        task: the index of the task, in the order in which the application declared them.
        arguments: encoded.
        reply: a number for the answer; `NO_REPLY` if nobody waits for one.
        priority: lower ones overtake what waits in the same queue; `UNRANKED` overtakes nothing.
    """

    task: int
    arguments: bytes | bytearray
    reply: int = NO_REPLY
    priority: int = UNRANKED


@dataclass(frozen=True, slots=True)
class QueuedTask:
    """What an instrument hears of a task, and a journal keeps.

    Attributes:
        task: its name.
        arguments: as they travel, in MessagePack.
        due: when it shall run, in seconds since the epoch; 0 for at once.
        destination: the queue that it joins when it is due; empty if it is in it.
        durable: it is a job of a spool, which keeps it.
        priority: as in `Invocation`.
    """

    task: str
    arguments: bytes
    due: float = 0.0
    destination: str = ""
    durable: bool = False
    priority: int = UNRANKED
