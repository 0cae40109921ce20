"""The clock of timers: it wakes the master shortly before a deadline, so that the tick is not late by the wake-up.

A process that has slept wakes up late: its CPU has to leave its idle state, and its code has left the caches. So a
second timerfd wakes this clock a little earlier, by what nine of ten wake-ups took lately. Then it lets trio's loop
turn until the deadline. That costs CPU time, of which it takes a hundredth at most; where timers are so dense that
this does not suffice, the master is hardly ever asleep.
"""

from __future__ import annotations

import math
import time

import trio

from trisig._linux.timerfd import TimerFd
from trisig._util.ki_protection import ki_protected

from .clocks import TimerFdClock

LONGEST_LEAD_S = 0.0005
_SHORTEST_LEAD_S = 0.00005
_STEP_S = 0.000005
_SHARE = 0.01  # of the time, that it may turn
_MOST_SAVED_S = 0.005


@ki_protected
class EarlyClock(TimerFdClock):
    """CLOCK_MONOTONIC behind a timerfd, with another one for the lead.

    Args:
        longest_lead: seconds; 0 for no lead.
    """

    def __init__(self, longest_lead: float) -> None:
        super().__init__(time.CLOCK_MONOTONIC)
        self._early = TimerFd(time.CLOCK_MONOTONIC, relative=True)  # as /proc tells it from the one that counts
        self._longest = min(longest_lead, LONGEST_LEAD_S)
        self._lead = min(2 * _SHORTEST_LEAD_S, self._longest)
        self._saved, self._saved_at = _MOST_SAVED_S, self.now()

    def _arm(self) -> None:
        super()._arm()
        if self._longest:
            now = self.now()
            self._early.arm(self._alarms.first - self._lead - now if self._affords_lead(now) else math.inf)

    def _affords_lead(self, now: float) -> bool:
        """Whether the loop may turn for as long as the lead, by what was not used of its share."""
        self._saved = min(self._saved + (now - self._saved_at) * _SHARE, _MOST_SAVED_S)
        self._saved_at = now
        return self._saved >= self._lead

    async def drive(self) -> None:
        """Wake tasks as their deadlines pass, until cancelled; then close the timerfds."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._rise_early)
            await super().drive()

    async def _rise_early(self) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(self._early.fd)
                self._early.acknowledge()
                due, woken = self._alarms.first, self.now()
                if due - woken < self._longest:  # else it was dropped meanwhile, and another one is the first
                    self._learn(woken - due + self._lead)
                    await self._turn_until(due)
                    now = self.now()
                    self._saved -= now - woken
                    self._alarms.wake(now)  # the timerfd would be read a turn of the loop later
        finally:
            self._early.close()

    def _learn(self, late: float) -> None:
        """Follow the 90th percentile: up by nine steps in one of ten cases, and down by one in the others."""
        lead = self._lead + (9 * _STEP_S if late > self._lead else -_STEP_S)
        self._lead = min(max(lead, _SHORTEST_LEAD_S), self._longest)

    async def _turn_until(self, due: float) -> None:
        while True:
            if self.now() >= due or due != self._alarms.first:
                return
            await trio.lowlevel.checkpoint()
