"""How long event sources live, and who may end them: from which process ever they are added and removed."""

import ctypes
import dataclasses
import errno
import logging
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import trio
from witness import PATIENCE, Journal, eventually, pid_of, unhandled

import trisig
from trisig._cli.status_text import status_text
from trisig._linux import inotify, timerfd
from trisig._linux.inotify import Inotify


def running(master: trisig.Master) -> list[str]:
    """What the statistics call the sources that run."""
    return [told.source for told in master.statistics().sources]


async def replaced(master: trisig.Master, name: str) -> None:
    """Kill a child and wait until its successor is ready."""
    before = pid_of(master.processes, name)
    os.kill(before, signal.SIGKILL)

    def is_new() -> bool:
        told = master.statistics().processes[name]
        return told.state == "ready" and told.pid != before

    await eventually(is_new)


# Removed and added again


async def test_a_monitor_that_is_removed_and_added_at_once_goes_on(tmp_path: Path) -> None:
    """The end of its first run does not disarm its second one, and no watch is left in the end."""
    signals = trisig.Signals()
    watched = tmp_path / "file"
    watched.touch()
    source = signals.add_file_monitor(7, watched)
    async with trisig.open_master(signals) as master:
        for count in range(1, 6):
            signals.remove_source(source)
            signals.add_source(source)
            os.truncate(watched, count)
            assert await unhandled(signals) == 7
            assert master.statistics().accepted == count
        signals.remove_source(source)
        await eventually(lambda: not watches())
        os.truncate(watched, 0)
        assert running(master) == []


def watches() -> list[str]:
    """The inotify watches of this process, as the kernel lists them."""
    found: list[str] = []
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            found += [line for line in info.read_text().splitlines() if line.startswith("inotify")]
        except FileNotFoundError:
            continue
    return found


async def test_what_a_child_removed_the_master_adds_again(tmp_path: Path) -> None:
    """The master that runs judges what runs, whoever asks, and each process gets the same answer."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    source = signals.add_timer(9, 3600)

    def trying(verb: Callable[[], object]) -> None:
        try:
            verb()
            journal.note("done")
        except ValueError as error:
            journal.note(str(error))

    signals.register(1, "worker1", lambda signum: trying(lambda: signals.remove_source(source)))
    signals.register(2, "worker2", lambda signum: trying(lambda: signals.remove_source(source)))
    signals.register(3, "worker2", lambda signum: trying(lambda: signals.add_source(source)))
    answers = []
    async with trisig.open_master(signals, workers=2) as master:
        for step, (signum, left) in enumerate([(1, 0), (2, 0), (3, 1), (1, 0), (3, 1), (3, 1)], 1):
            await signals.send(signum)
            answers.append((await journal.until(step))[-1][1].partition(":")[0])
            assert len(running(master)) == left
        with pytest.raises(ValueError, match="timer of signal 9 every 3600 s has been added already"):
            signals.add_source(source)
        signals.remove_source(source)
        with pytest.raises(ValueError, match="not running"):
            signals.remove_source(source)
        signals.add_source(source)
        await signals.send(2)
        await journal.until(7)
        assert running(master) == []
    added = "timer of signal 9 every 3600 s has been added already"
    assert answers == ["done", "this source is not running", "done", "done", "done", added]


async def test_any_process_removes_what_another_one_added(tmp_path: Path) -> None:
    """What the master added while it ran goes with a late handler, what a child added with the object of before."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    watched = tmp_path / "file"
    watched.touch()
    shared = signals.add_timer(9, 3600)
    signals.remove_source(shared)
    signals.register(1, "worker1", lambda signum: journal.note(str(signals.add_source(shared))))
    signals.register(2, "worker2", lambda signum: signals.remove_source(shared))
    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
        await journal.until(1)
        assert running(master) == ["timer of signal 9 every 3600 s"]
        await signals.send(2)
        await eventually(lambda: not running(master))
        late = [
            signals.add_timer(9, 3600),
            signals.add_rb_timer(9, 3600),
            signals.add_cron(9, "0 0 1 1 *", timezone="Europe/Rome"),
            signals.add_cron(9, 0, 0, 1, 1, -1),
            signals.add_file_monitor(9, watched),
        ]

        def remove_late(_signum: int) -> None:
            for source in late:
                signals.remove_source(source)

        signals.register(3, "worker2", remove_late)
        assert len(running(master)) == 5
        await signals.send(3)
        await eventually(lambda: not running(master))


