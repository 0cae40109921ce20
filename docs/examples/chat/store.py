"""The texts, and who is here: one SQLite file that every process opens for itself.

Everything that anybody is shown is a row of `events`. SQLite lets one process write at a time and gives each row a
larger id than any before it, so ids are seen in the order in which they are committed: whoever read up to id 41 will
never find a 40 that was not there. That gives everyone one order, and makes "what is new" one comparison.

In WAL mode readers and the writer do not wait for each other. What was committed survives the death of every process;
`synchronous=NORMAL` may lose the last moments when the power fails, not the consistency of the file.

Rotating moves old texts into an archive. What is there is not shown to anybody new, but it goes on counting: whoever
was away reads on from it, and a message that is sent once more is still known.

The calls block, so `ask` makes them in a thread. A connection is never carried across a fork: each process opens one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import trio

from events import IDLE, RENAMED, Event, Kind, Person

PATIENCE = 30.0  # seconds to wait for the other writers
AT_ONCE = 200  # events read in one go
SETTLED = 3600.0  # seconds after which nobody can still be waiting to read what is not a text

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, room TEXT NOT NULL, name TEXT NOT NULL, worker INTEGER NOT NULL,
    body TEXT NOT NULL, at REAL NOT NULL, nonce TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS texts ON events (room, id) WHERE kind = 'text';
CREATE INDEX IF NOT EXISTS times ON events (at) WHERE kind = 'time';
CREATE TABLE IF NOT EXISTS archive AS SELECT * FROM events WHERE 0;
CREATE UNIQUE INDEX IF NOT EXISTS archived ON archive (id);
CREATE INDEX IF NOT EXISTS archived_nonces ON archive (nonce);
CREATE INDEX IF NOT EXISTS archived_texts ON archive (room, id) WHERE kind = 'text';
CREATE VIEW IF NOT EXISTS everything AS SELECT * FROM archive UNION ALL SELECT * FROM events;
CREATE TABLE IF NOT EXISTS presence (
    connection TEXT PRIMARY KEY, client TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
    room TEXT NOT NULL, worker INTEGER NOT NULL, active REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS motd (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL);
"""
_COLUMNS = "id, kind, room, name, worker, body, at, nonce"

R = TypeVar("R")
A = TypeVarTuple("A")


