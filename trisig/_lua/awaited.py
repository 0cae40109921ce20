"""What a Lua function waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Awaited:
    """A call of an async function, which the coroutine of Lua leaves to Python.

    Args:
        fn: the function.
        arguments: its arguments.
    """

    def __init__(self, fn: Callable[..., Awaitable[object]], *arguments: object) -> None:
        self._fn = fn
        self._arguments = arguments

    async def outcome(self) -> tuple[bool, object]:
        """True and the result, or false and what was raised."""
        try:
            return True, await self._fn(*self._arguments)
        except Exception as error:  # noqa: BLE001  Lua has it now
            return False, f"{error}"
