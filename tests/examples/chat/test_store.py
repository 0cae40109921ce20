"""The database: one order, nothing twice, and who is here."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from chat_harness import EXAMPLE
from events import Event, Person
from store import AT_ONCE, NewEvent, Store, prepare


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database as it is when the server starts."""
    prepare(tmp_path / "chat.sqlite", "be kind")
    return tmp_path / "chat.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """One process's connection to it."""
    store = Store(path)
    store.open()
    with closing(store._db):
        yield store


def text(body: str, room: str = "lobby", nonce: str | None = None, at: float = 1.0) -> NewEvent:
    """Something that Ada says."""
    return NewEvent("text", at, room, "ada", 1, body, nonce)


def test_what_is_added_is_read_in_order(store: Store) -> None:
    """Reading after an id gives what is newer, oldest first."""
    for body in "abc":
        assert store.add(text(body))
    assert [event.body for event in store.after(0)] == ["a", "b", "c"]
    assert [event.body for event in store.after(2)] == ["c"]
    assert store.newest() == 3


def test_a_nonce_is_stored_once(store: Store) -> None:
    """A message that is sent again because nobody confirmed it is there already."""
    assert store.add(text("a", nonce="n"))
    assert not store.add(text("a", nonce="n"))
    assert len(store.after(0)) == 1


def test_a_reader_never_finds_an_older_event_later(path: Path, store: Store) -> None:
    """With four writers at work, whoever reads what is newer than the last id misses none."""

    def write(writer: int) -> None:
        own = Store(path)
        own.open()
        with closing(own._db):
            for number in range(50):
                own.add(text(f"{writer}:{number}"))

    seen: list[Event] = []
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, writer) for writer in range(4)]
        while len(seen) < 200 and not all(done.done() for done in writing):
            seen += store.after(seen[-1].id if seen else 0)
        for done in writing:
            done.result()
    while newer := store.after(seen[-1].id if seen else 0):
        seen += newer
    assert [event.id for event in seen] == list(range(1, 201))


def test_history_is_of_one_room(store: Store) -> None:
    """A room's history has its own texts only, and comes in pieces."""
    for number in range(AT_ONCE + 10):
        store.add(text(str(number)))
        store.add(text("elsewhere", room="other"))
    assert [event.body for event in store.last_texts("lobby", store.newest(), 3)] == ["207", "208", "209"]
    first = store.texts("lobby", 0, store.newest())
    assert len(first) == AT_ONCE
    assert len(store.texts("lobby", first[-1].id, store.newest())) == 10


def test_a_rotation_keeps_the_newest(path: Path, store: Store) -> None:
    """The rest is in the archive, once, however often it is done; ids go on from where they were."""
    for number in range(10):
        store.add(text(str(number)))
    store.add(NewEvent("time", 1.0, body="It is late."))
    assert store.rotate(4, now=10_000) == 6
    assert store.rotate(4, now=10_000) == 0
    assert [event.body for event in store.last_texts("lobby", 99, 99)] == ["6", "7", "8", "9"]
    with closing(sqlite3.connect(path)) as db:
        assert [body for (body,) in db.execute("SELECT body FROM archive ORDER BY id")] == list("012345")
    store.add(text("next"))
    assert store.newest() == 12


def test_what_is_archived_is_still_known(store: Store) -> None:
    """Who was away, and a worker that is slow to read, go on from it; a message that comes again is not new."""
    for number in range(AT_ONCE + 10):
        store.add(text(str(number), nonce=f"n{number}"))
    store.rotate(2, now=10_000)
    assert not store.add(text("0", nonce="n0"))
    assert [event.body for event in store.after(AT_ONCE)] == [str(number) for number in range(AT_ONCE, AT_ONCE + 10)]
    missed = store.texts("lobby", 1, store.newest())
    missed += store.texts("lobby", missed[-1].id, store.newest())
    assert [event.body for event in missed] == [str(number) for number in range(1, AT_ONCE + 10)]


