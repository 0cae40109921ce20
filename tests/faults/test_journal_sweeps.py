"""Every moment in the life of a journal, between two bytecodes: what a SIGKILL there would leave, and who comes then.

What a killed process has stored in a mapped file stays there. So the file at a moment is what the next master would
find after a kill at that moment, and can be looked at while its writer goes on. The kernel's part, locks that end
with their processes, is left to the storm that kills masters.
"""

import mmap
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
import trio
from bytecode import codes_of
from journal_tools import files, journal_at, left_in, no_file_longer_than
from steps import at_every_step
from stride import FIRST, STEP

from trisig._ipc.shared_memory import shared_bytes, slot_parts
from trisig._journal import lock as lock_module
from trisig._journal import open as open_module
from trisig._journal.block import Block
from trisig._journal.blocks import Blocks
from trisig._journal.in_flight import InFlightLog
from trisig._journal.journal import Journal
from trisig._journal.layout import BLOCK
from trisig._journal.lock import JournalLock
from trisig._journal.open import open_journal
from trisig._journal.outbox import Outbox
from trisig._journal.parcels import Crate, Parcels
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import Pending, recover
from trisig._model.lane import ASIDE, DONE, FINISHED, RETURNED, STARTED, WINDOW, Lane, finished_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.waiters import Waiters

pytestmark = pytest.mark.sweep

NAMES = ("worker1", "worker2", "worker", "wait", "dead")
WRITERS = (JournalRecorder, Journal, Blocks, Block, Crate, Parcels, InFlightLog, Outbox)
OPENERS = (
    JournalLock,
    open_journal,
    open_module._real,
    open_module._claim,
    open_module._take_over,
    open_module._lock,
    open_module._is_left_behind,
    lock_module.try_lock,
    lock_module.is_published,
)


# Opening


async def take_over(path: Path) -> Journal:
    """What a master does with a journal until it is in its place."""
    journal, pending = await open_journal(path, NAMES, 1, shared_bytes(1))
    try:
        for name, waiting in pending.queues.items():
            journal.append(name, 0, waiting)
        journal.publish()
    except BaseException:
        journal.close()
        raise
    return journal


def try_to_open(path: Path) -> Journal | None:
    """A master's journal, or none if another master has it."""
    try:
        return trio.run(take_over, path)
    except trio.BusyResourceError:
        return None


def in_a_thread(function: Callable[[], object]) -> None:
    """Run to its end in another thread, as if in another process."""
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def leave_behind(path: Path, signals: bytes) -> None:
    """A journal of a master that has ended, with something pending."""
    journal = journal_at(path, [*NAMES])
    journal.append("wait", 0, signals)
    journal.publish()
    journal.close()


class Rival:
    """Another master, which opens the same journal at one moment of the first one's opening.

    Args:
        stays: whether it goes on from there, or ends at once and leaves one more signal pending.
    """

    def __init__(self, path: Path, moment: int, *, stays: bool) -> None:
        self.journal: Journal | None = None
        self.came = self.left_one = False
        self._path = path
        self._left = moment
        self._stays = stays

    def step(self) -> None:
        self._left -= 1
        if not self._left:
            self.came = True
            in_a_thread(self._open)

    def _open(self) -> None:
        self.journal = try_to_open(self._path)
        if self.journal is not None and not self._stays:
            self.journal.append("worker", 0, b"y")
            self.journal.close()
            self.left_one, self.journal = True, None


def meet(tmp_path: Path, before: bytes | None, *, stays: bool) -> Generator[tuple[bool, bool, Pending, Pending]]:
    """Whether the first and the rival have opened, what is pending then and what should be; for every moment."""
    codes = codes_of(*OPENERS, Journal.publish)
    for moment in count(FIRST, STEP):
        directory = tmp_path / str(moment)
        directory.mkdir()
        path = directory / "journal"
        if before is not None:
            leave_behind(path, before)
        rival = Rival(path, moment, stays=stays)
        with at_every_step(codes, rival.step):
            first = try_to_open(path)
        wanted = Pending({"worker": b"y"} if rival.left_one else {})
        if before is not None:
            wanted.queues["wait"] = before
        try:
            yield first is not None, rival.journal is not None, left_in(path), wanted
        finally:
            for journal in (first, rival.journal):
                if journal is not None:
                    journal.close()
        assert files(directory) == {"journal"}
        shutil.rmtree(directory)
        if not rival.came:
            assert moment > 100
            return


