"""Linux timerfd: a clock of the kernel as a file descriptor.

`os.timerfd_create` exists from Python 3.13; this is the same for 3.11 and 3.12, and only what `_clocks` needs:
one-shot timers at an absolute time.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os

from .libc import libc

TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2

_ADVICE = {errno.EMFILE: "no file descriptor is left: raise the limit of open files (ulimit -n)"}

# A later deadline wakes the waiter early, which it has to expect anyway; it keeps tv_sec well inside time_t.
_FARTHEST = float(2**33)
# it_value of zero would disarm the timer.
_NEAREST = 1e-9


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("it_interval", _Timespec), ("it_value", _Timespec)]


class TimerFd:
    """One kernel timer. `fd` becomes readable when the deadline is reached, or when the clock was set.

    Args:
        clock_id: `time.CLOCK_MONOTONIC` or `time.CLOCK_REALTIME`.
        cancel_on_set: also report that somebody set the clock (only CLOCK_REALTIME can be).
        relative: deadlines count from when the timer is armed.

    Raises:
        OSError: no file descriptor is left.
    """

    def __init__(self, clock_id: int, *, cancel_on_set: bool = False, relative: bool = False) -> None:
        self._flags = (0 if relative else TFD_TIMER_ABSTIME) | (TFD_TIMER_CANCEL_ON_SET if cancel_on_set else 0)
        self.fd = self._call(libc.timerfd_create(clock_id, TFD_NONBLOCK | TFD_CLOEXEC))

    def arm(self, deadline: float) -> bool:
        """Expire at `deadline` (seconds of the clock; infinity disarms). False: the clock was set meanwhile.

        After `close` it does nothing: those who waited, and are about to be told, may still ask.
        """
        if self.fd < 0:
            return True
        value = _Itimerspec(it_value=_timespec(deadline))
        try:
            self._call(libc.timerfd_settime(self.fd, self._flags, ctypes.byref(value), None))
        except OSError as exc:
            # The kernel arms the timer and still reports a clock that was set since the last arming.
            if exc.errno != errno.ECANCELED:
                raise
            return False
        return True

    def acknowledge(self) -> bool:
        """Make `fd` unreadable again. False: the clock was set, which also left the timer disarmed."""
        try:
            os.read(self.fd, 8)
        except BlockingIOError:
            pass  # it was armed anew between the wake-up and this read
        except OSError as exc:
            if exc.errno != errno.ECANCELED:
                raise
            return False
        return True

    def close(self) -> None:
        os.close(self.fd)
        self.fd = -1

    @staticmethod
    def _call(result: int) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"timerfd: {_ADVICE.get(code, os.strerror(code))}")
        return result


def _timespec(deadline: float) -> _Timespec:
    if math.isinf(deadline):
        return _Timespec(0, 0)
    nanoseconds = math.ceil(min(max(deadline, _NEAREST), _FARTHEST) * 1e9)
    return _Timespec(*divmod(nanoseconds, 1_000_000_000))
