"""Tells the application what was given up."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trisig._model.dead_letter import DeadLetter
from trisig._util.ki_protection import ki_protected

log = logging.getLogger("trisig")


@ki_protected
class DeadLetterHook:
    """Calls what the application gave for that.

    Args:
        hook: called with each dead letter; None for nobody.
    """

    def __init__(self, hook: Callable[[DeadLetter], object] | None) -> None:
        self._hook = hook

    def given_up(self, letter: DeadLetter) -> None:
        """There is a dead letter."""
        if self._hook is not None:
            try:
                self._hook(letter)
            except Exception:
                log.exception("master: on_dead_letter failed for %s", letter)
