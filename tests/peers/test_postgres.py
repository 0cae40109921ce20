"""Notifications of a real PostgreSQL as signals: counted, on one connection, through restarts and refusals."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
import trio.testing
from postgres_server import BOUND, Postgres, a_server
from source_tools import run_on
from witness import Journal, wait_in_vain

import trisig
from trisig._sources import Engines, SourceRun, open_engines
from trisig._sources.postgres.wire import ChannelError
from trisig.postgres import PostgresSource, add_postgres, notification

Start = Callable[[PostgresSource], Awaitable[Callable[[], None]]]


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """The server that no test may stop, once it has seen the end of the connections of the test before."""
    give_up = time.monotonic() + BOUND
    while server.clients() and time.monotonic() < give_up:
        time.sleep(0.01)
    return server


@pytest.fixture
def fragile(template: Path) -> Iterator[Postgres]:
    """A server that the test starts and stops."""
    with a_server(template) as server:
        yield server


class Heard:
    """Takes signals as the master would; while `gate` is not set its queue is full."""

    def __init__(self) -> None:
        self.signums: list[int] = []
        self.gate = trio.Event()
        self.gate.set()
        self._news = trio.Event()

    async def send(self, signum: int) -> None:
        await self.gate.wait()
        self.signums.append(signum)
        self._news.set()
        self._news = trio.Event()

    async def wait(self, signum: int, count: int = 1) -> None:
        with trio.fail_after(BOUND):
            while self.signums.count(signum) < count:
                await self._news.wait()


@pytest.fixture
def heard() -> Heard:
    """What the sources of the test raised."""
    return Heard()


@pytest.fixture
def start(engines: Engines, heard: Heard, nursery: trio.Nursery) -> Start:
    """Start a source as the master does; returns, once it is armed, what ends it."""

    async def keep(source: PostgresSource, task_status: trio.TaskStatus[Callable[[], None]]) -> None:
        async with trio.open_nursery() as inner:
            await inner.start(run_on, engines, source, heard.send)
            task_status.started(inner.cancel_scope.cancel)

    async def start_source(source: PostgresSource) -> Callable[[], None]:
        with trio.fail_after(BOUND):
            end: Callable[[], None] = await nursery.start(keep, source)
            return end

    return start_source


async def until(condition: Callable[[], object]) -> None:
    """Look at something outside until it is so."""
    with trio.fail_after(BOUND):
        while not condition():  # noqa: ASYNC110  another program does not set events here
            await trio.sleep(0.02)


# One server, one connection


async def test_every_notification_is_one_signal_in_a_worker(postgres: Postgres) -> None:
    """500 notifications through a real master are 500 handled signals, neither fewer nor more."""
    signals = trisig.Signals()
    signals.register(18, "worker", lambda signum: None)

    @notification(signals, "orders", postgres.local, signum=17)
    def handle(signum: int) -> None: ...

    add_postgres(signals, 18, "last", postgres.local)
    async with trisig.open_master(signals) as master:
        await trio.to_thread.run_sync(lambda: postgres.notify(*["orders"] * 500, "last"))
        await until(lambda: master.statistics().signals[18].done and master.statistics().signals[17].done >= 500)
        await until(lambda: [source.fired for source in master.statistics().sources] == [500, 1])
    assert master.statistics().accepted == 501


async def test_one_connection_for_all_channels(postgres: Postgres, start: Start, heard: Heard) -> None:
    """However a conninfo is spelled, equal ones share a connection, and another database has its own."""
    uri = f"postgresql://postgres@/postgres?host={postgres.home}&port={postgres.port}"
    await start(PostgresSource(1, "one", postgres.local))
    await start(PostgresSource(2, "two", uri))
    assert len(postgres.clients()) == 1
    await start(PostgresSource(3, "three", postgres.local.replace("dbname=postgres", "dbname=template1")))
    assert len(postgres.clients()) == 2
    postgres.notify("three", "one", "two", "two")  # nobody listens to the first in this database
    await heard.wait(1)
    await heard.wait(2, 2)
    assert sorted(heard.signums) == [1, 2, 2]


NAMES = ["Orders", "select", "two words", 'quo"ted', "it's", "; --", "back\\slash", "li\nne", "%s", "naïve ☃", "x" * 63]


async def test_channels_are_named_exactly(postgres: Postgres, start: Start, heard: Heard) -> None:
    """Upper case, quotes, blanks and the like are part of the name, and no two names are one."""
    for number, channel in enumerate(NAMES):
        await start(PostgresSource(number, channel, postgres.local))
    await start(PostgresSource(99, "last", postgres.local))
    postgres.ask("NOTIFY Orders")  # folded to lower case, so nobody listens
    postgres.notify(*NAMES, "last")
    for number in (*range(len(NAMES)), 99):
        await heard.wait(number)
    assert sorted(heard.signums) == [*range(len(NAMES)), 99]


async def test_two_sources_on_one_channel(postgres: Postgres, start: Start, heard: Heard) -> None:
    """Both fire; when one is removed the other goes on; when both are, the server is told to be silent."""
    end_one, end_two = [await start(PostgresSource(number, "both", postgres.local)) for number in (1, 2)]
    await start(PostgresSource(3, "last", postgres.local))
    postgres.notify("both", "last")
    for number in (1, 2, 3):
        await heard.wait(number)
    end_one()
    await trio.testing.wait_all_tasks_blocked()
    postgres.notify("both", "last")
    await heard.wait(3, 2)
    await heard.wait(2, 2)
    assert sorted(heard.signums) == [1, 2, 2, 3, 3]
    end_two()
    await until(lambda: postgres.last_said('UNLISTEN "both"'))


async def test_remove_source(postgres: Postgres) -> None:
    """A removed source raises no more, the last one takes the connection with it, and a new one makes another."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        source = add_postgres(signals, 20, "gone", postgres.local)
        await until(postgres.clients)
        signals.remove_source(source)
        await until(lambda: not postgres.clients())
        postgres.notify("gone")
        add_postgres(signals, 21, "here", postgres.local)
        await until(lambda: postgres.last_said('LISTEN "here"'))
        postgres.notify("here")
        await until(lambda: master.statistics().accepted)
        assert master.statistics().signals[21].accepted == 1
        with pytest.raises(ValueError, match="not running"):
            signals.remove_source(source)


