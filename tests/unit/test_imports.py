"""The shape of the package: which folder imports which, what stays pure, and that no module keeps its own state.

`MAY_IMPORT` is the design. A folder that needs another one gets a new word here, or, better, is composed with it in
`_master`, the only folder that knows both ends.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from types import ModuleType

import pytest
from package_source import DEPENDENCIES, PACKAGES, TREES, outside

BELOW_MASTER = "_model _linux _util _sources _api _ipc _prefork _journal _spool _child _cluster"
MAY_IMPORT = {
    "_model": "",
    "_linux": "",
    "_util": "_model",
    "_control": "_model _linux",
    "_sources": "_model _linux _util",
    "_cluster": "_model _util _sources",
    "_api": "_model _linux _sources _cluster",
    "_ipc": "_model _util",
    "_prefork": "_linux _util",
    "_journal": "_model _linux _ipc",
    "_spool": "_model _linux _util",
    "_child": "_model _linux _util _sources _ipc _spool",
    "_remote": "_control _model",
    "_master": BELOW_MASTER,
    "_desk": "_api _control _linux _master",
    "_extras": "_api _child _desk _linux _master _remote _spool",
    "_open": "_api _extras _ipc _linux _master _remote _util",
    "_run": "_api _desk _extras _master _open _remote _util",
    "_fresh": BELOW_MASTER,
    "_cli": "_desk _open _run _control _api _model _util _remote uwsgi postgres metrics otel lua",
    "uwsgi": "trisig _api _model _sources _spool _control _remote _lua",
    "remote": "_model _remote",
    "_lua": "_api _model _remote",
    "lua": "_api _lua",
    "postgres": "_api _model _sources _cluster",
    "_testing": "_api _model _sources",
    "testing": "_api _model _sources _util _testing",
    "metrics": "_master _control _model",
    "otel": "_model",
    "trisig": "_open _run _master _api _model _sources _cluster",  # the public API
    "__main__": "_cli",
}

# `_model` asks the system for one thing: the pid of the process that it runs in.
KNOWS_ITS_PID = "_model.process"
IMPURE = {"asyncio", "ctypes", "logging", "mmap", "os", "select", "signal", "socket", "subprocess", "threading", "time"}

MUTATORS = {
    "add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "insert", "intersection_update",
    "pop", "popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update",
}  # fmt: skip
FROZEN_MAKERS = {
    "CDLL", "ContextVar", "ParamSpec", "Struct", "TypeVar", "TypeVarTuple", "argument", "bytes", "compile", "float",
    "frozenset", "getLogger", "namedtuple", "object", "option", "range", "str", "timedelta", "tuple",
}  # fmt: skip


def imports_of(module: str) -> set[str]:
    """The modules of the package that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            names = [f"{base}.{alias.name}" if known(f"{base}.{alias.name}") else base for alias in node.names]
        else:
            continue
        found |= {short(name) for name in names if known(name)}
    return found


def absolute(module: str, node: ast.ImportFrom) -> str:
    """What a `from` stands for, without dots."""
    if not node.level:
        return node.module or ""
    here = ["trisig", *(module.split(".") if module != "trisig" else [])]
    above = node.level - 1 if module in PACKAGES else node.level
    return ".".join([*here[: len(here) - above], *([node.module] if node.module else [])])


def known(name: str) -> bool:
    """Whether a dotted name is a module of the package."""
    return short(name) in TREES if name.split(".", maxsplit=1)[0] == "trisig" else False


def short(name: str) -> str:
    """A dotted name as the table has it."""
    return name.removeprefix("trisig.")


GRAPH = {module: imports_of(module) for module in TREES}


def folder_of(module: str) -> str:
    """The row of the table that a module belongs to."""
    return module.split(".", maxsplit=1)[0]


def folders_used(folder: str) -> set[str]:
    """The other folders that the modules of a folder import from."""
    used = {folder_of(other) for module, others in GRAPH.items() if folder_of(module) == folder for other in others}
    return used - {folder}


@pytest.mark.parametrize("folder", sorted({folder_of(module) for module in TREES} | MAY_IMPORT.keys()))
def test_a_folder_imports_what_the_table_allows(folder: str) -> None:
    """A new arrow between folders is a decision, and is written into the table first."""
    assert folder in MAY_IMPORT, f"say here what {folder} may import: {sorted(folders_used(folder))}"
    assert any(folder_of(module) == folder for module in TREES), f"there is no {folder} any more"
    assert folders_used(folder) <= set(MAY_IMPORT[folder].split())


