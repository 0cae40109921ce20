"""Signals that come back to their queues: after a pause, because their handlers failed, or because their turn has come.

`_model/turns.py` decides; this task has the clock. What it does is done here, a turn of the loop later, and not where
the end of a handler is noticed: there a slot is in the middle of reading its marks.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Callable
from itertools import count

import trio

from trisig._model.dead_letter import DeadLetter
from trisig._model.queue import Queue
from trisig._model.turns import Turns
from trisig._util.ki_protection import ki_protected

from .destinations import Destinations

log = logging.getLogger("trisig")


@ki_protected
class Retries:
    """Brings back what rests, and reports what has failed too often.

    Args:
        turns: which signals rest.
        destinations: those of all queues.
        given_up: called with each signal that has failed too often.
    """

    def __init__(self, turns: Turns, destinations: Destinations, given_up: Callable[[DeadLetter], object]) -> None:
        self._turns = turns
        self._destinations = destinations
        self._given_up = given_up
        self._waiting: list[tuple[float, int, Queue, int]] = []  # when, a serial number, and which one; a heap
        self._serial = count()
        self._alarm = trio.CancelScope()
        turns.notify = self._wake

    def _wake(self) -> None:
        self._alarm.deadline = -math.inf

    async def watch(self) -> None:
        """Bring back what is due, until cancelled."""
        try:
            while True:
                with self._alarm:
                    await trio.sleep_forever()
                self._alarm = trio.CancelScope()
                self._bring_back()
                self._report()
                if self._waiting:
                    self._alarm.deadline = min(self._alarm.deadline, self._waiting[0][0])
        finally:
            self._report()

    def _bring_back(self) -> None:
        now = trio.current_time()
        for seconds, queue, position in self._turns.paused:
            heapq.heappush(self._waiting, (now + seconds, next(self._serial), queue, position))
        self._turns.paused.clear()
        while self._waiting and self._waiting[0][0] <= now:
            _, _, queue, position = heapq.heappop(self._waiting)
            self._turns.rejoin(queue, position)
        freed = dict.fromkeys(queue.name for queue in self._turns.freed)
        self._turns.freed.clear()
        for name in freed:
            if (destination := self._destinations.named(name)) is not None:
                destination.deliver()

    def _report(self) -> None:
        letters = self._turns.letters.copy()
        self._turns.letters.clear()
        for letter in letters:
            log.error("master: %s failed %d times; dead-lettered", letter, letter.failures)
            self._given_up(letter)
