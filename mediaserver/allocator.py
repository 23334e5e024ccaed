"""Settings of the C library's memory allocator."""

import ctypes
import sys

MMAP_THRESHOLD = 1 << 18
"""Bytes from which a block is mapped on its own, and goes back to the system when it is freed."""

_M_MMAP_THRESHOLD = -3  # malloc.h


def return_large_blocks() -> bool:
    """Return freed pictures and frames to the system; False where the C library has no such setting.

    glibc raises the threshold to the size of what was freed, up to 32 MB (mallopt(3)): from then on such blocks come
    from heaps, which keep what was freed below a block that is still used.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD))
