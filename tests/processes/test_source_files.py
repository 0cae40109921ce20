"""File monitors on real files and the real inotify."""

# The files are local and small, and what they are about is the moment at which they change.
# ruff: noqa: ASYNC240

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from monitored import FILE, OTHER, Monitored, append, watches
from source_tools import Recorder, Start, run_on

from trisig._linux import inotify
from trisig._linux.inotify import Event, Inotify, parse
from trisig._sources import Engines, SourceRun
from trisig._sources.files import FileSource
from trisig._sources.path_walk import PathWalk


@pytest.fixture
def monitored(start: Start, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Monitored:
    """Adds monitors and counts their signals."""
    return Monitored(start, recorder, tmp_path_factory.mktemp("sentinel"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a directory of its own."""
    path = tmp_path / "file"
    path.write_text("1")
    return path


def replace(path: Path, text: str) -> None:
    """As editors and deployments do: a new file takes the name."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


async def test_content_attributes_and_silence(monitored: Monitored, file: Path) -> None:
    """Writing and changing attributes raise; reading and a neighbour do not."""
    await monitored.add(file)
    append(file)
    assert await monitored.count() == 1
    file.chmod(0o600)
    assert await monitored.count() == 1
    file.read_text()
    (file.parent / "neighbour").write_text("x")
    assert await monitored.count() == 0


async def test_atomic_replacement_twice_then_append(monitored: Monitored, file: Path) -> None:
    """The monitor follows the name, not the inode that had it first."""
    await monitored.add(file)
    for text in "23":
        replace(file, text)
        assert await monitored.count() == 1
    append(file)
    assert await monitored.count() == 1


async def test_removed_and_recreated(monitored: Monitored, file: Path) -> None:
    """Removal raises, and so do the return and what follows."""
    await monitored.add(file)
    file.unlink()
    assert await monitored.count() == 1
    file.write_text("2")
    assert await monitored.count() >= 1
    append(file)
    assert await monitored.count() == 1


async def test_an_unlinked_file_that_is_still_open(monitored: Monitored, file: Path) -> None:
    """What goes on in a file without a name is no change of the path."""
    await monitored.add(file)
    with file.open("a") as stream:
        file.unlink()
        assert await monitored.count() == 1
        stream.write("x")
        stream.flush()
        assert await monitored.count() == 0


async def test_moved_away_and_back(monitored: Monitored, file: Path) -> None:
    """While away the file may change unseen."""
    await monitored.add(file)
    away = file.with_name("away")
    file.rename(away)
    assert await monitored.count() == 1
    append(away)
    assert await monitored.count() == 0
    away.rename(file)
    assert await monitored.count() == 1
    append(file)
    assert await monitored.count() == 1


async def test_directory_entries_not_their_descendants(monitored: Monitored, tmp_path: Path) -> None:
    """A directory raises for what is created, changed, moved and deleted directly in it."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    await monitored.add(folder)
    (folder / "entry").touch()
    assert await monitored.count() >= 1
    append(folder / "entry")
    assert await monitored.count() == 1
    (folder / "entry").rename(folder / "entry2")
    assert await monitored.count() == 1
    (folder / "entry2").unlink()
    assert await monitored.count() == 1
    (folder / "sub" / "deeper").touch()
    assert await monitored.count() == 0


async def test_directory_that_goes_and_returns(monitored: Monitored, tmp_path: Path) -> None:
    """A monitored directory is followed like a file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    await monitored.add(folder)
    folder.rename(tmp_path / "away")
    assert await monitored.count() == 1
    folder.mkdir()
    assert await monitored.count() == 1
    (folder / "entry").mkdir()
    assert await monitored.count() == 1
    (tmp_path / "away" / "entry").mkdir()
    assert await monitored.count() == 0
    shutil.rmtree(folder)
    assert await monitored.count() >= 1


async def test_a_parent_directory_that_goes_and_returns(monitored: Monitored, tmp_path: Path) -> None:
    """Also a directory further up, renamed or removed, takes the file away and brings it back."""
    file = tmp_path / "a" / "b" / "file"
    file.parent.mkdir(parents=True)
    file.touch()
    await monitored.add(file)
    (tmp_path / "a").rename(tmp_path / "away")
    assert await monitored.count() == 1
    (tmp_path / "away").rename(tmp_path / "a")
    assert await monitored.count() == 1
    append(file)
    assert await monitored.count() == 1
    shutil.rmtree(tmp_path / "a")
    assert await monitored.count() >= 1
    file.parent.mkdir(parents=True)
    assert await monitored.count() == 0
    file.touch()
    assert await monitored.count() >= 1
    append(file)
    assert await monitored.count() == 1


async def test_links(monitored: Monitored, tmp_path: Path) -> None:
    """A link pointed elsewhere raises, and what it points to now is what is monitored."""
    one, two, link = tmp_path / "one", tmp_path / "two", tmp_path / "link"
    one.touch()
    two.touch()
    link.symlink_to("one")
    await monitored.add(link)
    append(one)
    assert await monitored.count() == 1
    new = tmp_path / "link.new"
    new.symlink_to(two)
    new.replace(link)
    assert await monitored.count() == 1
    append(one)
    assert await monitored.count() == 0
    append(two)
    assert await monitored.count() == 1
    replace(two, "new")
    assert await monitored.count() == 1


async def test_a_link_in_the_way(monitored: Monitored, tmp_path: Path) -> None:
    """Deployments switch a directory by its link (`current` to a release); files below it have changed then."""
    for release in ("r1", "r2"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "file").touch()
    current = tmp_path / "current"
    current.symlink_to("r1")
    await monitored.add(current / ".." / "current" / "file")
    current.unlink()
    current.symlink_to("r2")
    assert await monitored.count() >= 1
    append(tmp_path / "r1" / "file")
    assert await monitored.count() == 0
    append(tmp_path / "r2" / "file")
    assert await monitored.count() == 1


async def test_a_loop_of_links_is_a_missing_path(monitored: Monitored, tmp_path: Path) -> None:
    """It ends, and the monitor waits for a link that leads somewhere."""
    loop = tmp_path / "loop"
    loop.symlink_to("loop2")
    await monitored.add(loop, missing_ok=True)
    (tmp_path / "loop2").symlink_to("loop")
    await monitored.count()
    (tmp_path / "loop2").unlink()
    (tmp_path / "loop2").touch()
    assert await monitored.count() >= 1


async def test_missing_chain_is_waited_for(monitored: Monitored, tmp_path: Path) -> None:
    """Directories that appear on the way are no change; the file is."""
    file = tmp_path / "a" / "b" / "file"
    await monitored.add(file, missing_ok=True)
    (tmp_path / "a").mkdir()
    assert await monitored.count() == 0
    (tmp_path / "a" / "b").mkdir()
    assert await monitored.count() == 0
    file.touch()
    assert await monitored.count() >= 1
    append(file)
    assert await monitored.count() == 1


async def test_missing_chain_that_appears_at_once(monitored: Monitored, tmp_path: Path) -> None:
    """Directories and file made faster than they can be watched are found by looking."""
    file = tmp_path / "a" / "b" / "c" / "file"
    await monitored.add(file, missing_ok=True)
    file.parent.mkdir(parents=True)
    file.touch()
    assert await monitored.count() >= 1
    append(file)
    assert await monitored.count() == 1


async def test_gone_between_declaration_and_start(
    monitored: Monitored, start: Start, file: Path, recorder: Recorder
) -> None:
    """A path that was there when the source was made, and is not any more, has changed."""
    source = FileSource(FILE, file)
    file.unlink()
    await start(source)
    with trio.fail_after(5):
        await recorder.wait(1, FILE)
    file.touch()
    assert await monitored.count() >= 1


async def test_come_between_declaration_and_start(
    monitored: Monitored, start: Start, file: Path, recorder: Recorder
) -> None:
    """A path that is waited for and has come meanwhile has changed; a monitor that runs again knows that it has."""
    file.unlink()
    source = FileSource(FILE, file, missing_ok=True, iterations=1)
    file.touch()
    await start(source)
    with trio.fail_after(5):
        await recorder.wait(1, FILE)
    await trio.testing.wait_all_tasks_blocked()
    recorder.raised.clear()
    await start(source)
    assert await monitored.count() == 0
    append(file)
    assert await monitored.count() == 1


async def test_a_watch_that_is_refused_on_the_way(
    engines: Engines, recorder: Recorder, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that failed goes on with what has happened meanwhile: one signal, and the iterations that are left."""
    refuse, real = True, Inotify.add

    def add(instance: Inotify, path: str, mask: int) -> int:
        if refuse and path == str(file):
            raise OSError(errno.ENOSPC, "no watch")
        return real(instance, path, mask)

    with SourceRun(FileSource(FILE, file, iterations=2), engines) as course, trio.fail_after(5):
        monkeypatch.setattr(Inotify, "add", add)
        replace(file, "2")
        for _ in range(2):
            with pytest.raises(OSError, match="no watch"):
                await course.resume(recorder.send)
        replace(file, "3")
        refuse = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(course.resume, recorder.send)
            await recorder.wait(1)
            await trio.testing.wait_all_tasks_blocked()
            assert recorder.raised == [FILE]
            append(file)
    assert (recorder.raised, course.fired) == ([FILE, FILE], 2)
    assert not watches()


async def test_directory_and_file_in_it_both_raise(monitored: Monitored, file: Path) -> None:
    """Two paths never share a signal."""
    await monitored.add(file.parent)
    await monitored.add(file, OTHER)
    append(file)
    assert (await monitored.count(), await monitored.count(OTHER)) == (1, 1)
    replace(file, "new")
    assert await monitored.count() >= 1
    assert await monitored.count(OTHER) == 1
    (file.parent / "another").mkdir()
    assert (await monitored.count(), await monitored.count(OTHER)) == (1, 0)


async def test_two_monitors_of_one_path(engines: Engines, recorder: Recorder, monitored: Monitored, file: Path) -> None:
    """Both raise; when one leaves the other stays, although the kernel has one watch for both."""
    await monitored.add(file)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_on, engines, FileSource(OTHER, file), recorder.send)
        append(file)
        assert (await monitored.count(), await monitored.count(OTHER)) == (1, 1)
        nursery.cancel_scope.cancel()
    append(file)
    assert (await monitored.count(), await monitored.count(OTHER)) == (1, 0)


async def test_two_names_of_one_inode(monitored: Monitored, file: Path) -> None:
    """Hard links share a watch; replacing one name leaves the other monitored."""
    twin = file.with_name("twin")
    os.link(file, twin)
    await monitored.add(file)
    await monitored.add(twin, OTHER)
    append(file)
    assert (await monitored.count(), await monitored.count(OTHER)) == (1, 1)
    replace(file, "new")
    await monitored.count()
    await monitored.count(OTHER)
    append(twin)
    assert (await monitored.count(), await monitored.count(OTHER)) == (0, 1)


async def test_three_files_written_before_one_read(monitored: Monitored, tmp_path: Path) -> None:
    """Records of different lengths in one read all reach their monitor."""
    names = ["a", "b" * 40, "c" * 200]
    for signum, name in enumerate(names):
        (tmp_path / name).touch()
        await monitored.add(tmp_path / name, signum)
    for name in names:
        append(tmp_path / name)
    assert [await monitored.count(signum) for signum in range(3)] == [1, 1, 1]


async def test_hundreds_of_files_in_one_directory(monitored: Monitored, tmp_path: Path, recorder: Recorder) -> None:
    """Each raises its own signal."""
    files = [tmp_path / f"file{n}" for n in range(300)]
    sources = []
    for n, path in enumerate(files):
        path.touch()
        sources.append(await monitored.add(path, n % 250))
    for path in files:
        replace(path, "new")
    with trio.fail_after(10):
        await recorder.wait(300)
    await monitored.count()
    for path in files:
        append(path)
    await monitored.count()
    assert {source.fired for source in sources} == {2}


async def test_iterations_end_the_run_and_the_watches(engines: Engines, recorder: Recorder, file: Path) -> None:
    """After the last signal `run` returns, and the kernel holds no watch any more."""
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_on, engines, FileSource(FILE, file, iterations=2), recorder.send)
            assert watches()
            append(file)
            await recorder.wait(1)
            append(file)
    assert recorder.raised == [FILE, FILE]
    assert not watches()


async def test_replacing_a_thousand_times_leaks_no_watch(monitored: Monitored, file: Path) -> None:
    """Watches of what is gone are given back."""
    await monitored.add(file)
    await monitored.count()
    before = len(watches())
    for n in range(1000):
        replace(file, str(n))
        if n % 100 == 0:
            await monitored.count()
    await monitored.count()
    assert len(watches()) == before


async def test_changes_while_the_queue_is_full(engines: Engines, recorder: Recorder, file: Path) -> None:
    """A file replaced and changed while `send` waits raises once more, afterwards, and is still followed."""
    recorder.delays = [0.2]
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(run_on, engines, FileSource(FILE, file), recorder.send)
            append(file)
            await recorder.wait(1)
            replace(file, "new")
            await trio.sleep(0.05)
            append(file)
            await recorder.wait(2)
            append(file)
            await recorder.wait(3)
            nursery.cancel_scope.cancel()


async def test_overflow_raises_every_monitor(monitored: Monitored, tmp_path: Path, recorder: Recorder) -> None:
    """When the kernel has dropped events anything may have changed, so everything is said to have."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    quiet, noisy = tmp_path / "quiet", tmp_path / "noisy"
    quiet.touch()
    noisy.mkdir()
    entries = [noisy / "0", noisy / "1"]
    for entry in entries:
        entry.touch()
    await monitored.add(quiet)
    await monitored.add(noisy, OTHER)
    for _ in range(limit // 2 + 10):
        for entry in entries:  # in turn, since equal events in a row are merged
            entry.chmod(0o600)
    with trio.fail_after(10):
        await recorder.wait(1, FILE)
    assert await monitored.count() == 1
    append(quiet)
    assert await monitored.count() == 1


async def test_unmounted(monitored: Monitored, tmp_path: Path) -> None:
    """A file system that goes away takes the path with it; the mount point is monitored on."""
    libc = ctypes.CDLL(None, use_errno=True)
    mount = tmp_path / "mount"
    mount.mkdir()
    if libc.mount(b"none", os.fsencode(mount), b"tmpfs", 0, None):
        pytest.skip("needs the right to mount")
    try:
        (mount / "file").touch()
        await monitored.add(mount / "file")
    finally:
        libc.umount2(os.fsencode(mount), 2)
    assert await monitored.count() >= 1
    (mount / "file").touch()
    assert await monitored.count() >= 1


async def test_names_that_are_not_text(monitored: Monitored, tmp_path: Path) -> None:
    """File names are bytes; any of them can be monitored."""
    path = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9\xff"))
    path.touch()
    await monitored.add(path)
    append(path)
    assert await monitored.count() == 1


@pytest.mark.parametrize(
    ("call", "code", "name"),
    [
        ("inotify_init1", errno.EMFILE, "fs.inotify.max_user_instances"),
        ("inotify_add_watch", errno.ENOSPC, "fs.inotify.max_user_watches"),
    ],
)
async def test_limits_name_their_setting(
    call: str, code: int, name: str, monkeypatch: pytest.MonkeyPatch, engines: Engines, recorder: Recorder, file: Path
) -> None:
    """The kernel's errors for these limits say nothing of use; ours say what to raise. Nothing is left behind."""
    libc = ctypes.CDLL(None, use_errno=True)

    class Refusing:
        def __init__(self) -> None:
            self._libc = libc
            self._left = 3

        def __getattr__(self, function: str) -> object:
            if function != call:
                return getattr(self._libc, function)
            self._left -= 1
            return getattr(self._libc, function) if call == "inotify_add_watch" and self._left else self._refuse

        def _refuse(self, *_args: object) -> int:
            ctypes.set_errno(code)
            return -1

    monkeypatch.setattr(inotify, "libc", Refusing())
    with pytest.raises(OSError, match=name) as caught:
        await run_on(engines, FileSource(FILE, file), recorder.send)
    assert caught.value.errno == code
    assert not watches()


def test_descriptors(tmp_path: Path) -> None:
    """Inotify itself: the same inode is the same descriptor, and removing twice, or after the end, is no error."""
    instance = Inotify()
    first = instance.add(str(tmp_path), inotify.IN_CREATE)
    assert instance.add(f"{tmp_path}/.", inotify.IN_DELETE) == first
    (tmp_path / "entry").mkdir()
    (tmp_path / "entry").rmdir()
    masks = [event.mask & 0xFFFF for event in instance.read()]
    assert masks == [inotify.IN_CREATE, inotify.IN_DELETE]
    instance.remove(first)
    instance.remove(first)
    with pytest.raises(FileNotFoundError):
        instance.add(str(tmp_path / "none"), inotify.IN_CREATE)
    instance.close()
    instance.remove(first)


@given(st.lists(st.tuples(st.integers(1, 2**31 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=300))))
def test_records_of_any_length(records: list[tuple[int, int, bytes]]) -> None:
    """What was packed is what is parsed, whatever the padding."""
    packed, expected = b"", []
    for wd, mask, raw in records:
        name = raw.replace(b"\0", b"").replace(b"/", b"")
        padded = name + b"\0" * (-len(name) % 16 or 16) if name else b""
        packed += inotify._HEADER.pack(wd, mask, 7, len(padded)) + padded
        expected.append(Event(wd, mask, os.fsdecode(name)))
    assert list(parse(packed)) == expected


def test_trail(tmp_path: Path) -> None:
    """The way names every entry the kernel looks up, and where it ends."""
    base = Path(os.path.realpath(tmp_path))
    (base / "real" / "deep").mkdir(parents=True)
    (base / "real" / "file").touch()
    (base / "link").symlink_to("real/deep")
    trail = PathWalk(f"{base}//./link/../file")
    steps = [(step.directory, step.name, step.last) for step in trail][len(base.parts) - 1 :]
    assert trail.target == str(base / "real" / "file")
    assert steps == [
        (str(base), "link", False),
        (str(base), "real", False),
        (str(base / "real"), "deep", False),
        (str(base / "real"), "file", True),
    ]
    for path in ("none/file", "real/file/below"):
        trail = PathWalk(str(base / path))
        list(trail)
        assert trail.target is None
    trail = PathWalk("/")
    assert (list(trail), trail.target) == ([], "/")


async def test_a_change_after_an_early_report_is_reported_too(engines: Engines, file: Path) -> None:
    """A signal that was raised before the monitor's own task ran stands for nothing that happened after it."""
    watcher, wakes = engines.watcher, list[Callable[[], object]]()

    def take(wake: Callable[[], object]) -> bool:
        wakes.append(wake)
        return True

    with watcher.monitor(str(file)) as monitor, trio.fail_after(5):
        monitor.on_notice(take)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(monitor.next)
            await trio.testing.wait_all_tasks_blocked()
            append(file)
            watcher.read()
            append(file)
            watcher.read()
        await monitor.next()
    assert len(wakes) == 1
