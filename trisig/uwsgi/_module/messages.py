"""Messages for mules and farms: bytes, whole and in order, that stay in the master until a mule asks for them."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import SupportsIndex

import trio

from trisig import Master, NoMasterError, current_process
from trisig._api.messages import Messages
from trisig.uwsgi._runtime.main_thread import MainThread
from trisig.uwsgi._runtime.processes import Processes

log = logging.getLogger("trisig")

Message = str | bytes


class MessageFunctions:
    """The functions about messages.

    Args:
        messages: of the application.
        processes: who this is.
        main: of this process.

    Attributes:
        strictly_handled: waits until a handler has run; None without `strict-uwsgi`.
    """

    def __init__(self, messages: Messages, processes: Processes, main: MainThread) -> None:
        self._messages = messages
        self._processes = processes
        self._main = main
        self._early: list[tuple[str, bytes]] = []  # sent before the master is open
        self.strictly_handled: Callable[[], Awaitable[None]] | None = None

    def mule_msg(self, message: Message, mule: SupportsIndex | Message | None = None, /) -> bool:
        """Send a message to a mule, to the mules of a farm by its name, or to the first mule that asks.

        Returns:
            True; False if there is no such mule.

        Raises:
            ValueError: there is no farm of that name.
        """
        if not self._processes.topology.mules:
            raise ValueError("no mule configured")
        if isinstance(mule, (str, bytes)):
            return self._send(f"farm_{self._farm(mule)}", message)
        number = 0 if mule is None else operator.index(mule)
        if not 0 <= number <= self._processes.topology.mules:
            return False
        return self._send(f"mule{number or ''}", message)

    def farm_msg(self, farm: Message, message: Message, /) -> None:
        """Send a message to the first mule of a farm that asks; nothing happens if there is no such farm."""
        if os.fsdecode(farm) in self._processes.topology.farms:
            self._send(f"farm_{os.fsdecode(farm)}", message)

    def _farm(self, name: Message) -> str:
        farm = os.fsdecode(name)
        if farm not in self._processes.topology.farms:
            raise ValueError("unknown farm")
        return farm

    def _send(self, box: str, message: Message) -> bool:
        if not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is text or bytes, not {message!r}")
        data = message.encode() if isinstance(message, str) else message
        try:
            self._messages.send_nowait(box, data)
        except NoMasterError:
            self._early.append((box, data))
        except trio.WouldBlock:
            self._main.call(self._messages.send, box, data)
        return True

    def mule_get_msg(
        self,
        signals: bool | None = True,  # noqa: FBT001, FBT002  uWSGI's parameters
        farms: bool = True,  # noqa: FBT001, FBT002
        buffer_size: int = 65_536,  # noqa: ARG002
        timeout: int = -1,
    ) -> bytes | None:
        """Wait for the next message for this mule, and run handlers meanwhile.

        Args:
            signals: whatever it says, handlers run. With `strict-uwsgi` the default keeps them waiting, and False or
                None has them run, each of which ends the call.
            farms: whether messages for its farms count.
            buffer_size: whatever it says, messages are whole.
            timeout: seconds; -1 is for ever.

        Returns:
            The message; empty if none came in time. None if a handler has ended the call.

        Raises:
            ValueError: this is no mule.
        """
        number = self._processes.number("mule")
        if not number:
            raise ValueError("you can receive mule messages only in a mule !!!")
        boxes = self._boxes() if farms else (f"mule{number}", "mule")
        if self.strictly_handled is None:
            return self._receive(boxes, timeout)
        if signals:
            return self._receive(boxes, timeout, serving=False)
        return self._receive_or_handle(boxes, timeout, self.strictly_handled)

    def farm_get_msg(self, *_: object) -> bytes:
        """Wait for the next message for a farm of this mule.

        Raises:
            ValueError: this is no mule, or in no farm.
        """
        farms = () if self._processes.in_master else current_process().farms
        if not farms:
            raise ValueError("you can receive farm messages only in a mule of a farm !!!")
        return self._receive(tuple(f"farm_{farm}" for farm in farms), -1)

    def _boxes(self) -> tuple[str, ...]:
        """Where messages for this mule may lie."""
        me = current_process()
        return (f"mule{me.number}", "mule", *(f"farm_{farm}" for farm in me.farms))

    def _receive(self, boxes: tuple[str, ...], timeout: float, *, serving: bool = True) -> bytes:
        async def receive() -> bytes:
            with trio.move_on_after(timeout if timeout >= 0 else float("inf")):
                return await self._messages.receive(*boxes)
            return b""

        return self._main.call(receive, serving=serving)

    def _receive_or_handle(
        self, boxes: tuple[str, ...], timeout: float, handled: Callable[[], Awaitable[None]]
    ) -> bytes | None:
        async def end_when_handled(scope: trio.CancelScope) -> None:
            await handled()
            scope.cancel()

        async def receive() -> bytes | None:
            found: bytes | None = None
            with trio.move_on_after(timeout if timeout >= 0 else float("inf")) as limit:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(end_when_handled, nursery.cancel_scope)
                    found = await self._messages.receive(*boxes)
                    nursery.cancel_scope.cancel()
            return b"" if found is None and limit.cancelled_caught else found

        return self._main.call(receive)

    async def send_early(self, _master: Master) -> None:
        """Send what the application has sent while it was imported; a service of the master."""
        for box, data in self._early:
            await self._messages.send(box, data)

    async def serve_hook(self, module: ModuleType, idle: trio.Event) -> None:
        """Hand messages to `uwsgi.mule_msg_hook`, one after the other, once this mule has nothing else to do."""
        await idle.wait()
        while True:
            data = await self._messages.receive(*self._boxes())
            hook = getattr(module, "mule_msg_hook", None)
            if not callable(hook):
                log.warning("%s: a message, and no uwsgi.mule_msg_hook", self._processes.name)
                continue
            try:
                await self._main.run(hook, data)
            except Exception:
                log.exception("%s: uwsgi.mule_msg_hook failed", self._processes.name)
