"""Monitors of whole trees on real directories and the real inotify; patterns, and changes that settle."""

# The files are local and small, and what they are about is the moment at which they change.
# ruff: noqa: ASYNC240

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import trio.lowlevel
import trio.testing
from monitored import FILE, Monitored, append, watches
from source_tools import Recorder, Start, run_on
from trio.testing import MockClock
from witness import eventually

import trisig
from trisig._linux.inotify import Inotify
from trisig._sources import Engines, SourceRun
from trisig._sources.files import FileSource

# `nox -s storm` takes ten times as many.
DIRECTORIES = int(os.environ.get("TRISIG_DIRECTORIES", "2000"))
CHANGES = int(os.environ.get("TRISIG_CHANGES", "1500"))


@pytest.fixture
def monitored(start: Start, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Monitored:
    """Adds monitors and counts their signals."""
    return Monitored(start, recorder, tmp_path_factory.mktemp("sentinel"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with a few levels below it."""
    root = tmp_path / "tree"
    for path in ("a/b/c", "a/d", "e"):
        (root / path).mkdir(parents=True)
    (root / "a" / "b" / "c" / "file").touch()
    return root


async def test_all_levels(monitored: Monitored, tree: Path) -> None:
    """What happens on any level raises; what happens beside the tree does not."""
    await monitored.add(tree, recursive=True)
    for path in ("file", "e/file", "a/b/c/file"):
        (tree / path).touch()
        assert await monitored.count() >= 1
        append(tree / path)
        assert await monitored.count() >= 1
    (tree.parent / "beside").mkdir()
    (tree.parent / "beside" / "file").touch()
    assert await monitored.count() == 0


async def test_without_recursion_nothing_below_raises(monitored: Monitored, tree: Path) -> None:
    """The negative control."""
    await monitored.add(tree)
    append(tree / "a" / "b" / "c" / "file")
    assert await monitored.count() == 0


async def test_a_directory_that_appears(monitored: Monitored, tree: Path) -> None:
    """One made now is watched as its siblings are, however fast there is more below it."""
    await monitored.add(tree, recursive=True)
    (tree / "x" / "y" / "z").mkdir(parents=True)
    (tree / "x" / "y" / "z" / "file").touch()
    assert await monitored.count() >= 1
    append(tree / "x" / "y" / "z" / "file")
    assert await monitored.count() >= 1


async def test_what_lies_in_a_directory_that_appears_is_new(monitored: Monitored, tree: Path) -> None:
    """A file that fits, made before its directory could be watched, is found by looking."""
    await monitored.add(tree, recursive=True, match="*.py")
    (tree / "x" / "y").mkdir(parents=True)
    assert await monitored.count() == 0
    (tree / "p" / "q").mkdir(parents=True)
    (tree / "p" / "q" / "new.py").touch()
    assert await monitored.count() >= 1


async def test_trees_that_move(monitored: Monitored, tree: Path, tmp_path: Path) -> None:
    """Moved out, a tree is silent; moved in, and within, it raises and goes on raising under its new name."""
    await monitored.add(tree, recursive=True)
    away = tmp_path / "away"
    (tree / "a").rename(away)
    assert await monitored.count() >= 1
    append(away / "b" / "c" / "file")
    (away / "b" / "more").mkdir()
    assert await monitored.count() == 0
    away.rename(tree / "e" / "back")
    assert await monitored.count() >= 1
    append(tree / "e" / "back" / "b" / "c" / "file")
    assert await monitored.count() >= 1
    (tree / "e" / "back").rename(tree / "within")
    assert await monitored.count() >= 1
    append(tree / "within" / "b" / "c" / "file")
    assert await monitored.count() >= 1
    (tree / "within" / "b" / "c" / "deeper").mkdir()
    (tree / "within" / "b" / "c" / "deeper" / "file").touch()
    assert await monitored.count() >= 1
    append(tree / "within" / "b" / "c" / "deeper" / "file")
    assert await monitored.count() >= 1


async def test_two_trees_that_swap_names(monitored: Monitored, tree: Path) -> None:
    """Each goes on being watched, under the other's name."""
    await monitored.add(tree, recursive=True)
    for _ in range(20):
        (tree / "a").rename(tree / "tmp")
        (tree / "e").rename(tree / "a")
        (tree / "tmp").rename(tree / "e")
    await monitored.count()
    (tree / "a" / "file").touch()
    assert await monitored.count() >= 1
    for path in tree.rglob("file"):
        append(path)
        assert await monitored.count() >= 1


async def test_the_root_goes_and_returns(monitored: Monitored, tree: Path, tmp_path: Path) -> None:
    """The monitored path is followed by name, with the tree that it leads to."""
    await monitored.add(tree, recursive=True)
    tree.rename(tmp_path / "away")
    assert await monitored.count() >= 1
    append(tmp_path / "away" / "a" / "b" / "c" / "file")
    assert await monitored.count() == 0
    (tree / "n" / "m").mkdir(parents=True)
    assert await monitored.count() >= 1
    (tree / "n" / "m" / "file").touch()
    assert await monitored.count() >= 1
    shutil.rmtree(tree)
    (tmp_path / "away").rename(tree)
    assert await monitored.count() >= 1
    append(tree / "a" / "b" / "c" / "file")
    assert await monitored.count() >= 1


async def test_links_in_the_tree_are_not_followed(monitored: Monitored, tree: Path, tmp_path: Path) -> None:
    """A link to a directory is an entry like any other: no loop, and nothing outside."""
    (tmp_path / "outside").mkdir()
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "a" / "out").symlink_to(tmp_path / "outside")
    await monitored.add(tree, recursive=True)
    (tmp_path / "outside" / "file").touch()
    assert await monitored.count() == 0
    (tree / "a" / "out").unlink()
    assert await monitored.count() >= 1


async def test_a_recursive_monitor_of_a_file(monitored: Monitored, tree: Path) -> None:
    """There is nothing below a file; it is monitored like one, and a directory that takes its place like a tree."""
    file = tree / "a" / "b" / "c" / "file"
    await monitored.add(file, recursive=True)
    append(file)
    assert await monitored.count() == 1
    file.unlink()
    (file / "sub").mkdir(parents=True)
    assert await monitored.count() >= 1
    (file / "sub" / "entry").touch()
    assert await monitored.count() >= 1


# Patterns


@pytest.mark.parametrize(
    ("match", "silent", "raises"),
    [
        ("*.py", "a/file.txt", "a/file.py"),
        ("*.py", "a/pyx", "a/b/c/x.py"),
        ("a/*.py", "e/x.py", "a/b/x.py"),
        ("[ab]?", "e/cd", "e/ax"),
    ],
)
async def test_only_what_fits_raises(monitored: Monitored, tree: Path, match: str, silent: str, raises: str) -> None:
    """A pattern is for names; with a slash in it, for paths below the monitored directory."""
    await monitored.add(tree, recursive=True, match=match)
    (tree / silent).touch()
    append(tree / silent)
    (tree / silent).unlink()
    assert await monitored.count() == 0
    (tree / raises).touch()
    assert await monitored.count() >= 1
    (tree / raises).unlink()
    assert await monitored.count() >= 1


async def test_a_pattern_in_one_directory(monitored: Monitored, tree: Path) -> None:
    """The same without recursion; replaced as a whole, a directory raises whatever is in it."""
    await monitored.add(tree, match="*.py")
    (tree / "x.txt").touch()
    tree.chmod(0o700)
    assert await monitored.count() == 0
    (tree / "x.py").touch()
    assert await monitored.count() >= 1
    tree.rename(tree.with_name("away"))
    assert await monitored.count() == 1


async def test_a_directory_that_leaves_with_what_fits(monitored: Monitored, tree: Path, tmp_path: Path) -> None:
    """Nothing tells what was in it, so it raises."""
    await monitored.add(tree, recursive=True, match="*.py")
    (tree / "a").rename(tmp_path / "away")
    assert await monitored.count() == 1


async def test_the_path_of_a_change(engines: Engines, tree: Path) -> None:
    """One change is known by its path; several seen together by what they have in common."""
    source = FileSource(FILE, tree, recursive=True)
    with source.arm(engines) as monitor, trio.fail_after(5):
        append(tree / "a" / "b" / "c" / "file")
        assert (await monitor.next()).path == str(tree / "a" / "b" / "c" / "file")
        (tree / "one").touch()
        (tree / "two").touch()
        await trio.testing.wait_all_tasks_blocked()
        assert (await monitor.next()).path == str(tree)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"recursive": 1}, TypeError, "recursive must be True or False, not 1"),
        ({"match": b"*"}, TypeError, r"match must be a str such as '\*\.py'"),
        ({"match": ""}, ValueError, "match is empty"),
        ({"settle": -1}, ValueError, "settle must be from 0 to"),
        ({"settle": "1"}, TypeError, "settle must be an int or float"),
    ],
)
def test_wrong_options(tmp_path: Path, options: dict[str, object], error: type[Exception], said: str) -> None:
    """The error says what to write."""
    with pytest.raises(error, match=said):
        FileSource(1, tmp_path, **options)  # type: ignore[arg-type]


