"""The package where it was just installed."""

import subprocess
import sys

from package_source import DEPENDENCIES, ROOT, TREES, outside

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


def test_importing_needs_nothing_but_the_dependencies() -> None:
    """Where only the dependencies are installed the package works, and a module of an extra says which one to add."""
    public = sorted(module for module in TREES if module != "trisig" and not module.startswith("_"))
    foreign = set[str]().union(*map(outside, TREES.values())) - sys.stdlib_module_names - DEPENDENCIES
    program = BARE.format(foreign=sorted(foreign), public=public)
    environment = {"PYTHONPATH": str(ROOT.parent)}
    subprocess.run([sys.executable, "-W", "error", "-c", program], env=environment, check=True, timeout=60)
