"""The shape of the package: who imports whom, what stays pure, and that no module keeps state of its own.

`MAY_IMPORT` is the design. A module that needs another one gets a new word here, or, better, is composed with it by
`_master`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

import trisig

ROOT = Path(trisig.__file__).parent

MAY_IMPORT = {
    "trisig": "_errors _ledger _master _open _process _run _signals _sources.base _statistics",
    "__main__": "_cli",
    "_asking": "_errors",
    "_birth": "_kernel",
    "_blocks": "_layout",
    "_children": "_asking _errors _interrupt _ledger _process _pushes _shared _wires",
    "_claim": "_errors",
    "_cli": "_client _errors _load _log _status trisig",
    "_client": "",
    "_control": "_asking _late _sources _table _targets _waits",
    "_cores": "",
    "_dispatcher": "_interrupt _kernel _ledger _queue _raiser _routes _shared _silence _slots _table _targets _waits",
    "_endpoint": "_errors",
    "_errors": "",
    "_events": "_groups _interrupt _sources _statistics _thread",
    "_external": "_errors _handlers _sources",
    "_flights": "_layout",
    "_groups": "_errors",
    "_handlers": "",
    "_harakiri": "_interrupt _ledger",
    "_interrupt": "",
    "_journal": "_blocks _claim _flights _layout _mapping _outbox",
    "_journaling": "_dispatcher _journal _ledger _raiser _recovery _slots _table",
    "_kernel": "",
    "_late": "_asking",
    "_layout": "_ledger",
    "_ledger": "_queue",
    "_lines": "",
    "_load": "_signals _tracebacks",
    "_local": (
        "_control _errors _handlers _interrupt _late _packing _raiser _signum _sources _table _targets "
        "_thread _waits _wires"
    ),
    "_log": "_lines _process",
    "_mapping": "",
    "_master": (
        "_asking _children _control _dispatcher _errors _events _harakiri _interrupt _journal _journaling "
        "_kernel _late _ledger _local _options _orphans _prefork _process _raiser _recovery _report _shared "
        "_signals _slots _statistics _table _targets _thread _wires _worker"
    ),
    "_open": "_groups _ledger _log _master _options _reopen _shared _signals _slots _targets _wires",
    "_options": "_handlers _ledger",
    "_orphans": "_interrupt",
    "_outbox": "_layout",
    "_packing": "_handlers",
    "_prefork": "_interrupt _zygote",
    "_process": "",
    "_pushes": "_asking _interrupt",
    "_queue": "",
    "_raiser": "_errors _signum",
    "_recovery": "_layout _ledger _shared",
    "_reopen": "_claim _errors _journal _recovery",
    "_report": "_ledger _signum _slots _statistics _table",
    "_routes": "",
    "_run": "_endpoint _errors _groups _ledger _log _master _open _options _signals",
    "_runner": "_cores _handlers _kernel _ledger _shared",
    "_shared": "_ledger _table",
    "_signals": "_errors _external _handlers _signum _sources _table _targets",
    "_signum": "",
    "_silence": "_interrupt _ledger _shared _slots",
    "_slots": "_ledger _process _queue _shared _targets",
    "_sources": "_sources._course _sources._engines _sources.base _sources.cron _sources.files _sources.timers",
    "_sources._checks": "",
    "_sources._clocks": "_interrupt _sources._timerfd",
    "_sources._course": "_sources._engines _sources.base",
    "_sources._engines": "_sources._clocks _sources._watcher",
    "_sources._inotify": "",
    "_sources._pglink": "_interrupt _sources._pgserver _sources._pgwire",
    "_sources._pgserver": "",
    "_sources._pgwire": "_sources._pgserver",
    "_sources._schedule": "_sources._checks",
    "_sources._timerfd": "",
    "_sources._trail": "",
    "_sources._watcher": "_interrupt _sources._inotify _sources._trail",
    "_sources.base": "",
    "_sources.cron": "_signum _sources._checks _sources._clocks _sources._course _sources._engines _sources._schedule",
    "_sources.files": "_signum _sources._checks _sources._course _sources._engines _sources._watcher _sources.base",
    "_sources.timers": "_signum _sources._checks _sources._clocks _sources._course _sources._engines",
    "_statistics": "_process",
    "_status": "",
    "_table": "_errors _signum _targets",
    "_targets": "_errors _process",
    "_thread": "",
    "_tracebacks": "",
    "_waits": "_ledger _queue",
    "_wires": "_errors",
    "_worker": (
        "_asking _errors _groups _handlers _late _packing _process _raiser _runner _shared _signum _sources "
        "_table _targets _tracebacks _wires"
    ),
    "_zygote": "_birth _interrupt _kernel _zygotes_end",
    "_zygotes_end": "_birth",
    "postgres": "_handlers _signals _signum _sources _sources._checks _sources._pglink _sources._pgserver",
}

MASTER = "_master"
MASTERS_END = {"_children", "_control", "_dispatcher", "_journaling", "_local", "_zygote"}
CHILDS_END = {"_runner", "_worker"}

PURE = ("_errors", "_layout", "_ledger", "_queue", "_routes", "_signum", "_statistics", "_table", "_targets", "_waits")
IMPURE = {"asyncio", "ctypes", "logging", "mmap", "os", "select", "signal", "socket", "subprocess", "threading", "time"}
DEPENDENCIES = {"click", "cronsim", "trio"}

MUTATORS = {
    "add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "insert", "intersection_update",
    "pop", "popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update",
}  # fmt: skip
FROZEN_MAKERS = {
    "CDLL", "ContextVar", "ParamSpec", "Struct", "TypeVar", "bytes", "compile", "float", "frozenset", "getLogger",
    "namedtuple", "object", "option", "range", "str", "timedelta", "tuple",
}  # fmt: skip


BARE = """
import importlib, sys
sys.modules.update(dict.fromkeys({foreign}))
import trisig, trisig._cli
for module in {public}:
    try:
        importlib.import_module("trisig." + module)
    except ImportError as error:
        assert 'python -m pip install ".[' in str(error), error
