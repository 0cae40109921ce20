"""What constructors refuse, and sources as plain data."""

from __future__ import annotations

import json
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trisig._sources import BuiltinSource, from_spec, is_owned_by_entry, key_of
from trisig._sources.cron import CronSource
from trisig._sources.files import FileSource
from trisig._sources.timers import RbTimerSource, TimerSource


@pytest.mark.parametrize("cls", [TimerSource, RbTimerSource])
@pytest.mark.parametrize("seconds", [0, -1, 0.0009, math.nan, math.inf, -math.inf, 10**400])
def test_seconds_out_of_range(cls: type[TimerSource | RbTimerSource], seconds: Any) -> None:
    """An interval that no timer can keep is refused where it is written."""
    with pytest.raises(ValueError, match=r"seconds must be from 0\.001"):
        cls(1, seconds)


@pytest.mark.parametrize("seconds", [True, "1", None])
def test_seconds_of_another_type(seconds: Any) -> None:
    """A bool is not a number of seconds."""
    with pytest.raises(TypeError, match="seconds must be an int or float"):
        TimerSource(1, seconds)


@pytest.mark.parametrize(
    ("signum", "error"), [(-1, ValueError), (256, ValueError), (True, TypeError), ("1", TypeError)]
)
def test_signal_numbers(signum: Any, error: type[Exception], tmp_path: Path) -> None:
    """Every source checks its signal number."""
    for make in (
        lambda: TimerSource(signum, 1),
        lambda: RbTimerSource(signum, 1),
        lambda: CronSource(signum, "* * * * *"),
        lambda: FileSource(signum, tmp_path),
    ):
        with pytest.raises(error, match="a signal is a number from 0 to 255"):
            make()


@pytest.mark.parametrize(("iterations", "error"), [(-1, ValueError), (True, TypeError), (1.0, TypeError)])
def test_iterations(iterations: Any, error: type[Exception], tmp_path: Path) -> None:
    """Every source checks its iterations."""
    for make in (
        lambda: TimerSource(1, 1, iterations=iterations),
        lambda: CronSource(1, "* * * * *", iterations=iterations),
        lambda: FileSource(1, tmp_path, iterations=iterations),
    ):
        with pytest.raises(error, match="iterations"):
            make()


@pytest.mark.parametrize(
    ("position", "name", "values"),
    [
        (0, "minute", (60, -61)),
        (1, "hour", (24, -25)),
        (2, "day", (0, 32, -32)),
        (3, "month", (0, 13, -13)),
        (4, "weekday", (8, -8)),
    ],
)
def test_cron_numbers_out_of_range_name_the_field(position: int, name: str, values: tuple[int, ...]) -> None:
    """The message says which of the five is wrong."""
    for value in values:
        fields = [-1] * 5
        fields[position] = value
        with pytest.raises(ValueError, match=f"cron {name} must be"):
            CronSource(1, *fields)
    fields = [-1] * 5
    fields[position] = True
    with pytest.raises(TypeError, match=f"cron {name} must be an int"):
        CronSource(1, *fields)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("60 * * * *", "bad minute field '60'"),
        ("* 24 * * *", "bad hour field '24'"),
        ("* * 0 * *", "bad day field '0'"),
        ("* * * foo *", "bad month field 'foo'"),
        ("* * * * 9", "bad weekday field '9'"),
        ("* * *", "has 3 fields"),
        ("0 * * * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("@reboot", "unknown cron alias '@reboot'"),
        ("0 0 30 2 *", "never due"),
        ("0 0 30 feb mon#9", "bad weekday field"),
        ("0 0 */31 2 mon#5", "never due"),
    ],
)
def test_cron_expressions_that_are_none(expression: str, message: str) -> None:
    """The message names the field, or says what is missing."""
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        CronSource(1, expression)


@pytest.mark.parametrize("when", [(), (5,), (None,), (1, 2, 3), ("1", "2", "3", "4", "5")])
def test_cron_of_neither_form(when: tuple[Any, ...]) -> None:
    """One expression or five numbers, nothing between."""
    with pytest.raises(TypeError, match="cron"):
        CronSource(1, *when)


def test_cron_numbers_that_never_come() -> None:
    """30 February is refused, 29 February is not."""
    with pytest.raises(ValueError, match="never due"):
        CronSource(1, 0, 0, 30, 2, -1)
    with pytest.raises(ValueError, match="never due"):
        CronSource(1, -1, 0, 30, 2, -1)
    CronSource(1, 0, 0, 29, 2, -7)
    CronSource(1, 0, -1, 29, 2, -7)


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "Europe", "a\0b"])
def test_unknown_time_zone(zone: str) -> None:
    """A zone that does not exist is refused with an example of one that does."""
    with pytest.raises(ValueError, match="unknown time zone"):
        CronSource(1, "* * * * *", timezone=zone)