def test_the_table_itself_has_no_cycle() -> None:
    """The folders can be put in an order in which each imports only earlier ones."""
    TopologicalSorter({folder: words.split() for folder, words in MAY_IMPORT.items()}).prepare()


def test_there_is_no_cycle() -> None:
    """The modules can be put in an order in which each imports only earlier ones."""
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round: {' -> '.join(error.args[1])}", pytrace=False)


@pytest.mark.parametrize("module", sorted(module for module in TREES if folder_of(module) == "_model"))
def test_the_model_is_pure(module: str) -> None:
    """No file, clock, process, log or trio: only values, which msgspec makes a class of faster than dataclasses do."""
    allowed = {"msgspec", "os"} if module == KNOWS_ITS_PID else {"msgspec"}
    assert not outside(TREES[module]) & (IMPURE | DEPENDENCIES) - allowed


# No state in modules


def module_level(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """The names that a module assigns, with their values."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def changes(nodes: Iterable[ast.AST], names: set[str]) -> Iterator[str]:
    """Where one of the names is changed in place or rebound from inside a function."""
    for node in nodes:
        if isinstance(node, ast.Global):
            yield f"line {node.lineno}: global {', '.join(node.names)}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            if isinstance(node.func.value, ast.Name) and node.func.value.id in names:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            if isinstance(node.value, ast.Name) and node.value.id in names:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id in names:
            yield f"line {node.lineno}: {ast.unparse(node)}"


def caches(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Functions that remember their results for the life of the process."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                if ast.unparse(decorator).split("(")[0].split(".")[-1] in {"cache", "lru_cache"}:
                    yield f"line {node.lineno}: {node.name} is cached"


def made(tree: ast.Module) -> Iterator[str]:
    """Instances at module level that are not of a kind known to be a constant."""
    for name, value in module_level(tree):
        if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] not in FROZEN_MAKERS:
            path = ast.unparse(value.func)
            if not path.endswith(".prctl"):
                yield f"line {value.lineno}: {name} = {ast.unparse(value)}"


def state_of(tree: ast.Module) -> list[str]:
    """All that a module would remember."""
    nodes = list(ast.walk(tree))
    return [*changes(nodes, {name for name, _ in module_level(tree)}), *caches(nodes), *made(tree)]


FOLDERS = sorted({folder_of(module) for module in TREES})  # one test for each: one for each module takes seconds


@pytest.mark.parametrize("folder", FOLDERS)
def test_modules_keep_no_state(folder: str) -> None:
    """Constants and context variables are fine; what changes lives in objects that somebody made."""
    states = {module: state_of(tree) for module, tree in TREES.items() if folder_of(module) == folder}
    assert {module: state for module, state in states.items() if state} == {}


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder != "__main__"])
def test_no_object_of_ours_lives_in_a_module(folder: str) -> None:
    """The same, asked of the modules as they are when imported."""
    missing = []
    for module in sorted(module for module in TREES if folder_of(module) == folder):
        name = "trisig" if module == "trisig" else f"trisig.{module}"
        try:
            imported = importlib.import_module(name)
        except ImportError:
            missing.append(name)
        else:
            assert objects_of_ours(imported) == [], name
    if missing:
        pytest.skip(f"the library of an extra is not installed, for {', '.join(missing)}")


def objects_of_ours(module: ModuleType) -> list[str]:
    """The names in a module of instances of our classes."""
    return [
        name
        for name, value in vars(module).items()
        if not isinstance(value, type | ModuleType) and type(value).__module__.split(".")[0] == "trisig"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "seen = []\ndef note(x):\n    seen.append(x)",
        "seen = {}\ndef note(x):\n    seen[x] = 1",
        "seen = {}\ndef forget(x):\n    del seen[x]",
        "count = 0\ndef note():\n    global count\n    count += 1",
        "master = Master()",
        "names: set[str] = set()",
        "import functools\n@functools.lru_cache(maxsize=None)\ndef parse(text): ...",
        "from functools import cache\nclass Table:\n    @cache\n    def find(self): ...",
    ],
)
def test_state_would_be_found(source: str) -> None:
    """What the rule forbids, it finds."""
    assert state_of(ast.parse(source))
