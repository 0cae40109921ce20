"""Raw messages between the processes of a master: bytes that stay in a box until somebody asks for them."""

from __future__ import annotations

import trio

from trisig._model.errors import NoMasterError, master_gone
from trisig._model.invocation import UNRANKED

from .application import Verbs
from .arguments import LONGEST
from .signals import Signals, application_of


class Messages:
    """The messages of one application.

    Make it before the master opens. A box is named by a target that means one process, or the first of several:
    `mule2`, `mule`, `farm_busy`. Whoever asks for the messages of a box gets them, whole and in the order in which each
    process sent them.

    Args:
        signals: the application.
    """

    def __init__(self, signals: Signals) -> None:
        self._application = application_of(signals)
        self._application.has_messages = True

    async def send(self, box: str, message: bytes | bytearray | memoryview) -> None:
        """Put a message into a box; returns once the master has it, and waits while its queue is full.

        Args:
            box: where to.
            message: up to 16 MiB.

        Raises:
            TargetError: there is no such box.
            TypeError: not bytes.
            ValueError: the message is too long.
            NoMasterError: no master is open.
        """
        verbs = self._verbs()
        await verbs.send_task(self._number(box), _checked(message), 0.0, UNRANKED)

    def send_nowait(self, box: str, message: bytes | bytearray | memoryview) -> None:
        """Put a message into a box, from any thread.

        Raises:
            trio.WouldBlock: the master's queue is full; the message was not sent.
            TargetError, TypeError, ValueError, NoMasterError: as for `send`.
        """
        verbs = self._verbs()
        verbs.send_task_nowait(self._number(box), _checked(message), 0.0, UNRANKED)

    async def receive(self, *boxes: str) -> bytes:
        """Wait for the next message in some boxes; those named first are looked into first.

        A call that is cancelled, or whose process ends, leaves the message in its place.

        Raises:
            TargetError: there is no such box.
            NoMasterError: no master is open, or it has ended.
        """
        verbs = self._verbs()
        return bytes(await verbs.receive(tuple(map(self._number, boxes))))

    def receive_in_thread(self, *boxes: str, timeout: float | None = None) -> bytes | None:
        """Wait for the next message in a thread that does not run trio.

        Args:
            boxes: as for `receive`.
            timeout: seconds; None for ever.

        Returns:
            The message; None if there was none in this time.

        Raises:
            TargetError, NoMasterError: as for `receive`.
        """
        token = self._verbs().locks.token_for_thread()
        try:
            return trio.from_thread.run(self._receive_within, boxes, timeout, trio_token=token)
        except trio.RunFinishedError:
            raise master_gone() from None

    async def _receive_within(self, boxes: tuple[str, ...], timeout: float | None) -> bytes | None:  # noqa: ASYNC109
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            return await self.receive(*boxes)
        return None

    def _number(self, box: str) -> int:
        boxes = self._application.boxes
        if boxes is None:
            raise RuntimeError("Messages(signals) has to be made before the master opens")
        return boxes.number(box)

    def _verbs(self) -> Verbs:
        verbs = self._application.verbs
        if verbs is None:
            raise NoMasterError("messages need a master; open one with trisig.open_master or trisig.run")
        return verbs


def _checked(message: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(message, (bytes, bytearray, memoryview)):
        raise TypeError(f"a message is bytes, not {type(message).__name__}")
    if len(data := bytes(message)) > LONGEST:
        raise ValueError(f"a message is {len(data)} bytes long; the most is {LONGEST}")
    return data