def test_time_zone_of_another_type() -> None:
    """Only names cross a process boundary."""
    with pytest.raises(TypeError, match="timezone must be a name"):
        CronSource(1, "* * * * *", timezone=3)  # type: ignore[arg-type]  # the mistake


def test_paths(tmp_path: Path) -> None:
    """Empty, NUL, missing and unreadable paths are refused; a missing one may be waited for."""
    with pytest.raises(ValueError, match="empty"):
        FileSource(1, "")
    with pytest.raises(ValueError, match="NUL"):
        FileSource(1, "a\0b")
    with pytest.raises(FileNotFoundError, match="missing_ok=True"):
        FileSource(1, tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="missing_ok=True"):
        FileSource(1, tmp_path / "file" / "none")
    with pytest.raises(TypeError, match=r"path must be a str, bytes or os\.PathLike, not 3"):
        FileSource(1, 3)  # type: ignore[arg-type]  # the mistake
    with pytest.raises(TypeError, match="missing_ok must be True or False, not 'no'"):
        FileSource(1, tmp_path, missing_ok="no")  # type: ignore[arg-type]  # the mistake
    with pytest.raises(ValueError, match="path has a surrogate in it"):
        FileSource(1, "\ud800", missing_ok=True)
    FileSource(1, tmp_path / "none", missing_ok=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_path(tmp_path: Path) -> None:
    """Inotify needs read permission."""
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(PermissionError, match="readable"):
        FileSource(1, tmp_path / "file")


def test_a_relative_path_is_meant_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master may have another current directory than the process that declares."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert FileSource(1, "file").path == str(tmp_path / "file")


def samples(folder: Path) -> list[BuiltinSource]:
    """Built-in sources of all sorts."""
    return [
        TimerSource(1, 0.5, iterations=3),
        RbTimerSource(2, 40),
        CronSource(3, 40, 2, -1, -1, 7, iterations=1),
        CronSource(4, "@daily", timezone="Europe/Rome"),
        CronSource(4, "1,2 3 * * mon#2"),
        FileSource(5, folder, iterations=2),
        FileSource(6, folder / os.fsdecode(b"caf\xe9 \xff"), missing_ok=True),
    ]


@pytest.mark.parametrize(
    "copied",
    [
        lambda source: from_spec(json.loads(json.dumps(source.to_spec()))),
        lambda source: pickle.loads(pickle.dumps(source)),
    ],
    ids=["spec", "pickle"],
)
def test_copies_for_other_processes(copied: Callable[[BuiltinSource], BuiltinSource], tmp_path: Path) -> None:
    """Each built-in source becomes plain data, or a pickle, and comes back equal, as the same one."""
    for source in samples(tmp_path):
        source.owned_by_entry = source.signum == 2
        copy = copied(source)
        assert type(copy) is type(source)
        assert copy.to_spec() == source.to_spec()
        assert copy.name == source.name
        assert key_of(copy) == key_of(source)
        assert is_owned_by_entry(copy, 2) == (source.signum == 2)


def test_equal_sources_are_not_the_same(tmp_path: Path) -> None:
    """Each object that is made has a key of its own."""
    assert len({key_of(source) for _ in range(2) for source in samples(tmp_path)}) == 2 * len(samples(tmp_path))


def test_a_path_that_vanishes_on_the_way_to_the_master(tmp_path: Path) -> None:
    """It was there for the child that looked; the master takes it, and will find that it has gone."""
    (tmp_path / "file").touch()
    spec = FileSource(1, tmp_path / "file").to_spec()
    (tmp_path / "file").unlink()
    assert from_spec(spec).to_spec() == spec


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({}, ValueError),
        ({"kind": "exec"}, ValueError),
        ({"kind": "timer", "signum": 1}, TypeError),
        ({"kind": "timer", "signum": 1, "seconds": 0}, ValueError),
        ({"kind": "timer", "signum": 1, "seconds": 1, "more": 1}, TypeError),
    ],
)
def test_specs_are_checked_like_arguments(spec: dict[str, Any], error: type[Exception]) -> None:
    """A wrong spec is an error of whoever sent it."""
    with pytest.raises(error):
        from_spec(spec)
