"""Which of many moments a sweep looks at.

By default each interpreter takes every fifth one, and each another fifth. `TRISIG_SWEEP_STEP=1` takes all of them, as
`nox -s storm` does.
"""

from __future__ import annotations

import os
import sys

STEP = int(os.environ.get("TRISIG_SWEEP_STEP", "5"))
FIRST = sys.version_info.minor % STEP + 1
