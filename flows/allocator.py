"""The C library's memory allocator, kept from holding on to what threads have freed."""

import ctypes
import os
import sys

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def share_one_arena() -> bool:
    """Have all threads of this process, and of those it starts, take memory from one arena.

    glibc gives threads arenas of their own, and each keeps what its thread has freed, in pieces:
    through a video or a large set, where arrays pass from thread to thread, that grows to hundreds
    of megabytes. Extraction is no slower with one (tests/benchmarks/RESULTS.md).
    Must come before threads are started. Returns whether the allocator is one that listens.
    """
    os.environ.setdefault("MALLOC_ARENA_MAX", "1")
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_ARENA_MAX, 1) == 1
