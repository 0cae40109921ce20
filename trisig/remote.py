"""Signals to other programs, as in `await remote.send(17, "127.0.0.1:3031")`; `MasterOptions.sockets` takes theirs."""

from __future__ import annotations

from ._model.address import Address
from ._model.signum import check_signum
from ._remote.deliver import deliver_async
from ._remote.packet import RejectedError

__all__ = ["RejectedError", "send"]

RejectedError.__module__ = __name__


async def send(signum: int, address: str) -> None:
    """Raise a signal in another program; returns once that has it, and waits while its queue is full.

    Cancelled, it may have raised the signal or not.

    Args:
        signum: 0 to 255.
        address: `HOST:PORT`, or the path of a Unix socket.

    Raises:
        TypeError, ValueError: not a signal number, or not an address.
        OSError: nobody listens there, or the connection has ended without an answer.
        trisig.remote.RejectedError: the other program has not taken the signal.
    """
    check_signum(signum)
    Address.parse(address)
    await deliver_async(signum, address)
