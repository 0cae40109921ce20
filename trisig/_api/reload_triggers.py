"""What makes a master reload by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class ReloadTriggers(msgspec.Struct, frozen=True):
    """What a reload follows.

    Attributes:
        touched: files; whatever is done to one of them.
        follow: whether a changed source file of the application is one too.
    """

    touched: Sequence[Path] = ()
    follow: bool = False