# Settling


async def test_changes_settle(engines: Engines, recorder: Recorder, tree: Path, autojump_clock: MockClock) -> None:
    """One signal for a burst, once it has been quiet for as long as asked; then the next."""
    del autojump_clock
    async with trio.open_nursery() as nursery:
        await nursery.start(run_on, engines, FileSource(FILE, tree, settle=2.0), recorder.send)
        begin = trio.current_time()
        for n in range(5):
            (tree / f"file{n}").touch()
            await engines_have_read(engines)
            await trio.sleep(1)
        await recorder.wait(1)
        assert len(recorder.raised) == 1
        assert 5.9 < trio.current_time() - begin < 6.5
        (tree / "later").touch()
        await engines_have_read(engines)
        await recorder.wait(2)
        nursery.cancel_scope.cancel()


async def test_changes_that_never_settle(
    engines: Engines, recorder: Recorder, tree: Path, autojump_clock: MockClock
) -> None:
    """They are reported after ten times as long at the latest."""
    del autojump_clock
    async with trio.open_nursery() as nursery:
        await nursery.start(run_on, engines, FileSource(FILE, tree, settle=2.0), recorder.send)
        begin = trio.current_time()
        for n in range(25):
            (tree / f"file{n}").touch()
            await engines_have_read(engines)
            await trio.sleep(1)
        assert recorder.times[0] - begin <= 21
        assert len(recorder.raised) == 1
        nursery.cancel_scope.cancel()