# What a child adds


async def test_what_a_child_adds_ends_with_it(tmp_path: Path) -> None:
    """A hook that adds sources does so in each process anew; nothing piles up, and nothing outlives its handler."""
    signals = trisig.Signals()
    watched = tmp_path / "file"
    watched.touch()
    signals.add_timer(200, 3600)

    @signals.on_start("workers")
    def start() -> None:
        signals.timer(3600)(print)
        signals.file_monitor(watched)(print)
        signals.add_cron(201, "@yearly")

    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(3):
            await replaced(master, "worker1")
            assert len(running(master)) == 1 + 2 * 3
        await master.cheap(2)
        assert len(running(master)) == 1 + 3
        await master.wake(2)
        assert len(running(master)) == 1 + 2 * 3
        own = [told.owner for told in master.statistics().signals.values() if told.owner]
        assert sorted(own) == ["worker1", "worker1", "worker2", "worker2"]


async def test_decorators_in_several_children_share_the_free_numbers() -> None:
    """Each gets a number of its own, however many processes ask for the next free one at a time."""
    signals = trisig.Signals()

    @signals.on_start("workers")
    def start() -> None:
        for _ in range(10):
            signals.timer(3600)(print)

    async with trisig.open_master(signals, workers=6) as master:
        assert sorted(master.statistics().signals) == list(range(60))
        assert len(running(master)) == 60


async def test_a_change_that_a_start_hook_makes_is_noticed(tmp_path: Path) -> None:
    """A monitor that a hook adds is armed when the call returns, and one that was declared before any hook runs."""
    signals = trisig.Signals()
    declared, added = tmp_path / "declared", tmp_path / "added"
    declared.touch()
    added.touch()
    signals.add_file_monitor(1, declared)

    @signals.on_start("worker1")
    def start() -> None:
        declared.write_text("changed")
        signals.add_file_monitor(2, added)
        added.write_text("changed")

    async with trisig.open_master(signals):
        assert sorted([await unhandled(signals), await unhandled(signals)]) == [1, 2]


async def test_timers_begin_when_all_children_are_ready(tmp_path: Path) -> None:
    """A child that takes its time to start costs no ticks and leaves none to catch up with."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.add_timer(1, 0.01)
    signals.add_rb_timer(1, 0.01)

    @signals.on_start("worker1")
    async def start() -> None:
        await trio.sleep(0.3)
        journal.note(time.monotonic())

    async with trisig.open_master(signals) as master:
        [(_, ready)] = journal.read()
        await eventually(lambda: all(told.fired for told in master.statistics().sources))
        sources = master.statistics().sources
        passed = (time.monotonic() - ready) / 0.01
        assert all(told.fired + told.missed <= passed for told in sources)


async def test_paths_that_come_or_go_before_the_master_opens(tmp_path: Path) -> None:
    """What has appeared or vanished since the monitor was declared is its first change; what stayed is none."""
    signals = trisig.Signals()
    appears, vanishes, stays, misses = (tmp_path / name for name in ("appears", "vanishes", "stays", "misses"))
    vanishes.touch()
    stays.touch()
    for signum, path in enumerate((appears, vanishes, stays, misses)):
        signals.add_file_monitor(signum, path, missing_ok=True)
    appears.touch()
    vanishes.unlink()
    async with trisig.open_master(signals) as master:
        assert sorted([await unhandled(signals), await unhandled(signals)]) == [0, 1]
        assert master.statistics().accepted == 2
    async with trisig.open_master(signals) as master:
        misses.touch()
        assert await unhandled(signals) == 3


# What a decorator made


async def test_unregister_removes_what_a_decorator_added(tmp_path: Path) -> None:
    """A decorator's entry and source go together, from any process; sources that were added apart stay."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    for signum in range(4):
        signals.timer(3600, signum=signum)(print)
    signals.add_rb_timer(1, 3600)
    signals.unregister(0)

    @signals.handler(100, target="worker1")
    def take_back(_signum: int) -> None:
        signals.unregister(1)
        journal.note("taken back")

    async with trisig.open_master(signals) as master:
        await signals.send(100)
        await journal.until(1)
        assert running(master) == [f"{kind} of signal {n} every 3600 s" for kind, n in kinds(1, 2, 3)]
        signals.unregister(2)
        assert running(master) == [f"{kind} of signal {n} every 3600 s" for kind, n in kinds(1, 3)]
        signals.timer(3600, signum=2)(print)
        assert len(running(master)) == 3
        signals.unregister(2)
        assert len(running(master)) == 2
    signals.unregister(3)
    async with trisig.open_master(signals) as master:
        assert running(master) == ["rb_timer of signal 1 every 3600 s"]


