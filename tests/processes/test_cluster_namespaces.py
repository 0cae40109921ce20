"""Two nodes in networks of their own, joined by a cable that is pulled and put back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster_storm import LEASE, application, judge, notes_in
from cluster_tools import reap
from kernel_view import children
from namespaces import Namespace, cable, namespace, skip_unless_permitted
from postgres_server import a_server

NEAR, FAR = "10.77.0.1", "10.77.0.2"
PATIENCE = 60.0


def until(true: Callable[[], object]) -> None:
    """Wait for it."""
    give_up = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.02)


@contextmanager
def node(network: Namespace, folder: Path, name: str, conninfo: str) -> Iterator[None]:
    """A node that raises, and handles what it or another has raised."""
    program, before = folder / f"{name}.py", children()
    program.write_text(application(name, str(folder), conninfo, LEASE))
    with (folder / f"{name}.log").open("ab") as log:
        command = [sys.executable, str(program)]
        process = network.run(lambda: subprocess.Popen(command, stderr=log, start_new_session=True))
    try:
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        reap({pid for pid in children() - before if os.getsid(pid) == process.pid})


def test_a_cable_is_pulled(template: Path, tmp_path: Path) -> None:
    """The node on the server's side has all the work; with the cable back both do; nothing is lost on the way."""
    skip_unless_permitted()

    def handled(name: str, since: float) -> int:
        """How much a node has handled from then on."""
        mine = [float(at) for at, who, what, _ in notes_in(tmp_path) if (who, what) == (name, "handled")]
        return sum(at > since for at in mine)

    with (
        namespace() as one,
        namespace() as two,
        a_server(template) as server,
        cable(one, two, (f"{NEAR}/24", f"{FAR}/24")) as link,
    ):
        server.hosts = f"127.0.0.1,{NEAR}"
        rules = server.home / "data" / "pg_hba.conf"
        rules.write_text(f"host all all {NEAR}/24 trust\n" + rules.read_text())
        one.run(server.start)
        with node(one, tmp_path, "near", server.tcp()), node(two, tmp_path, "far", server.tcp(NEAR)):
            until(lambda: handled("near", 0) and handled("far", 0))
            time.sleep(LEASE)
            pulled = time.time()
            one.ip("link", "set", link, "down")
            time.sleep(3 * LEASE)
            alone, back = handled("near", pulled + 2 * LEASE), time.time()
            (name,) = server.ask("SELECT string_agg(name, ' ') FROM trisig.node")
            one.ip("link", "set", link, "up")
            until(lambda: handled("far", back + 2 * LEASE))
            (tmp_path / "enough").touch()
            until(lambda: not server.ask("SELECT 1 FROM trisig.signal WHERE task IS NOT NULL LIMIT 1"))
        assert name == ("near",), "the other one was declared down"
        assert alone
        verdict = judge(server, tmp_path, [(pulled, "cut", "far"), (back, "after cut", "far")])
        assert verdict.faults() == [], verdict
        assert verdict.sent > 100, verdict
