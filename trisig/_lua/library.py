"""lupa, which is of an extra."""

from __future__ import annotations

try:
    import lupa
except ImportError as error:
    raise ImportError(
        f'Lua needs lupa: python -m pip install ".[lua]" in a checkout of trisig ({error})', name=error.name
    ) from None

__all__ = ["lupa"]
