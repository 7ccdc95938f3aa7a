"""What is done last before workers are forked, so that they write to fewer of the pages that they share."""

import gc
import sys

# What fills the holes, for good.
KEPT = []

# As large as a piece of the allocator's memory that has one size of blocks (a pool of Objects/obmalloc.c) since CPython 3.10.
POOL = 16 << 10
# The allocator's own sizes end with this; each is a multiple of 16.
LARGEST = 512
# For each size. An allocator that is another one has no pools, and must not be asked for ever.
AT_MOST = 8 * POOL


def settle():
    """All of it."""
    gc.collect()
    forget_lookups()
    for size in range(48, LARGEST + 1, 16):
        fill_holes(size)


def forget_lookups():
    """Empties the interpreter's cache of attributes of types, which the loading has filled.

    It counts references to the names in it, so that each name that requests look up would write to two strings, in two pages: to its own, and to
    that of the name whose place it takes.
    """
    # The former since CPython 3.13, which deprecates the latter.
    forget = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
    forget()


def fill_holes(size):
    """Has blocks of this size come from pools that nobody has used yet.

    Requests would otherwise make their objects in the holes between those of the modules, a page here and a page there.
    """
    content = size - sys.getsizeof(b"")
    last, run, total = 0, 0, 0
    while run < POOL - 2 * size and total < AT_MOST:
        KEPT.append(bytes(content))
        address = id(KEPT[-1])
        # One behind the other: that is a pool in which all was free.
        run = run + size if address == last + size else 0
        last, total = address, total + size
