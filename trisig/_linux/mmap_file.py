"""Mapping a file without keeping a descriptor for it.

`mmap.mmap` duplicates the descriptor that it is given, up to Python 3.13 without a choice, and holds the copy until
the last view of the memory is gone. A journal's views live as long as somebody keeps its master; its descriptor,
which holds the lock, must not.
"""

from __future__ import annotations

import ctypes
import weakref

from .libc import last_error, libc

_PROT_READ, _PROT_WRITE = 1, 2
_MAP_SHARED = 1
_FAILED = ctypes.c_void_p(-1).value

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)


def map_file(fd: int, size: int, *, offset: int = 0) -> memoryview:
    """Map a part of a file, shared and writable, until the last view of it is gone.

    Args:
        fd: the file; may be closed afterwards.
        size: in bytes.
        offset: of the first byte, a multiple of the page size.

    Raises:
        OSError: the kernel refused.
    """
    address = libc.mmap(None, size, _PROT_READ | _PROT_WRITE, _MAP_SHARED, fd, offset)
    if address == _FAILED:
        raise last_error()
    memory = (ctypes.c_ubyte * size).from_address(address)
    unmapped = weakref.finalize(memory, libc.munmap, address, size)
    unmapped.atexit = False
    return memoryview(memory).cast("B")
