"""The package as text: the syntax tree of each module, and what it imports from elsewhere."""

import ast
from pathlib import Path

import trisig

ROOT = Path(trisig.__file__).parent
DEPENDENCIES = {"click", "cronsim", "msgspec", "trio"}


def name_of(path: Path) -> str:
    """The dotted name of a module below the package, which is `trisig` itself."""
    parts = [part for part in path.relative_to(ROOT).with_suffix("").parts if part != "__init__"]
    return ".".join(parts) or "trisig"


TREES = {name_of(path): ast.parse(path.read_text(), str(path)) for path in sorted(ROOT.rglob("*.py"))}
PACKAGES = {name_of(path) for path in ROOT.rglob("__init__.py")}


def outside(tree: ast.AST) -> set[str]:
    """The top-level names of what is imported from outside the package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names - {"trisig"}