async def test_iterations(postgres: Postgres, start: Start, heard: Heard) -> None:
    """After the last one the source ends, and with it the connection."""
    await start(PostgresSource(1, "few", postgres.local, iterations=3))
    postgres.notify(*["few"] * 5)
    await until(lambda: not postgres.clients())
    assert heard.signums == [1, 1, 1]


async def test_nothing_is_lost_while_the_queue_is_full(postgres: Postgres, start: Start, heard: Heard) -> None:
    """What is notified while `send` waits is raised afterwards, each time."""
    heard.gate = trio.Event()
    await start(PostgresSource(1, "slow", postgres.local))
    await start(PostgresSource(2, "last", postgres.local))
    postgres.notify(*["slow"] * 100, "last")
    await wait_in_vain(0.2)
    assert heard.signums == []
    heard.gate.set()
    await heard.wait(1, 100)
    await heard.wait(2)
    assert len(heard.signums) == 101


async def test_a_source_alone(postgres: Postgres, heard: Heard, nursery: trio.Nursery) -> None:
    """A source runs without a master too, as any event source does."""
    nursery.start_soon(PostgresSource(1, "alone", postgres.local).run, heard.send)
    await until(lambda: postgres.last_said('LISTEN "alone"'))
    postgres.notify("alone")
    await heard.wait(1)
    nursery.cancel_scope.cancel()


# Trouble


def resyncs(caplog: pytest.LogCaptureFixture) -> int:
    """How often the log says that a signal was raised because something may have been missed."""
    return caplog.text.count("notifications may have been missed")