def test_reading_does_not_take_longer_as_the_archive_grows(store: Store) -> None:
    """Each part of what is read is found through an index, in the order in which it is wanted."""
    for where in ("id > 5 ORDER BY id", "kind = 'text' AND room = 'lobby' AND id > 5 ORDER BY id"):
        plan = store._db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM everything WHERE {where} LIMIT 9").fetchall()
        steps = [step for *_, step in plan]
        assert len([step for step in steps if step.startswith("SEARCH")]) == 2
        assert not any("SCAN" in step or "TEMP B-TREE" in step for step in steps)


def test_a_recent_event_outlives_a_rotation(store: Store) -> None:
    """A worker that is slow to read still learns who left."""
    store.enter("c1", "t1", Person("ada", "lobby", 1), 100)
    store.rotate(1, now=200)
    assert [event.kind for event in store.after(0)] == ["join"]


def test_names_are_told_apart(store: Store) -> None:
    """Who asks for a taken name gets it with a number; who comes back takes its own place again."""
    assert store.enter("c1", "t1", Person("ada", "lobby", 1), 1) == "ada"
    assert store.enter("c2", "t2", Person("ada", "lobby", 2), 1) == "ada-2"
    assert store.enter("c3", "t1", Person("ada", "lobby", 3), 1) == "ada"
    assert store.people() == [Person("ada", "lobby", 3), Person("ada-2", "lobby", 2)]
    assert not store.leave("c1", 1)
    assert store.leave("c3", 1)
    assert store.people() == [Person("ada-2", "lobby", 2)]


def test_another_name_leaves_the_old_one(store: Store) -> None:
    """Everyone is told that the old name is gone."""
    store.enter("c1", "t1", Person("ada", "lobby", 1), 1)
    store.enter("c1", "t1", Person("grace", "lobby", 1), 1)
    assert [(event.kind, event.name) for event in store.after(0)] == [
        ("join", "ada"),
        ("leave", "ada"),
        ("join", "grace"),
    ]


def test_a_dead_worker_takes_its_people_along(store: Store) -> None:
    """Only those who were on it, and everyone is told."""
    store.enter("c1", "t1", Person("ada", "lobby", 1), 1)
    store.enter("c2", "t2", Person("grace", "lobby", 2), 1)
    assert store.leave_worker(1, 1) == 1
    assert [(event.kind, event.name) for event in store.after(2)] == [("leave", "ada")]


def test_who_speaks_is_not_idle(store: Store) -> None:
    """A session is cleared by the time of its last text."""
    store.enter("c1", "t1", Person("ada", "lobby", 1), 1)
    store.enter("c2", "t2", Person("grace", "lobby", 1), 1)
    store.add(text("still here", at=50))
    assert store.leave_idle(since=10, now=60) == 1
    assert [(event.name, event.body) for event in store.after(3)] == [("grace", "idle")]


def test_the_message_of_the_day_is_told_once(store: Store) -> None:
    """The same again is no news; an empty one is."""
    assert not store.set_motd("be kind", now=1)
    assert store.set_motd("", now=1)
    assert store.motd() == ""
    assert [(event.kind, event.body) for event in store.after(0)] == [("motd", "")]


def test_the_time_is_told_once(store: Store) -> None:
    """A handler that runs again for the same tick adds nothing."""
    assert store.tell_time("It is 10:00.", now=1000, gap=450)
    assert not store.tell_time("It is 10:00.", now=1001, gap=450)
    assert store.tell_time("It is 10:15.", now=1900, gap=450)


TORN = """
import os, pathlib, signal, sys
from store import Store
own = Store(pathlib.Path(sys.argv[1]))
own.open()
with own._writing() as db:
    db.execute("INSERT INTO events (kind, room, name, worker, body, at) VALUES ('text', '', '', 1, 'torn', 1)")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_it_writes_tears_nothing(path: Path, store: Store) -> None:
    """What it had not committed is not there, and others go on writing."""
    died = subprocess.run([sys.executable, "-c", TORN, path], env={"PYTHONPATH": str(EXAMPLE)}, check=False)
    assert died.returncode == -signal.SIGKILL
    assert store.add(text("whole"))
    assert [event.body for event in store.after(0)] == ["whole"]
