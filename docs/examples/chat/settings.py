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
        idle: seconds without a message after which a session ends.
        vanish: seconds after which the kernel gives up a client that does not answer, and the chat a client
            that reads too slowly.
        keep: how many messages the history keeps when it is rotated; older ones go into an archive table.
        rotate: when the history is rotated, as in a crontab.
        allow_host: names under which browsers may ask for the page, besides localhost and addresses.
        cluster: the PostgreSQL database of the chat servers that share their rooms; empty for a server on its own.
        node: the name of this one among them; None for that of the host.
    """

    database: Path = Path("chat.sqlite")
    motd: Path = Path("motd.txt")
    clock: float = 900
    idle: float = 1800
    vanish: float = 30
    keep: int = 10_000
    rotate: str = "0 4 * * *"
    allow_host: tuple[str, ...] = ()
    cluster: str = ""
    node: str | None = None