async def test_server_restart(fragile: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """After a crash of the server each channel's signal is raised once, the log says why, and all goes on."""
    fragile.start()
    signals = trisig.Signals()
    for number in (1, 2):
        signals.register(number, "worker", lambda signum: None)
        add_postgres(signals, number, f"channel{number}", fragile.local)
    async with trisig.open_master(signals) as master:

        def done() -> list[int]:
            return [master.statistics().signals[number].done for number in (1, 2)]

        await trio.to_thread.run_sync(fragile.notify, "channel1", "channel1", "channel2")
        await until(lambda: done() == [2, 1])
        await trio.to_thread.run_sync(fragile.stop)
        await wait_in_vain(0.5)
        assert done() == [2, 1]
        await trio.to_thread.run_sync(fragile.start)
        await until(lambda: done() == [3, 2])
        await trio.to_thread.run_sync(fragile.notify, "channel2", "channel1", "channel2")
        await until(lambda: done() == [4, 4])
        assert resyncs(caplog) == 2
        assert len(fragile.clients()) == 1
    assert "the connection was lost" in caplog.text
    assert master.statistics().accepted == 8


async def test_server_down_at_start(
    fragile: Postgres, start: Start, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that is not there holds up nobody; once it is, the signal is raised once and then for each one."""
    await start(PostgresSource(1, "early", fragile.local))
    assert re.search(r"the server cannot be reached: .*; next try in 0\.1 s", caplog.text)
    await trio.to_thread.run_sync(fragile.start)
    await heard.wait(1)
    fragile.notify("early")
    await heard.wait(1, 2)
    assert resyncs(caplog) == 1
    assert {record.levelno for record in caplog.records} <= {logging.WARNING, logging.ERROR}


async def test_connection_ended_by_the_server(postgres: Postgres, start: Start, heard: Heard) -> None:
    """An administrator ends our connection: there is another one at once, and one signal."""
    await start(PostgresSource(1, "ended", postgres.local))
    [before] = postgres.clients()
    postgres.ask("SELECT pg_terminate_backend(%s)", before)
    await heard.wait(1)
    await until(lambda: before not in postgres.clients())
    assert len(postgres.clients()) == 1
    postgres.notify("ended")
    await heard.wait(1, 2)
    assert heard.signums == [1, 1]


async def test_wrong_password(postgres: Postgres, start: Start, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is logged as an error, without the password, and tried again until it is put right."""
    postgres.ask("CREATE ROLE locked LOGIN PASSWORD 'right'")
    await start(PostgresSource(1, "locked", postgres.tcp(user="locked", password="wr0ng")))
    assert caplog.records[0].levelno == logging.ERROR
    assert "password authentication failed" in caplog.text
    assert "wr0ng" not in caplog.text
    postgres.ask("ALTER ROLE locked PASSWORD 'wr0ng'")
    await heard.wait(1)


async def test_channel_that_the_server_refuses(postgres: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """A name that the database cannot spell fails its own source, visibly, and no other on that connection."""
    postgres.ask("CREATE DATABASE latin ENCODING LATIN1 LOCALE 'C' TEMPLATE template0")
    conninfo = postgres.local.replace("dbname=postgres", "dbname=latin")
    signals = trisig.Signals()
    add_postgres(signals, 1, "☃", conninfo)
    add_postgres(signals, 2, "fine", conninfo)
    async with trisig.open_master(signals) as master:
        await until(lambda: master.statistics().sources[0].restarts >= 1)
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("NOTIFY fine")
        await until(lambda: master.statistics().sources[1].fired)
        refused, fine = master.statistics().sources
    assert "cannot listen to '☃'" in (refused.error or "")
    lines = [record for record in caplog.records if "☃" in record.getMessage()]
    assert lines[0].getMessage().startswith("postgres notification of signal 1 on '☃' failed, next try in 0.1 s: ")
    assert {(record.levelno, record.exc_info, "\n" in record.getMessage()) for record in lines} == {
        (logging.ERROR, None, False)
    }
    assert (fine.error, fine.restarts, fine.fired) == (None, 0, 1)
    assert resyncs(caplog) == 0


async def test_a_standby_that_becomes_the_primary(fragile: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    """It refuses all channels until it is promoted; then the signal is raised once, and the iterations count on."""
    fragile.start()
    signals = trisig.Signals()
    signals.register(1, "worker", lambda signum: None)
    add_postgres(signals, 1, "orders", fragile.local, iterations=4)
    async with trisig.open_master(signals) as master:

        def fired() -> list[int]:
            return [told.fired for told in master.statistics().sources]

        await trio.to_thread.run_sync(fragile.notify, "orders", "orders")
        await until(lambda: fired() == [2])
        await trio.to_thread.run_sync(fragile.stop)
        fragile.be_standby()
        await trio.to_thread.run_sync(fragile.start)
        await until(lambda: master.statistics().sources[0].restarts)
        assert "cannot execute LISTEN during recovery" in (master.statistics().sources[0].error or "")
        assert len(fragile.clients()) == 1
        fragile.ask("SELECT pg_promote()")
        await until(lambda: fired() == [3])
        await trio.to_thread.run_sync(fragile.notify, "orders", "orders")
        await until(lambda: not fired())
        assert master.statistics().accepted == 4
    assert resyncs(caplog) == 1
    assert "postgres notification of signal 1 on 'orders': listening again; raising the signal once" in caplog.text


async def test_a_standby_from_the_beginning(fragile: Postgres, heard: Heard) -> None:
    """The master does not wait for it; when it is promoted, all sources of a channel raise once and then for each."""
    await trio.to_thread.run_sync(fragile.start)
    await trio.to_thread.run_sync(fragile.stop)  # a standby has something to recover
    fragile.be_standby()
    await trio.to_thread.run_sync(fragile.start)
    errors = []

    async def persist(signum: int, course: SourceRun) -> None:
        with course:
            while True:
                try:
                    await course.resume(heard.send)
                except ChannelError as error:
                    errors.append(error)
                await trio.sleep(0.05 * signum)

    async with open_engines() as engines, trio.open_nursery() as nursery:
        for signum in (1, 2):
            nursery.start_soon(persist, signum, SourceRun(PostgresSource(signum, "orders", fragile.local), engines))
        with trio.fail_after(BOUND):
            await engines.wait_settled()
        await until(lambda: len(errors) > 4)
        assert heard.signums == []
        fragile.ask("SELECT pg_promote()")
        for signum in (1, 2):
            await heard.wait(signum)
        fragile.notify("orders")
        for signum in (1, 2):
            await heard.wait(signum, 2)
        assert sorted(heard.signums) == [1, 1, 2, 2]
        nursery.cancel_scope.cancel()


class Mute:
    """A server that takes connections and says nothing."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    async def accept(self) -> socket.socket:
        await trio.lowlevel.wait_readable(self.listener)
        return self.listener.accept()[0]


@pytest.fixture
def mute() -> Iterator[Mute]:
    """A server that takes connections and says nothing."""
    server = Mute()
    with server.listener:
        yield server


async def test_cancelled_while_the_server_is_mute(mute: Mute, heard: Heard) -> None:
    """Nothing waits for a server that does not answer: the end is prompt, and the connection is closed."""
    async with open_engines() as engines, trio.open_nursery() as nursery:
        source = PostgresSource(1, "mute", f"host=127.0.0.1 port={mute.port}")
        nursery.start_soon(run_on, engines, source, heard.send)
        peer = await mute.accept()
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < BOUND
    with peer:
        peer.settimeout(BOUND)
        while peer.recv(4096):
            pass  # the greeting; then the end, or the time is over


async def test_mute_server_is_given_up(mute: Mute, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """`connect_timeout` holds, although libpq leaves it to the caller here."""
    began = trio.current_time()
    await start(PostgresSource(1, "mute", f"host=127.0.0.1 port={mute.port} connect_timeout=1"))
    assert trio.current_time() - began > 0.9
    assert "no answer within 1 s" in caplog.text


async def test_mute_servers_hold_up_nothing_else(tmp_path: Path) -> None:
    """The master asks several at the same time; what was declared after them notices and raises meanwhile."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    mutes = [Mute() for _ in range(3)]
    for mute in mutes:
        add_postgres(signals, 1, "orders", f"host=127.0.0.1 port={mute.port} connect_timeout=600")
    (tmp_path / "folder").mkdir()
    signals.file_monitor(tmp_path / "folder", iterations=1)(lambda signum: journal.note("changed"))
    signals.timer(0.01, iterations=3)(lambda signum: journal.note("tick"))

    @signals.service("worker1")
    async def change() -> None:
        (tmp_path / "folder" / "new").touch()

    answered = False

    async def let_go() -> None:
        nonlocal answered
        peers = [await mute.accept() for mute in mutes]
        assert sorted(note for _, note in await journal.until(4)) == ["changed", "tick", "tick", "tick"]
        answered = True
        for one in [*peers, *(mute.listener for mute in mutes)]:
            one.close()

    with trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(let_go)
            async with trisig.open_master(signals) as master:
                assert answered
                assert len(master.statistics().sources) == 3


async def test_removed_by_a_child_while_the_master_opens(mute: Mute) -> None:
    """A source whose server has not answered yet may be taken back, before the first signal or later."""
    signals = trisig.Signals()
    first, second = [
        add_postgres(signals, 1, channel, f"host=127.0.0.1 port={mute.port} connect_timeout=600")
        for channel in ("orders", "prices")
    ]

    @signals.service("worker1")
    async def remove_first() -> None:
        signals.remove_source(first)

    @signals.timer(0.01, iterations=1)
    def remove_second(signum: int) -> None:
        signals.remove_source(second)

    with trio.fail_after(BOUND):
        async with trisig.open_master(signals) as master:
            await until(lambda: master.statistics().sources == ())


async def test_next_host(postgres: Postgres, mute: Mute, start: Start, heard: Heard) -> None:
    """A host that refuses and one that is mute each use up their own time only."""
    hosts = f"host=127.0.0.1,127.0.0.1,127.0.0.1 port=1,{mute.port},{postgres.port}"
    await start(PostgresSource(1, "third", f"{hosts} user=postgres dbname=postgres connect_timeout=1"))
    postgres.notify("third")
    await heard.wait(1)
    assert heard.signums == [1]


class Names(trio.abc.HostnameResolver):
    """Knows one name that nobody else does."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def getaddrinfo(self, host: bytes | None, *_more: object, **_named: object) -> list[Any]:
        self.asked.append(host)
        if host != b"db.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0)) for address in ("127.0.0.2", "127.0.0.1")]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_names_are_looked_up_by_trio(postgres: Postgres, start: Start, heard: Heard) -> None:
    """No name gets to libpq, which would block on it, and each address of a name is tried."""
    names = Names()
    trio.socket.set_custom_hostname_resolver(names)
    await start(PostgresSource(1, "named", postgres.tcp("unknown.invalid,db.invalid", port=postgres.port)))
    postgres.notify("named")
    await heard.wait(1)
    assert names.asked == [b"unknown.invalid", b"db.invalid"]
    assert heard.signums == [1]


async def test_cancelled_at_any_moment(postgres: Postgres, heard: Heard) -> None:
    """Wherever connecting and listening is cut off, no descriptor and no connection stays."""

    async def listen(armed: trio.Event) -> None:
        async with open_engines() as engines, trio.open_nursery() as nursery:
            await nursery.start(run_on, engines, PostgresSource(1, "cut", postgres.tcp()), heard.send)
            armed.set()
            await trio.sleep_forever()

    async def time_to_arm() -> float:
        began, armed = trio.current_time(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen, armed)
            await armed.wait()
            took = trio.current_time() - began
            nursery.cancel_scope.cancel()
        return took

    whole, reached = min([await time_to_arm() for _ in range(3)]), 0
    for step in range(60):
        armed = trio.Event()
        with trio.move_on_after(step / 30 * whole):
            await listen(armed)
        reached += armed.is_set()
    assert 0 < reached < 60, "the steps do not reach from before to after"
    await until(lambda: not postgres.clients())


# What is wrong is said where it is written


@pytest.mark.parametrize(
    ("conninfo", "said"),
    [
        ("shop", 'missing "="'),
        ("colour=red", 'invalid connection option "colour"'),
        ("host='", "unterminated"),
        ("postgresql://[::1", "IPv6"),
        ("host=a\0b", "NUL"),
        ("service=shop", "service="),
        ("sslmode=perhaps", "sslmode"),
        ("port=0", "port"),
        ("port=http", "port"),
        ("host=a,b port=1,2,3", "2 hosts cannot have 3 ports"),
        ("host=a,b hostaddr=127.0.0.1", "2 hosts cannot have 1"),
        ("hostaddr=db", "hostaddr"),
        ("connect_timeout=soon", "connect_timeout"),
        ("keepalives_idle=long", "keepalives_idle"),
        ("keepalives_idle=99999999999999", "keepalives_idle of a conninfo is a number from 1 to 32767"),
        ("keepalives_interval=0", "keepalives_interval of a conninfo is a number from 1 to 32767"),
        ("keepalives_count=128", "keepalives_count of a conninfo is a number from 1 to 127"),
        ("connect_timeout=99999999999", "connect_timeout of a conninfo is a number from"),
        ("gssencmode=perhaps", "gssencmode"),
        ("target_session_attrs=best", "target_session_attrs"),
        ("host=\ud800", "a conninfo cannot contain surrogates"),
    ],
)
def test_wrong_conninfo(conninfo: str, said: str) -> None:
    """Whatever libpq would refuse is refused in the call, and nothing is registered."""
    signals = trisig.Signals()
    with pytest.raises(ValueError, match=said):
        add_postgres(signals, 1, "orders", conninfo)
    with pytest.raises(ValueError, match=said):
        notification(signals, "orders", conninfo, signum=1)
    assert not signals.is_registered(1)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((1, "", "host=db"), ValueError, "at least one character"),
        ((1, "a\0", "host=db"), ValueError, "NUL"),
        ((1, "x" * 64, "host=db"), ValueError, "63 bytes"),
        ((1, "ä" * 32, "host=db"), ValueError, "63 bytes"),
        ((1, "\ud800", "host=db"), ValueError, "cannot have surrogates"),
        ((1, b"orders", "host=db"), TypeError, "named by a str"),
        ((1, "orders", None), TypeError, "a conninfo is a str"),
        ((256, "orders", "host=db"), ValueError, "a signal is a number"),
        ((True, "orders", "host=db"), TypeError, "a signal is a number"),
    ],
)
def test_wrong_arguments(arguments: tuple[Any, ...], error: type[Exception], said: str) -> None:
    """Each argument is checked in the call."""
    with pytest.raises(error, match=said):
        add_postgres(trisig.Signals(), *arguments)
    with pytest.raises(ValueError, match="iterations"):
        add_postgres(trisig.Signals(), 1, "orders", "host=db", iterations=-1)


@pytest.mark.parametrize("conninfo", ["host=db gssencmode=require", "connect_timeout=-5", "keepalives_count=' 127 '"])
def test_right_conninfo(conninfo: str) -> None:
    """What libpq takes is taken, also what it would not take for the local socket that it is tried with."""
    PostgresSource(1, "orders", conninfo)


def test_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of libpq fill in what a conninfo leaves out, and what it says wins."""
    monkeypatch.setenv("PGHOST", "db.invalid")
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "3")
    server = PostgresSource(1, "orders", "port=7")._server
    assert (str(server), server.timeout) == ("db.invalid:7", 3)
    server = PostgresSource(1, "orders", "host=10.0.0.1 connect_timeout=4")._server
    assert (str(server), server.timeout) == ("10.0.0.1:5432", 4)
    monkeypatch.setenv("PGPORT", "http")
    with pytest.raises(ValueError, match="port"):
        PostgresSource(1, "orders", "")


def test_the_password_stays_out_of_sight() -> None:
    """Neither a source nor its server shows it."""
    source = PostgresSource(1, "orders", "host=db password=s3cret")
    assert "s3cret" not in f"{source} {source!r} {source._server} {source._server!r}"


PROGRAM = """
import sys, trisig
assert "psycopg" not in sys.modules
sys.modules["psycopg"] = None
import trisig.postgres
"""


def test_psycopg_is_optional() -> None:
    """`import trisig` does without psycopg; `import trisig.postgres` says what to install, and only that."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=30)
    assert ran.stderr.count("Traceback") == 1
    assert 'python -m pip install ".[postgres]"' in ran.stderr.splitlines()[-1]