def prepare(path: Path, motd: str) -> None:
    """Make the file if it is missing. Nobody is here yet, whatever an earlier run left in it.

    Raises:
        OSError: it cannot be made, or is something else.
    """
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as db:
            db.executescript(_SCHEMA)
            db.execute("DELETE FROM presence")
            db.execute("INSERT OR REPLACE INTO motd VALUES (1, ?)", (motd,))
            db.commit()
    except sqlite3.Error as problem:
        raise OSError(f"cannot use the database {path}: {problem}") from None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that has no id yet."""

    kind: Kind
    at: float
    room: str = ""
    name: str = ""
    worker: int = 0
    body: str = ""
    nonce: str | None = None


class Store:
    """One process's connection to the file that is there when this is made."""

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._file = _identity(self._path)
        self._db: sqlite3.Connection
        self._one_thread = trio.CapacityLimiter(1)

    def open(self) -> None:
        """Connect, once in each process. The connection ends with the process: handlers may run until then.

        Raises:
            FileNotFoundError: the file is gone, or is another one.
        """
        self.check()
        # No transaction is open by itself (None), and the calls may come from any thread, one at a time.
        # mode=rw: a file that disappears right now is an error, and not an empty database.
        uri = f"{self._path.as_uri()}?mode=rw"
        self._db = sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = NORMAL")

    def check(self) -> None:
        """Check that the file is the one that was there at first.

        Raises:
            FileNotFoundError: it was removed, or replaced by another one.
        """
        if _identity(self._path) != self._file:
            raise FileNotFoundError(f"the database {self._path} was removed or replaced")

    async def ask(self, job: Callable[[*A], R], *values: *A) -> R:
        """Make one of the calls below in a thread, one at a time: a connection has one transaction."""
        return await trio.to_thread.run_sync(job, *values, limiter=self._one_thread)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Events

    def newest(self) -> int:
        """The id of the last event, 0 if there was none."""
        row = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return int(row[0]) if row else 0

    def after(self, last: int) -> list[Event]:
        """The next events after an id, at most `AT_ONCE`, archived or not."""
        return self._read("everything WHERE id > ? ORDER BY id LIMIT ?", last, AT_ONCE)

    def texts(self, room: str, after: int, upto: int) -> list[Event]:
        """The next texts of a room after an id and up to another, at most `AT_ONCE`, archived or not."""
        where = "everything WHERE kind = 'text' AND room = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?"
        return self._read(where, room, after, upto, AT_ONCE)

    def last_texts(self, room: str, upto: int, count: int) -> list[Event]:
        """The last texts of a room up to an id, oldest first, of those that are not archived."""
        where = "events WHERE kind = 'text' AND room = ? AND id <= ? ORDER BY id DESC LIMIT ?"
        return self._read(where, room, upto, count)[::-1]

    def _read(self, where: str, *values: Any) -> list[Event]:
        return [Event(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM {where}", values)]  # noqa: S608  our own words

    def add(self, event: NewEvent) -> bool:
        """Add an event; false if it was added before, as its nonce says."""
        with self._writing() as db:
            db.execute("UPDATE presence SET active = ? WHERE name = ?", (event.at, event.name))
            return _add(db, event)

    def tell_time(self, words: str, now: float, gap: float) -> bool:
        """Tell everyone the time; false if it was told less than `gap` seconds ago.

        A handler whose process died after this runs once more, and then there is nothing left to tell.
        """
        with self._writing() as db:
            if db.execute("SELECT 1 FROM events WHERE kind = 'time' AND at > ?", (now - gap,)).fetchone():
                return False
            return _add(db, NewEvent("time", now, body=words))

    def rotate(self, keep: int, now: float) -> int:
        """Move all but the newest texts into the archive; returns how many. Twice does no harm."""
        with self._writing() as db:
            db.execute("DELETE FROM events WHERE kind <> 'text' AND at < ?", (now - SETTLED,))
            row = db.execute("SELECT id FROM events WHERE kind = 'text' ORDER BY id DESC LIMIT 1 OFFSET ?", (keep,))
            newest_old = next(row, (0,))[0]
            db.execute("INSERT INTO archive SELECT * FROM events WHERE kind = 'text' AND id <= ?", (newest_old,))
            return db.execute("DELETE FROM events WHERE kind = 'text' AND id <= ?", (newest_old,)).rowcount

    # Who is here

    def people(self) -> list[Person]:
        """Everybody who is here, by name."""
        return [Person(*row) for row in self._db.execute("SELECT name, room, worker FROM presence ORDER BY name")]

    def enter(self, connection: str, client: str, person: Person, now: float) -> str:
        """Let a connection into a room; returns the name that it got, which is another one if it is taken.

        A client that comes back takes the place of its old connection, which may not have ended yet.
        """
        with self._writing() as db:
            before = db.execute("DELETE FROM presence WHERE client = ? RETURNING name, room", (client,)).fetchone()
            name = _free_name(db, person.name)
            if before and before[0] != name:
                _add(db, NewEvent("leave", now, before[1], before[0], body=RENAMED + name))
            row = (connection, client, name, person.room, person.worker, now)
            db.execute("INSERT INTO presence VALUES (?, ?, ?, ?, ?, ?)", row)
            _add(db, NewEvent("join", now, person.room, name, person.worker, before[1] if before else ""))
            return name

    def leave(self, connection: str, now: float) -> bool:
        """A connection has ended; false if it was not here any more."""
        return self._clear("connection = ?", connection, "", now) > 0

    def leave_worker(self, worker: int, now: float) -> int:
        """A worker has ended, and all its connections with it; returns how many."""
        return self._clear("worker = ?", worker, "", now)

    def leave_idle(self, since: float, now: float) -> int:
        """Clear the sessions that said nothing since then; returns how many. Their workers read it and close them."""
        return self._clear("active < ?", since, IDLE, now)

    def _clear(self, where: str, value: str | float, why: str, now: float) -> int:
        with self._writing() as db:
            gone = db.execute(f"DELETE FROM presence WHERE {where} RETURNING name, room, worker", (value,)).fetchall()  # noqa: S608  our own words
            for name, room, worker in gone:
                _add(db, NewEvent("leave", now, room, name, worker, why))
            return len(gone)

    # The message of the day

    def motd(self) -> str:
        """The message of the day."""
        return str(self._db.execute("SELECT body FROM motd").fetchone()[0])

    def set_motd(self, body: str, now: float) -> bool:
        """Set it, and tell everyone; false if it is that already."""
        with self._writing() as db:
            if not db.execute("UPDATE motd SET body = ? WHERE body <> ?", (body, body)).rowcount:
                return False
            return _add(db, NewEvent("motd", now, body=body))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _add(db: sqlite3.Connection, event: NewEvent) -> bool:
    added = db.execute(
        "INSERT INTO events (kind, at, room, name, worker, body, nonce) SELECT ?, ?, ?, ?, ?, ?, ?"
        " WHERE NOT EXISTS (SELECT 1 FROM archive WHERE nonce = ?) ON CONFLICT (nonce) DO NOTHING",
        (*astuple(event), event.nonce),
    )
    return added.rowcount > 0


def _free_name(db: sqlite3.Connection, wanted: str) -> str:
    taken = {name for (name,) in db.execute("SELECT name FROM presence")}
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
