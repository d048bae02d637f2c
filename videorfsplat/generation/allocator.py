"""What the C library does with memory that tensors free."""

import ctypes
import sys

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next tensors.

    glibc gives every block of more than 32 MB back to the system when it is freed, and smaller
    ones at the top of the heap too. Work that allocates the same large tensors at every step then
    pays for page faults, and for pages filled with zeros, again and again. The process stays as
    large as it ever was, which suits a command that ends, or a page that does the same thing all
    day.

    Returns:
        Whether the C library did so: glibc on Linux does, others have no such settings.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    # A trim threshold of -1 is the largest there is: the top of the heap is never given back.
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, -1))
