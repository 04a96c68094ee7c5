"""Large memory that is taken once, used again and again, and given back whole.

Memory from the C library's heap is touched anew by every thread that takes it, and what is freed
between two living pieces stays with the process. A mapping of its own has neither fault, and with
large pages its first touch costs a fraction (docs/performance.md).
"""

from __future__ import annotations

import mmap
from contextlib import suppress

_PRIVATE: int = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
_LARGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)


def reusable(size: int) -> memoryview:
    """Writable zeros outside the heap; given back to the system when no view of them is left.

    Args:
        size: bytes; what is never touched costs nothing.
    """
    if _PRIVATE:
        mapping = mmap.mmap(-1, max(size, 1), flags=_PRIVATE)
    else:
        mapping = mmap.mmap(-1, max(size, 1))
    if _LARGE_PAGES is not None:
        # a kernel without large pages refuses, which only makes the first touch slower
        with suppress(OSError):
            mapping.madvise(_LARGE_PAGES)
    return memoryview(mapping)[:size]