def kinds(*signums: int) -> list[tuple[str, int]]:
    """The sources that are left, in order: of signal 1 the decorator's has gone."""
    return [("rb_timer", n) if n == 1 else ("timer", n) for n in sorted(signums, key=lambda n: (n == 1, n))]


# When the kernel refuses


class Refusing:
    """The C library, of which one function refuses while `on` is set."""

    def __init__(self, function: str, code: int) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._function = function
        self._code = code
        self.on = True

    def __getattr__(self, function: str) -> object:
        return self._refuse if self.on and function == self._function else getattr(self._libc, function)

    def _refuse(self, *_args: object) -> int:
        ctypes.set_errno(self._code)
        return -1


@pytest.mark.parametrize(
    ("module", "function", "code", "said"),
    [
        (inotify, "inotify_init1", errno.EMFILE, "fs.inotify.max_user_instances"),
        (inotify, "inotify_add_watch", errno.ENOSPC, "fs.inotify.max_user_watches"),
        (timerfd, "timerfd_create", errno.EMFILE, "limit of open files"),
    ],
)
async def test_what_the_kernel_refuses_is_an_error_of_open_master_or_of_the_call(
    module: ModuleType, function: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One OSError that names the limit, where a master opens and where a source is added to a running one."""
    libc, signals = Refusing(function, code), trisig.Signals()
    libc.on = False
    monkeypatch.setattr(module, "libc", libc)

    def add() -> None:
        if module is inotify:
            signals.add_file_monitor(1, tmp_path)
        else:
            signals.add_timer(1, 3600)

    async with trisig.open_master(signals) as master:
        libc.on = True
        with pytest.raises(OSError, match=said):
            add()
        assert running(master) == []
        libc.on = False
        add()
        assert len(running(master)) == 1
    add()
    libc.on = True
    with pytest.raises(OSError, match=said) as caught, trio.fail_after(PATIENCE):
        async with trisig.open_master(signals):
            raise AssertionError("it must not open")
    assert caught.value.errno == code


@pytest.mark.parametrize(("code", "error"), [(errno.EPERM, "PermissionError"), (errno.ENOSPC, "OSError")])
async def test_what_the_kernel_refuses_to_a_child_is_an_error_there(
    code: int, error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The call in the child raises what the master met, as the same type, and nothing is left of it."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def refuse(_self: Inotify, path: str, _mask: int) -> int:
        raise OSError(code, "refused", path)

    @signals.handler(1, target="worker1")
    def add(_signum: int) -> None:
        try:
            signals.file_monitor(tmp_path)(print)
        except OSError as refused:
            journal.note(type(refused).__name__, str(refused), signals.is_registered(0))

    monkeypatch.setattr(Inotify, "add", refuse)
    async with trisig.open_master(signals) as master:
        await signals.send(1)
        assert await journal.until(1) == [("worker1", error, f"[Errno {code}] refused: '/'", False)]
        assert running(master) == []


async def test_a_watch_that_is_refused_later_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No change is lost and iterations count on: the monitor says one line, tries again, and raises once."""
    signals = trisig.Signals()
    watched, real = tmp_path / "file", Inotify.add
    watched.touch()
    refusals = 0

    def add(self: Inotify, path: str, mask: int) -> int:
        nonlocal refusals
        if refusals and path == str(watched):
            refusals -= 1
            raise OSError(errno.ENOSPC, "no inotify watch is left: raise fs.inotify.max_user_watches", path)
        return real(self, path, mask)

    def replace() -> None:
        new = tmp_path / "new"
        new.touch()
        new.rename(watched)

    monkeypatch.setattr(Inotify, "add", add)
    signals.add_file_monitor(1, watched, iterations=3)
    async with trisig.open_master(signals) as master:
        replace()
        await unhandled(signals)
        refusals = 2
        replace()
        await unhandled(signals)
        [told] = master.statistics().sources
        assert (told.restarts, told.error is not None and "max_user_watches" in told.error) == (2, True)
        await eventually(lambda: master.statistics().sources[0].fired == 2)
        replace()
        await unhandled(signals)
        await eventually(lambda: not running(master))
        assert master.statistics().accepted == 3
    lines = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.exc_info for record in lines] == [None, None]
    assert [record.getMessage().partition(":")[0] for record in lines] == [
        f"file monitor of signal 1 on {watched} failed, next try in {pause} s" for pause in (0.1, 0.2)
    ]


