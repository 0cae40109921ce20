"""The thread of a master: what belongs to it is changed there, and nowhere else."""

from __future__ import annotations

import threading


class OwnThread:
    """The thread that this was made in."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()

    def is_here(self) -> bool:
        """Whether this is it."""
        return threading.get_ident() == self._ident

    def check(self, what: str, example: str) -> None:
        """Refuse what is done in another thread.

        Args:
            what: the verb in words, such as "sources are added".
            example: the call, such as "signals.add_timer, 1, 0.5".

        Raises:
            RuntimeError: this is another thread.
        """
        if not self.is_here():
            raise RuntimeError(
                f"in the master, {what} in its own thread; from another one write trio.from_thread.run_sync({example})"
            )
