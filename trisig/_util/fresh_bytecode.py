"""Importing what was saved a moment ago.

Python takes the bytecode of a module for current if the second in which its source was saved, and its size, are what
the bytecode says. A file that is saved twice within a second, with another content of the same size, is imported as it
was at first, for ever. So bytecode is not used, nor written, that was compiled in the second in which the source was
saved or in the next one.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import cache_from_source
from typing import Any


class FreshLoader(SourceFileLoader):
    """Loads the source where the bytecode may be older."""

    def path_stats(self, path: str) -> Any:
        """What the bytecode is compared with.

        Raises:
            OSError: it cannot be relied on. The import then compiles the source, and writes no bytecode.
        """
        stats = super().path_stats(path)
        if _compiled_at(path) < int(stats["mtime"]) + 2:
            raise OSError(f"{path} was saved when its bytecode was written")
        return stats


def _compiled_at(path: str) -> float:
    """When its bytecode was written, or would be."""
    try:
        return os.stat(cache_from_source(path)).st_mtime  # noqa: PTH116  as the import system has it
    except OSError:
        return time.time()


def distrust_recent_bytecode() -> None:
    """From now on this process imports sources that were just saved as they are."""
    loaders = (
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (FreshLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )
    sys.path_hooks.insert(0, FileFinder.path_hook(*loaders))
    sys.path_importer_cache.clear()