"""


def name_of(path: Path) -> str:
    """How the table calls a module: without the name of the package, which is `trisig` itself."""
    parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    return ".".join(parts) or "trisig"


TREES = {name_of(path): ast.parse(path.read_text(), str(path)) for path in sorted(ROOT.rglob("*.py"))}
PACKAGES = {name_of(path) for path in ROOT.rglob("__init__.py")}


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


@pytest.mark.parametrize("module", sorted(TREES.keys() | MAY_IMPORT.keys()))
def test_a_module_imports_what_the_table_says(module: str) -> None:
    """Exactly that: a new import is a decision, and one that has gone leaves the table."""
    assert module in MAY_IMPORT, f"say here what {module} may import: {sorted(GRAPH[module])}"
    assert module in TREES, f"there is no {module} any more"
    assert sorted(GRAPH[module]) == sorted(MAY_IMPORT[module].split())


def test_there_is_no_cycle() -> None:
    """The modules can be put in an order in which each imports only earlier ones."""
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"imports go round: {' -> '.join(error.args[1])}", pytrace=False)


def reach(module: str) -> set[str]:
    """What a module gets to know by its imports, and by theirs, without going through the one that knows both ends."""
    found, todo = set(), [module]
    while todo:
        for other in GRAPH[todo.pop()] - found - {MASTER}:
            found.add(other)
            todo.append(other)
    return found | {module}


def test_only_the_master_knows_both_ends() -> None:
    """The master's side of a pipe and the child's side meet in one module, by whatever way a module imports."""
    assert GRAPH[MASTER] & MASTERS_END
    assert GRAPH[MASTER] & CHILDS_END
    both = {module for module in TREES if reach(module) & MASTERS_END and reach(module) & CHILDS_END}
    assert both == {MASTER}


def outside(tree: ast.AST) -> set[str]:
    """The top-level names of what is imported from outside the package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names - {"trisig"}


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_has_no_way_out(module: str) -> None:
    """No file, clock, process, log or trio: only values, and other pure modules but for who a process is."""
    assert not outside(TREES[module]) & (IMPURE | DEPENDENCIES)
    assert GRAPH[module] <= {*PURE, "_process"}


def test_importing_needs_nothing_but_the_dependencies() -> None:
    """Where only the dependencies are installed the package works, and a module of an extra says which one to add."""
    public = sorted(module for module in TREES if module != "trisig" and not module.startswith("_"))
    foreign = set[str]().union(*map(outside, TREES.values())) - sys.stdlib_module_names - DEPENDENCIES
    program = BARE.format(foreign=sorted(foreign), public=public)
    environment = {"PYTHONPATH": str(ROOT.parent)}
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True, timeout=60)


# No state in modules


def module_level(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """The names that a module assigns, with their values."""
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


def changes(tree: ast.Module, names: set[str]) -> Iterator[str]:
    """Where one of the names is changed in place or rebound from inside a function."""
    for node in ast.walk(tree):
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


def caches(tree: ast.Module) -> Iterator[str]:
    """Functions that remember their results for the life of the process."""
    for node in ast.walk(tree):
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
    return [*changes(tree, {name for name, _ in module_level(tree)}), *caches(tree), *made(tree)]


@pytest.mark.parametrize("module", sorted(TREES))
def test_a_module_keeps_no_state(module: str) -> None:
    """Constants and context variables are fine; what changes lives in objects that somebody made."""
    assert state_of(TREES[module]) == []


@pytest.mark.parametrize("module", sorted(module for module in TREES if module != "__main__"))
def test_no_object_of_ours_lives_in_a_module(module: str) -> None:
    """The same, asked of the modules as they are when imported."""
    name = "trisig" if module == "trisig" else f"trisig.{module}"
    imported = pytest.importorskip(name, exc_type=ImportError, reason="the library of an extra is not installed")
    ours = [
        name
        for name, value in vars(imported).items()
        if not isinstance(value, type | ModuleType) and type(value).__module__.split(".")[0] == "trisig"
    ]
    assert ours == []


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