async def engines_have_read(engines: Engines) -> None:
    """Read now: a mock clock jumps on before the kernel says anything."""
    engines.watcher.read()
    await trio.lowlevel.checkpoint()


# Many


async def test_the_watch_limit_is_named_and_waited_for(
    engines: Engines, recorder: Recorder, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that cannot be watched fails the run with the setting to raise; the next try goes on from there."""
    real, left = Inotify.add, 0

    def add(instance: Inotify, path: str, mask: int) -> int:
        if "new" in path and not left:
            raise OSError(errno.ENOSPC, "no inotify watch is left: raise fs.inotify.max_user_watches", path)
        return real(instance, path, mask)

    monkeypatch.setattr(Inotify, "add", add)
    with SourceRun(FileSource(FILE, tree, recursive=True), engines) as run, trio.fail_after(5):
        (tree / "new" / "er").mkdir(parents=True)
        for _ in range(2):
            with pytest.raises(OSError, match=r"fs\.inotify\.max_user_watches"):
                await run.resume(recorder.send)
        left = 100
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.resume, recorder.send)
            await recorder.wait(1)
            (tree / "new" / "er" / "file").touch()
            await recorder.wait(2)
            nursery.cancel_scope.cancel()
    assert not watches()


async def test_removing_and_making_a_thousand_trees_leaks_no_watch(monitored: Monitored, tree: Path) -> None:
    """Watches of what is gone are given back."""
    await monitored.add(tree, recursive=True)
    await monitored.count()
    before = len(watches())
    for n in range(300):
        (tree / f"new{n}" / "a" / "b").mkdir(parents=True)
        if n % 3:
            shutil.rmtree(tree / f"new{n}")
        elif n % 2:
            (tree / f"new{n}").rename(tree / "e" / f"new{n}")
        if n % 50 == 0:
            await monitored.count()
    shutil.rmtree(tree / "e")
    for path in tree.glob("new*"):
        shutil.rmtree(path)
    (tree / "e").mkdir()
    await monitored.count()
    assert len(watches()) == before


def make_wide(root: Path, directories: int) -> None:
    """As many directories, a hundred in each."""
    for n in range(directories // 100):
        folder = root / f"d{n}"
        folder.mkdir(parents=True)
        for k in range(99):
            (folder / f"e{k}").mkdir()


async def test_many_directories(monitored: Monitored, recorder: Recorder, tmp_path: Path) -> None:
    """The tree is covered by and by and raises once when it is; other tasks run meanwhile; then each level raises."""
    root = tmp_path / "wide"
    make_wide(root, DIRECTORIES)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        await monitored.add(root, recursive=True)
        nursery.start_soon(take_turns)
        with trio.fail_after(60):
            await recorder.wait(1, FILE)
        nursery.cancel_scope.cancel()
    assert turns > DIRECTORIES // 400
    assert len(watches()) > DIRECTORIES
    await monitored.count()
    for path in ("d0/e0", f"d{DIRECTORIES // 100 - 1}/e98", "d10"):
        (root / path / "file").touch()
        assert await monitored.count() >= 1
    shutil.rmtree(root / "d0")
    assert await monitored.count() >= 1
    root.rename(tmp_path / "away")
    with trio.fail_after(60):
        await monitored.count()
        await eventually(lambda: len(watches()) < 100)


WRITER = """
import os, sys
root = sys.argv[1]
for n in range(int(sys.argv[2])):
    path = f"{root}/{n % 50}/{n % 7}"
    if not os.path.isdir(path):
        os.makedirs(path, exist_ok=True)
    open(f"{path}/{n}", "w").close()
    if n % 10 == 9:
        os.rename(path, f"{root}/{n % 50}/moved{n}")
print("done")
"""


def newest(root: Path) -> set[str]:
    """All files of a tree, as a handler would find them."""
    return {name for _, _, names in os.walk(root) for name in names}


async def test_many_changes(engines: Engines, tmp_path: Path) -> None:
    """However the monitor and the writer fall in with one another, what was written last is seen after a signal."""
    root = tmp_path / "tree"
    root.mkdir()
    seen: set[str] = set()

    async def send(_signum: int) -> None:
        seen.update(await trio.to_thread.run_sync(newest, root))

    async with trio.open_nursery() as nursery:
        await nursery.start(run_on, engines, FileSource(FILE, root, recursive=True), send)
        with trio.fail_after(120):
            await trio.run_process([sys.executable, "-c", WRITER, str(root), str(CHANGES)], capture_stdout=True)
            await eventually(lambda: len(seen) == CHANGES)
            nursery.cancel_scope.cancel()
    assert len(seen) == CHANGES


async def test_a_very_deep_tree(monitored: Monitored, tmp_path: Path) -> None:
    """Deeper than Python's recursion goes: the deepest directory raises, and leaving takes all watches back."""
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    await monitored.add(top, recursive=True)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    assert await monitored.count() >= 1
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert await monitored.count() >= 1
    top.rename(tmp_path / "away")
    assert await monitored.count() >= 1
    await eventually(lambda: len(watches()) < 50)
    subprocess.run(["rm", "-rf", tmp_path / "away"], check=True)  # noqa: ASYNC221  deeper than shutil goes


# Through the public API


async def test_options_of_the_verbs(tmp_path: Path, tree: Path) -> None:
    """`add_file_monitor` and `file_monitor` take them all, in the master and, over its spec, in a child."""
    signals = trisig.Signals()
    source = signals.add_file_monitor(200, tree, recursive=True, match="*.py", settle=0.01)
    signals.file_monitor(tree, signum=201, recursive=True, match="*.txt")(print)

    @signals.on_start("worker1")
    def start() -> None:
        signals.add_file_monitor(202, tree, recursive=True, match="*.md", settle=0.01)

    async with trisig.open_master(signals) as master:
        names = [told.source for told in master.statistics().sources]
        assert names == [
            f"file monitor of signal {signum} on {tree}, recursively, {match}"
            for signum, match in ((200, "*.py"), (201, "*.txt"), (202, "*.md"))
        ]
        (tree / "a" / "x.md").touch()
        with trio.fail_after(30):
            assert await signals.wait() == 202
        (tree / "a" / "x.py").touch()
        with trio.fail_after(30):
            assert await signals.wait() == 200
        signals.remove_source(source)
