"""A node whose packets are dropped: the kernel acknowledges nothing for it, as if its network were gone."""

from __future__ import annotations

from pathlib import Path

from cluster_tools import NODE, a_node, ask, lines, noting
from postgres_server import Postgres
from witness import Journal, eventually

import trisig
from trisig.postgres import Cluster

LEASE_S = 2.0  # so that a pause is not taken for the cut

# A socket filter that passes nothing needs no privileges. It works before TCP, which acknowledges nothing then.
DEAFENING = """
import ctypes, socket, struct, trio

@signals.service("master")
async def deafen(master):
    while not os.path.exists({notes!r} + ".deaf"):
        await trio.sleep(0.01)
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    filter = struct.pack("HxxxxxxP", 1, ctypes.addressof(nothing))
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(fd)) as one:
                if one.family == socket.AF_INET:
                    one.setsockopt(socket.SOL_SOCKET, 26, filter)  # SO_ATTACH_FILTER
        except OSError:
            pass  # no socket
    with open({notes!r} + ".done", "w"):
        pass

if __name__ == "__main__":
"""


async def test_a_node_that_is_cut_off(server: Postgres, conninfo: str, tmp_path: Path) -> None:
    """While its process lives, the others declare it down when its lease is over, and run what it had."""
    journal = Journal(tmp_path)
    heir = noting(journal, "heir", **{f"s{number}": "cluster" for number in range(12)})
    name = conninfo.rpartition("dbname=")[2]
    await Cluster(conninfo, node="any").init()
    source = NODE.replace('if __name__ == "__main__":\n', DEAFENING).replace("lease={lease}", f"lease={LEASE_S}")
    with a_node(tmp_path / "deaf", server.tcp(dbname=name), "deaf", source) as deaf:
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT generate_series(0, 2)")
        await eventually(lambda: len(lines(tmp_path / "deaf/notes")) == 3)
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=LEASE_S)) as master:
            assert {node.name for node in master.nodes} == {"deaf", "heir"}
            assert not journal.read()
            (tmp_path / "deaf/notes.deaf").touch()
            await eventually((tmp_path / "deaf/notes.done").exists)
            assert sorted(note[2] for note in await journal.until(3)) == [0, 1, 2]
            await eventually(lambda: [node.name for node in master.nodes] == ["heir"])
            assert deaf.poll() is None
