"""The packets: four bytes, modifier1, the size of a body that is empty (two bytes), modifier2."""

from __future__ import annotations

PACKET_BYTES = 4
DELIVERED = b"\xff\x00\x00\x01"

_SIGNAL = b"\x6e\x00\x00"


class RejectedError(ValueError):
    """The other program has answered, and did not take the signal."""


def packet_of(signum: int) -> bytes:
    """What is sent for a signal."""
    return _SIGNAL + bytes((signum,))


def signum_of(packet: bytes) -> int | None:
    """The signal that a packet raises; None if it is no such packet, or no whole one."""
    return packet[-1] if len(packet) == PACKET_BYTES and packet.startswith(_SIGNAL) else None


def undelivered(signum: int, node: str) -> OSError:
    """What uWSGI raises for a program that cannot be reached, or does not answer."""
    return OSError(f"unable to deliver signal {signum} to node {node}")


def check_answer(answer: bytes, signum: int, node: str) -> None:
    """Look at what came back.

    Raises:
        OSError: no whole packet.
        RejectedError: another one than that for a signal that was taken.
    """
    if len(answer) < PACKET_BYTES:
        raise undelivered(signum, node)
    if answer != DELIVERED:
        raise RejectedError(f"node {node} rejected signal {signum}")
