"""What all processes of an instance share beside signals: caches, metrics, and who runs. An SQLite file in memory.

Each call opens the file anew: a connection must not be carried over a fork, and opening takes some 100 microseconds.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

_PATIENCE_S = 30.0
_TABLES = """
create table item (cache text, key blob, value blob, expires real, primary key (cache, key));
create table metric (name text primary key, value integer not null);
create table process (name text primary key, pid integer, since integer, spawned integer);
create table wish (name text primary key);
create table ending (one integer primary key check (one = 1), status integer);
"""


class Store:
    """The shared file. Made in the master, which removes it; children use its name.

    Attributes:
        path: of the file.

    Raises:
        OSError: there is no room for it.
    """

    path: str
    _folder: str

    def __init__(self) -> None:
        memory = Path("/dev/shm")  # noqa: S108  a directory of this process alone is made in it
        self._folder = tempfile.mkdtemp(prefix="trisig-uwsgi-", dir=memory if memory.is_dir() else None)
        self.path = str(Path(self._folder, "store"))
        with closing(self._connect()) as connection:
            connection.executescript(_TABLES)

    @classmethod
    def at(cls, path: str) -> Store:
        """The file that another process has made."""
        store = cls.__new__(cls)
        store.path, store._folder = path, str(Path(path).parent)  # noqa: SLF001  of this class
        return store

    @property
    def exists(self) -> bool:
        """Whether its master has not ended."""
        return Path(self.path).exists()

    @contextmanager
    def parcel(self, data: bytes) -> Iterator[str]:
        """A file beside it, by its name, until the block ends.

        Raises:
            OSError: there is no room for it.
        """
        fd, path = tempfile.mkstemp(prefix="parcel-", dir=self._folder)
        with open(fd, "wb") as file:  # noqa: PTH123  a descriptor
            file.write(data)
        try:
            yield Path(path).name
        finally:
            Path(path).unlink(missing_ok=True)

    def take_parcel(self, name: str) -> bytes:
        """What is in such a file.

        Raises:
            ValueError: it has another name.
            OSError: it is not there.
        """
        if not name.startswith("parcel-") or "/" in name:
            raise ValueError(f"{name!r} is no file of a message")
        return Path(self._folder, name).read_bytes()

    def close(self) -> None:
        """Remove the file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_PATIENCE_S, isolation_level=None)
        connection.execute("pragma synchronous = off")  # it does not survive the machine
        return connection

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change something: all of it, or nothing if the block raises."""
        with closing(self._connect()) as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")

    def ask(self, question: str, arguments: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """The rows of an answer."""
        with closing(self._connect()) as connection:
            return connection.execute(question, arguments).fetchall()

    def enter_process(self, name: str) -> None:
        """This process is the one of that name from now on."""
        row = (name, os.getpid(), int(time.time()))
        with self.changing() as connection:
            connection.execute(
                "insert into process values (?, ?, ?, 1) on conflict (name) do update "
                "set pid = excluded.pid, since = excluded.since, spawned = spawned + 1",
                row,
            )

    def lives_of(self, name: str) -> int:
        """How many processes of that name there have been."""
        rows = self.ask("select spawned from process where name = ?", (name,))
        return int(str(rows[0][0])) if rows else 0

    def end_with(self, status: int) -> bool:
        """Have the instance end with a status, and not begin anew; False if it is about to do so with another one."""
        with self.changing() as connection:
            return connection.execute("insert or ignore into ending values (1, ?)", (status,)).rowcount > 0

    @property
    def status(self) -> int | None:
        """What it is to end with; None if nobody has said."""
        rows = self.ask("select status from ending")
        return int(str(rows[0][0])) if rows else None

    def wish(self, name: str) -> bool:
        """Ask the master for something that it does when it has ended; False if somebody has asked before."""
        with self.changing() as connection:
            return connection.execute("insert or ignore into wish values (?)", (name,)).rowcount > 0

    def is_wished(self, name: str) -> bool:
        """Whether somebody has asked for that."""
        return bool(self.ask("select 1 from wish where name = ?", (name,)))
