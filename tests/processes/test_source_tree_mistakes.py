"""The proof that mistakes in following a tree would be found: one course of changes, right, and with each mistake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from monitored import Monitored, append
from source_tools import Recorder, Start

from trisig._linux.inotify import IN_MOVED_TO, Event
from trisig._sources.tree_monitor import TreeMonitor, _Directory


async def course(monitored: Monitored, root: Path, away: Path) -> str:
    """What happens to a tree; the steps that raise nothing."""
    silent = ""

    async def step(name: str) -> None:
        nonlocal silent
        if not await monitored.count():
            silent += name

    (root / "a" / "b").mkdir(parents=True)
    await monitored.add(root, recursive=True, match="*.py")
    (root / "new" / "deep").mkdir(parents=True)
    (root / "new" / "deep" / "at_once.py").touch()
    await step("1")
    append(root / "new" / "deep" / "at_once.py")
    await step("2")
    (root / "new").rename(away / "out")
    await step("3")
    append(away / "out" / "deep" / "at_once.py")
    await step("4")  # which is right: it is outside
    (away / "out").rename(root / "a" / "in")
    await step("5")
    append(root / "a" / "in" / "deep" / "at_once.py")
    await step("6")
    (root / "a").rename(root / "c")
    await step("7")
    append(root / "c" / "in" / "deep" / "at_once.py")
    await step("8")
    return silent


@pytest.fixture
async def silent(
    start: Start, recorder: Recorder, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Awaitable[str]]:
    """Runs the course."""
    monitored = Monitored(start, recorder, tmp_path_factory.mktemp("sentinel"))
    return lambda: course(monitored, tmp_path / "root", tmp_path_factory.mktemp("away"))


async def test_the_course_without_a_mistake(silent: Callable[[], Awaitable[str]]) -> None:
    """Only what happens outside raises nothing."""
    assert await silent() == "4"


def takes_new_for_known(self: TreeMonitor, parent: _Directory, name: str, *, is_new: bool) -> None:
    """Reports nothing of what was made before its directory was watched."""
    del is_new
    ADD(self, parent, name, is_new=False)


def ignores_what_moves_in(self: TreeMonitor, event: Event, parent: _Directory) -> None:
    """Watches what is made, and not what is moved here."""
    if not event.mask & IN_MOVED_TO:
        NOTE(self, event, parent)


def keeps_what_leaves(self: TreeMonitor, directory: _Directory) -> None:
    """Goes on watching what has left the tree."""


def reads_one_level(self: TreeMonitor, directory: _Directory) -> None:
    """Looks for directories in the monitored one only."""
    if directory.parent is None:
        READ(self, directory)


ADD, NOTE, READ = TreeMonitor._add, TreeMonitor._note_directory, TreeMonitor._read


@pytest.mark.parametrize(
    ("method", "mistake"),
    [
        ("_add", takes_new_for_known),
        ("_note_directory", ignores_what_moves_in),
        ("_drop", keeps_what_leaves),
        ("_read", reads_one_level),
    ],
)
async def test_a_mistake_would_be_found(
    silent: Callable[[], Awaitable[str]], monkeypatch: pytest.MonkeyPatch, method: str, mistake: Callable[..., None]
) -> None:
    """The negative control: with each of these another step is silent, or the one outside is not."""
    monkeypatch.setattr(TreeMonitor, method, mistake)
    assert await silent() != "4"
