"""Files of options: ini, yaml, json; sections, variables, placeholders, logic; row by row as in uWSGI 2.0.31."""

from __future__ import annotations

from pathlib import Path

import pytest
from uwsgi_config import plan_of, values, write

from trisig.uwsgi._config.problem import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 1 ; c\ny = 2 # d", {"x": "1 ; c", "y": "2 # d"}),
        ("# no\n; no\n  x=1  ", {"x": "1"}),
        ('x = "quoted"', {"x": '"quoted"'}),
        ("master", {"master": ""}),
        ("x = a = b", {"x": "a = b"}),
        ("x = 1\r\ny = 2\r\n", {"x": "1", "y": "2"}),
        ("[uwsgi]\nx = 1\n[other]\nx = 2\n[uwsgi]\ny = 3", {"x": "1", "y": "3"}),
    ],
)
def test_lines_are_read_as_uwsgi_reads_them(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    """Comments are whole lines, quotes are kept, a bare key is empty, sections of one name are one."""
    assert values(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = x\ny = /srv/%(a).pid", "/srv/x.pid"),
        ("y = /late/%(a).pid\na = x", "/late/x.pid"),
        ("y = %(nothing)", "%(nothing)"),
        ("y = %(nothing more)", ""),
        ("x = 1\nx = 2\ny = %(x)", "1"),
        ("a = 4\ny = %(a * 2)", "8"),
        ("a = 4\ny = %(a + 1 * 2)", "10"),
        ("a = 4\ny = %(a ++)", "5"),
        ("a = 4\ny = %(a --)", "3"),
        ("a = 4\ny = %(a / 0)", "0"),
        ("a = 4\ny = %(a * 1.5)", "0"),
        ("a = 4\ny = %(a * -2)", "0"),
        ("a = 4\ny = %(a+1)", "%(a+1)"),
        ("a = 4\ny = %(a % 3)", "43"),
        ("a = 2\nb = 8\ny = %(a b + 2)", "30"),
        ("y = $(HOUSE)/x", "/home/x"),
        ("y = $(NO_SUCH)", "$(NO_SUCH)"),
        ("y = @(%d/content)", "from a file"),
        ("set-placeholder = base=/srv\ny = %(base)/a", "/srv/a"),
        ("set = base=/srv\ny = %(base)/a", "/srv/a"),
        ("env = A=1\ny = $(A)", "$(A)"),
        ("y = 50%%", "50%"),
        ("log-date = %Y-%m-%d\ny = %H%y%9", ""),
        ("y = %\nz = 1", "z = 1"),
    ],
)
def test_values_are_replaced_as_in_uwsgi(tmp_path: Path, text: str, expected: str) -> None:
    """Placeholders after all files, arithmetic from left to right, the environment first, files second."""
    (tmp_path / "content").write_text("from a file\n")
    assert values(tmp_path, text, HOUSE="/home")["y"] == expected


def test_variables_of_the_file(tmp_path: Path) -> None:
    """The file's name in its parts, its directory, its hash, and the capitals, which `--ini` sets and no other way."""
    folder = tmp_path / "conf"
    folder.mkdir()
    text = "[uwsgi]\ny = %n|%s|%e|%d|%c|%p|%N|%x|%V"
    path = write(folder, text, "my.site.ini")
    plan = plan_of("--ini", path)
    assert {entry.key: entry.value for entry in plan.configuration.entries}["y"] == (
        f"my.site|my.site.ini|ini|{folder}/|conf|{path}|my.site||2.0.31"
    )
    plain = plan_of(path)
    assert "|my.site||2.0.31" not in str(plain.configuration.entries[-1].value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("if-env = HOUSE\ny = %(_)\nendif =\nz = 1", {"y": "/home", "z": "1"}),
        ("if-env = HOUSE=/other\ny = 1\nendif =\nz = 1", {"z": "1"}),
        ("if-not-env = HOUSE\ny = 1\nendif =", {}),
        ("if-not-env = NO\ny = 1\nendif =", {"y": "1"}),
        ("a = 1\nif-opt = a\ny = 2\nendif =", {"a": "1", "y": "2"}),
        ("a = 1\nif-opt = a=2\ny = 2\nendif =", {"a": "1"}),
        ("if-exists = /\ny = %(_)\nend-if =", {"y": "/"}),
        ("if-not-exists = /\ny = 1\nend-if =", {}),
        ("if-file = /\ny = 1\nend =", {}),
        ("if-dir = /\ny = 1\nend =", {"y": "1"}),
        ("if-env = NO\ny = 1", {}),
    ],
)
def test_conditions(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    """Lines count while their condition holds; one that nobody closes goes on to the end of the file."""
    words = ("if-", "end")
    found = {key: value for key, value in values(tmp_path, text, HOUSE="/home").items() if not key.startswith(words)}
    assert found == expected


def test_a_loop_adds_an_option_for_each_word(tmp_path: Path) -> None:
    """`for` repeats its lines, with the word in the place of %(_)."""
    text = "for = a b\nmule = %(_).py\nendfor =\nfor-times = 2\nmule = %(_)\nendfor ="
    assert plan_of("--ini", write(tmp_path, text)).settings.programs == ("a.py", "b.py", "1", "2")


def test_sections_and_files_of_files(tmp_path: Path) -> None:
    """A section by `file:section`, a file within a file, and `:section`, which means the file that was read last."""
    write(tmp_path, "[uwsgi]\nx = plain\n[more]\nx = more\nini = :local\n[local]\nz = local", "other.ini")
    top = write(tmp_path, f"ini = {tmp_path}/other.ini:more\ny = 1")
    found = {entry.key: entry.value for entry in plan_of("--ini", top).configuration.entries}
    assert (found["x"], found["y"], found["z"]) == ("more", "1", "local")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[uwsgi] ; mine\nx = 1", "write a comment in a line by itself"),
        ("[other]\nx = 1", 'Can\'t find section "uwsgi"'),
        ("if-env = HOUSE\nif-env = HOUSE\ny = 1", "recursive logic in options is not supported (option = if-env)"),
        ("x = @(/nonexistent/f)", 'open("/nonexistent/f"): No such file or directory'),
        ("ini = /nonexistent.ini", 'open("/nonexistent.ini"): No such file or directory'),
        ("strict = true\nfoo-bar = 1", "[strict-mode] unknown config directive: foo-bar"),
        ("foo-bar = 1\nstrict = true", "[strict-mode] unknown config directive: foo-bar"),
        ("a = %(a)x\ny = %(a)", "a value contains itself"),
        ("set-ph = mule=1", "you cannot use mule as a placeholder"),
        ("set = x", "invalid set syntax"),
        ("daemonize = /tmp/log", "trisig stays in the foreground"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, problem: str) -> None:
    """What cannot be is refused before anything starts, with what to write instead."""
    with pytest.raises(ConfigError) as caught:
        values(tmp_path, text, HOUSE="/home")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yaml_and_json(tmp_path: Path) -> None:
    """The same options in the other formats; a key may come twice in yaml, and a list is the same key several times."""
    yaml = write(tmp_path, "uwsgi:\n  mule: a.py  # one\n  mule: 'b.py'\n  import:\n    - x\n    - y\n", "a.yaml")
    json = write(tmp_path, '{"uwsgi": {"mule": ["a.py", "b.py"], "master": true}}', "a.json")
    assert plan_of("--yaml", yaml).settings.programs == plan_of(json).settings.programs == ("a.py", "b.py")
    assert plan_of(yaml).settings.imports == ("x", "y")