@pytest.mark.parametrize("before", [None, b"x"], ids=["the first", "the next"])
def test_of_two_masters_one_opens_the_journal(tmp_path: Path, before: bytes | None) -> None:
    """Whenever a second master opens the same journal, one of the two has it in the end, and what was pending."""
    for first, rival, pending, wanted in meet(tmp_path, before, stays=True):
        assert first != rival
        assert pending == wanted


@pytest.mark.parametrize("before", [None, b"x"], ids=["the first", "the next"])
def test_of_two_masters_in_turn_both_open_the_journal(tmp_path: Path, before: bytes | None) -> None:
    """A master that comes and goes while another one opens is in nobody's way, and what it leaves is not lost."""
    came_and_went = 0
    for first, rival, pending, wanted in meet(tmp_path, before, stays=False):
        assert first
        assert not rival
        assert pending == wanted
        came_and_went += "worker" in wanted.queues
    assert came_and_went * STEP > 5


def test_the_meetings_see_two_masters_at_once(tmp_path: Path) -> None:
    """The negative control: without the lock there are moments at which both open."""
    with patch.object(lock_module, "try_lock", lambda _fd: True), closing(meet(tmp_path, None, stays=True)) as meetings:
        assert any(first and rival for first, rival, _, _ in meetings)


@pytest.mark.parametrize("before", [None, b"x" * 1000], ids=["the first", "the next"])
def test_a_master_may_be_killed_at_any_step_of_its_opening_and_closing(tmp_path: Path, before: bytes | None) -> None:
    """What was pending is in the journal at each moment, and the next master opens whatever there is beside it."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    if before is not None:
        leave_behind(home / "journal", before)
    wanted = Pending() if before is None else Pending({"wait": before})
    steps = count(1)
    seen: set[frozenset[str]] = set()

    def look() -> None:
        if before is not None or "journal" in files(home):
            assert left_in(home / "journal") == wanted
        names = frozenset(files(home))
        if next(steps) % 50 == 1 or names not in seen:
            seen.add(names)
            in_a_thread(lambda: go_on_elsewhere(home, elsewhere, wanted))

    with at_every_step(codes_of(*OPENERS, *WRITERS), look):
        journal = try_to_open(home / "journal")
        assert journal is not None
        journal.close()
    assert next(steps) > 500
    assert {"journal"} in seen
    assert {"journal", "journal.trisig-lock"} in seen  # in its place, and it keeps the lock
    assert any("journal.trisig-new" in names for names in seen)


def go_on_elsewhere(home: Path, elsewhere: Path, wanted: Pending) -> None:
    """Open a copy of all that is there: a copy has no locks, as after a death."""
    copy_links(home, elsewhere)
    journal = try_to_open(elsewhere / "journal")
    assert journal is not None
    assert left_in(elsewhere / "journal") == wanted
    assert files(elsewhere) == {"journal", "journal.trisig-lock"}
    journal.close()
    assert files(elsewhere) == {"journal"}
    shutil.rmtree(elsewhere)


def copy_links(home: Path, elsewhere: Path) -> None:
    """Copy a directory; two names of one file are two names of one file there."""
    elsewhere.mkdir()
    copies: dict[int, Path] = {}
    for name in files(home):
        inode, copy = (home / name).stat().st_ino, elsewhere / name
        if inode in copies:
            copy.hardlink_to(copies[inode])
        else:
            shutil.copy(home / name, copy)
            copies[inode] = copy


# Running


def destinations(signum: int) -> tuple[str, ...]:
    """Where a signal of the scenario goes: to one process, to the pool, to both, or to whoever waits."""
    for below, names in ((60, ("worker1",)), (120, ("worker",)), (180, ("worker1", "worker2"))):
        if signum < below:
            return names
    return ("wait",)


class Scenario:
    """A master, a process that raises and one that handles and waits, all in one; each signal is raised once.

    Args:
        early: take a batch for accepted before it is in the queues, as the control does.
    """

    def __init__(self, path: Path, *, early: bool = False) -> None:
        self.journal = journal_at(path, [*NAMES], 2)
        self.journal.publish()
        with path.open("rb") as file:
            self._file = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        self._early = early
        self._ledger = Ledger(3, JournalRecorder(self.journal, ["worker1", "worker2"]))
        self._queues = {name: Queue(name, shared=name == "worker") for name in NAMES}
        self._desk = Waiters(self._ledger, self._granted)
        self._queues["wait"] = self._desk.queue
        self._grants: dict[int, int] = {}
        self._refused: dict[int, str] = {}  # signals that have no handler where they were sent, and their queues
        self._memory = slot_parts(self.journal.shared, 0)
        self._outbox = self.journal.outboxes[1]
        self._raised = b""
        self._owed: Counter[tuple[str, int]] = Counter()  # raised, and not handled to the end
        self._ended: set[tuple[str, int]] = set()
        self._places: list[tuple[str, int]] = []  # by number
        self.lost = self.again = self.looks = 0
        self.start()

    def look(self) -> None:
        """Compare what a master that is killed now would leave with what it should."""
        pending = recover(self._file)
        found = Counter(self._place(name, signum) for name, queue in pending.queues.items() for signum in queue)
        found.update((name, signum) for raised in pending.raised for signum in raised for name in destinations(signum))
        self.looks += 1
        self.lost += bool(self._owed - found)
        self.again += any(times > 1 or place in self._ended for place, times in found.items())

    def _place(self, name: str, signum: int) -> tuple[str, int]:
        """What was refused is owed as it was raised, wherever it is now."""
        return (self._refused.get(signum, name) if name == "wait" else name), signum

    # The process that raises

    def raise_(self, *signums: int) -> None:
        for signum in signums:
            assert self._outbox.put(signum)
            self._raised += bytes((signum,))
            self._owed.update((name, signum) for name in destinations(signum))

    # The master

    def start(self) -> None:
        """A process fills the slot."""
        self.journal.restart(0)
        self._memory.clear()
        self._places.clear()
        self._lane = Lane(self._ledger, "worker1", self._memory.marks, self._memory.finished)
        self._listed = 0

    def accept(self) -> None:
        batch, self._raised = self._raised, b""
        self.journal.begin(1)
        if self._early:
            self.journal.commit(1, len(batch))
        for signum in batch:
            for name in destinations(signum):
                self._ledger.accept(self._queues[name], bytes((signum,)))
        if not self._early:
            self.journal.commit(1, len(batch))

    def send(self, name: str, most: int) -> None:
        data = self._lane.send(self._queues[name], most)
        self._places += [(name, signum) for signum in data]

    def take_back(self, few: int) -> None:
        self._lane.unsend(few)
        del self._places[-few:]

    def settle(self) -> None:
        self._lane.read_marks()
        self._keep_returned()

    def bury(self) -> None:
        self._lane.died()
        self._keep_returned()
        self._desk.left("worker1")
        self.start()

    def _keep_returned(self) -> None:
        for queue, position, signum in self._lane.returned:
            self._ledger.move(queue, position, signum, self._desk.queue)
        self._lane.returned.clear()
        self._desk.match()

    def _granted(self, _process: str, key: int, signum: int) -> None:
        self._grants[key] = signum

    # The process that handles

    def mark(self, number: int, state: int) -> None:
        if state == RETURNED:
            name, signum = self._places[number]
            self._refused[signum] = name
        self._memory.marks[number % WINDOW] = state
        if state == DONE:
            self._end(number)

    def end_aside(self, number: int) -> None:
        self._memory.finished[self._listed % FINISHED] = finished_entry(number, DONE)
        self._listed += 1
        self._memory.finished[FINISHED] = self._listed
        self._end(number)

    def wait(self, key: int, wanted: int | None = None) -> None:
        self._desk.ask("worker1", key, wanted)

    def take(self, key: int) -> None:
        """The wait returns; until the master has read that, it may return again, but not once more than that."""
        place = self._place("wait", self._grants.pop(key))
        del self._owed[place]
        self._desk.end("worker1", key, took=True)
        self._ended.add(place)

    def cancel(self, key: int) -> None:
        self._desk.end("worker1", key, took=False)

    def _end(self, number: int) -> None:
        self._ended.add(self._places[number])
        del self._owed[self._places[number]]


def play(case: Scenario) -> None:
    """Raise, accept, send, take back, handle, set aside, refuse, wait, die and begin again."""
    case.raise_(1, 2, 61, 62, 121)
    case.accept()
    case.raise_(3, 122)
    case.send("worker1", 2)
    case.send("worker", 2)
    case.mark(0, STARTED)
    case.accept()
    case.mark(0, DONE)
    case.mark(1, ASIDE)
    case.settle()
    case.take_back(2)
    case.send("worker1", 3)  # with the numbers of what was taken back
    case.mark(2, STARTED)
    case.mark(2, DONE)
    case.mark(3, ASIDE)
    case.end_aside(1)
    case.settle()
    case.mark(4, STARTED)
    case.end_aside(3)
    case.raise_(4, 63)
    case.bury()
    case.accept()
    case.send("worker1", 5)
    case.send("worker", 3)
    case.mark(0, STARTED)
    case.mark(0, DONE)
    case.mark(1, ASIDE)
    case.mark(2, ASIDE)
    case.settle()
    case.end_aside(2)
    case.bury()
    case.raise_(5)
    case.accept()
    case.send("worker1", 2)  # the first of them was number 1 of the process before, and set aside there
    case.mark(0, ASIDE)
    case.mark(1, ASIDE)
    case.settle()
    case.end_aside(1)
    case.settle()
    case.raise_(6, 7, 8, 9, 201, 202)
    case.accept()
    case.wait(1)
    case.wait(2, 7)
    case.send("worker1", 3)
    case.send("worker", 1)
    case.mark(2, STARTED)
    case.mark(2, DONE)
    case.mark(3, RETURNED)
    case.mark(4, STARTED)
    case.settle()
    case.take(2)
    case.take(1)
    case.mark(4, DONE)
    case.mark(5, RETURNED)
    case.wait(3)
    case.wait(4)
    case.settle()
    case.cancel(3)
    case.send("worker1", 1)
    case.mark(6, RETURNED)
    case.bury()  # with a grant, and a mark that was not read
    for key in (5, 6, 7):
        case.wait(key)
        case.take(key)


def nothing(*_: object) -> None:
    """What a control does instead."""


def enters_first(journal: Journal, name: str, position: int, to: str, start: int, data: bytes) -> None:
    """What a control does instead of a move: two steps."""
    journal.append(to, start, data)
    journal.done(name, position, len(data))


def leaves_first(journal: Journal, name: str, position: int, to: str, start: int, data: bytes) -> None:
    """The same two the other way round."""
    journal.done(name, position, len(data))
    journal.append(to, start, data)


def sweep(
    tmp_path: Path,
    *,
    first: int = 1,
    every: int = 1,
    early: bool = False,
    without: tuple[type, str] | None = None,
    instead: Callable[..., None] = nothing,
) -> Scenario:
    """Look at every step of all who write; or, for a control, at some of them."""
    case, steps = Scenario(tmp_path / "journal", early=early), count(1 - first)

    def look() -> None:
        if next(steps) % every == 0:
            case.look()

    with patch.object(*without, instead) if without else nullcontext():
        with at_every_step(codes_of(*WRITERS, Ledger, Lane), look):
            play(case)
    case.journal.close()
    return case


def test_a_master_may_be_killed_at_any_step_of_its_life(tmp_path: Path) -> None:
    """At each moment, what was raised and not handled is found once, and what was handled is not found."""
    case = sweep(tmp_path, first=FIRST, every=STEP)
    assert case.looks * STEP > 3000
    assert (case.lost, case.again) == (0, 0)


def test_the_sweep_sees_what_is_accepted_too_early(tmp_path: Path) -> None:
    """The negative control: a batch that counts as accepted before it is in the queues is lost at many moments."""
    assert sweep(tmp_path, early=True, every=5).lost > 10


@pytest.mark.parametrize(
    ("where", "what"), [(Journal, "begin"), (InFlightLog, "sent"), (InFlightLog, "restart"), (Outbox, "accepted")]
)
def test_the_sweep_sees_what_is_not_noted(tmp_path: Path, where: type, what: str) -> None:
    """More controls: each kind of note is missed at some moment, by a signal that is found twice, again, or not."""
    case = sweep(tmp_path, without=(where, what), every=5)
    assert case.lost + case.again > 0


@pytest.mark.parametrize(("instead", "lost", "again"), [(enters_first, False, True), (leaves_first, True, False)])
def test_the_sweep_sees_what_is_moved_in_two_steps(
    tmp_path: Path, instead: Callable[..., None], *, lost: bool, again: bool
) -> None:
    """The same for a signal without a handler, which would be in two queues at some moments, or in none."""
    case = sweep(tmp_path, without=(Journal, "move"), instead=instead, every=5)
    assert (bool(case.lost), bool(case.again)) == (lost, again)


@pytest.mark.parametrize("before", [0, BLOCK - 1], ids=["a block stays", "a block becomes free"])
def test_a_master_may_be_killed_at_any_step_of_moving_a_signal(tmp_path: Path, before: int) -> None:
    """At each moment it is in one of the two queues, also where it is the last of a whole block that was not done."""
    path = tmp_path / "journal"
    journal = journal_at(path, [*NAMES])
    journal.append("worker1", 0, b"d" * before + b"x")
    journal.done("worker1", 0, before)
    journal.publish()
    seen: Counter[str] = Counter()

    def look() -> None:
        queues = left_in(path).queues
        assert [*queues.values()] == [b"x"]
        seen.update(queues.keys())

    with at_every_step(codes_of(*WRITERS), look):
        journal.move("worker1", before, "wait", 0, b"x")
    assert left_in(path).queues == {"wait": b"x"}
    journal.close()
    assert min(seen["worker1"], seen["wait"]) > 5


@pytest.mark.parametrize("done", [False, True], ids=["added", "used again"])
def test_a_master_may_be_killed_at_any_step_of_making_room(tmp_path: Path, *, done: bool) -> None:
    """At each moment all that is pending is found, and nothing else, whether blocks are added or used again."""
    path, names = tmp_path / "journal", [f"worker{number}" for number in range(9)]
    journal = journal_at(path, names)
    journal.publish()
    sizes: Counter[int] = Counter()
    pending = dict.fromkeys(names[:8], b"x")
    for name in pending:
        journal.append(name, 0, b"x")
    if done:
        for name in pending:
            journal.done(name, 0, 1)
        pending.clear()

    def look() -> None:
        sizes[path.stat().st_size] += 1
        assert left_in(path).queues in (pending, pending | {names[8]: b"y"})

    with no_file_longer_than(path.stat().st_size) if done else nullcontext():
        with at_every_step(codes_of(*WRITERS), look):
            journal.append(names[8], 0, b"y")
    assert left_in(path).queues == pending | {names[8]: b"y"}
    journal.close()
    assert len(sizes) == 2 - done
    assert min(sizes.values()) > 30
