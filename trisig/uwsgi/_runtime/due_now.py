"""Whether a cron job is due in the minute that runs: with `strict-uwsgi` it is run at once, as at a start of uWSGI."""

from __future__ import annotations

import time
from typing import Any

_MINUTE_S = 60


def is_due_now(cron: Any) -> bool:
    """Whether it is, of a source that `Signals.add_cron` has returned."""
    minute = time.time() // _MINUTE_S * _MINUTE_S
    return bool(cron.due_after(minute - 1) == minute)