# When it ends


async def test_no_source_is_added_while_the_master_shuts_down(tmp_path: Path) -> None:
    """A handler that runs in the drain is told so, by each verb alike; it may remove sources, and leaves nothing."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    source, closing = signals.add_timer(9, 3600), tmp_path / "closing"

    @signals.handler(1, target="worker1")
    async def slow(_signum: int) -> None:
        await eventually(closing.exists)
        for add in (
            lambda: signals.add_timer(9, 3600),
            lambda: signals.add_rb_timer(9, 3600),
            lambda: signals.add_cron(9, "@daily"),
            lambda: signals.add_file_monitor(9, tmp_path),
            lambda: signals.timer(3600, signum=10)(print),
        ):
            try:
                add()
            except trio.ClosedResourceError as error:
                journal.note(str(error))
        signals.remove_source(source)
        journal.note(str(signals.is_registered(10)))

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        closing.touch()
    notes = [note for _, note in journal.read()]
    assert notes == ["the master is shutting down and takes no more sources"] * 5 + ["False"]
    assert running(master) == []


# What it is called


async def test_status_names_each_source_on_one_line(tmp_path: Path) -> None:
    """What a source is and its signal; names of files that are no text, or have line ends, are shown escaped."""
    signals = trisig.Signals()
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9\nnoir"))
    odd.touch()  # noqa: ASYNC240  local, and before anything runs
    signals.add_timer(26, 3600)
    signals.add_rb_timer(1, 3600.25)
    signals.add_timer(2, 1234567)
    signals.add_cron(3, "40 2\n* * *", timezone="Europe/Rome")
    signals.add_cron(4, 40, 2, -1, -1, -1)
    signals.add_file_monitor(5, odd)
    async with trisig.open_master(signals) as master:
        text = status_text(dataclasses.asdict(master.statistics()))
    lines = [re.split(r"  +", line) for line in text.encode().decode().splitlines()]
    # When a timer is due next is known once it has begun.
    assert [(name, state, *rest[-2:]) for name, state, *rest in lines[-6:]] == [
        ("timer of signal 26 every 3600 s", "waiting", "0", "0"),
        ("rb_timer of signal 1 every 3600.25 s", "waiting", "0", "0"),
        ("timer of signal 2 every 1234567 s", "waiting", "0", "0"),
        ("cron of signal 3 at 40 2 * * * Europe/Rome", "waiting", "0", "0"),
        ("cron of signal 4 at 40 2 -1 -1 -1", "waiting", "0", "0"),
        (rf"file monitor of signal 5 on {tmp_path}/caf\xe9\nnoir", "waiting", "0", "0"),
    ]
