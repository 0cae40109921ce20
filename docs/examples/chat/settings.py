"""What an operator may choose; `chat.py --help` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The settings of one chat server.

    Attributes:
        database: the SQLite file; made if it is missing.
        motd: the file with the message of the day; made if it is missing.
        clock: seconds between two announcements of the time.
        idle: seconds without a word after which a session is cleared.
        vanish: seconds after which the kernel gives up a peer that does not answer at all.
        keep: how many messages the history keeps when it is rotated; older ones go into an archive table.
        rotate: when the history is rotated, as in a crontab.
    """

    database: Path = Path("chat.sqlite")
    motd: Path = Path("motd.txt")
    clock: float = 900
    idle: float = 1800
    vanish: float = 30
    keep: int = 10_000
    rotate: str = "0 4 * * *"
