"""Numba kernels: the splats that each tile has to composite, in depth order, by counting sort."""

import numba
import numpy as np

from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.numba_compile import compile_kernel

at.require_version(2)

# 2,048 counters of four bytes lie in the fastest cache; keys of up to 33 bits take three passes.
_DIGIT_BITS = 11
_DIGIT_MASK = (1 << _DIGIT_BITS) - 1


@compile_kernel()
def _sort_digit(keys, ids, sorted_keys, sorted_ids, shift, counts):
    """One stable pass of the radix sort."""
    for digit in range(counts.shape[0]):
        counts[digit] = 0
    for i in range(keys.shape[0]):
        counts[(keys[i] >> shift) & _DIGIT_MASK] += 1
    start = 0
    for digit in range(counts.shape[0]):
        count = counts[digit]
        counts[digit] = start
        start += count
    for i in range(keys.shape[0]):
        digit = (keys[i] >> shift) & _DIGIT_MASK
        place = counts[digit]
        counts[digit] = place + 1
        sorted_keys[place], sorted_ids[place] = keys[i], ids[i]


@compile_kernel()
def _sort_by_key(keys, ids):
    """The `ids` sorted (stably) by their non-negative integer `keys`. Overwrites both."""
    # Only the bits in which the keys differ are sorted by.
    lowest, highest = keys[0], keys[0]
    for key in keys:
        lowest, highest = min(lowest, key), max(highest, key)
    for i in range(keys.shape[0]):
        keys[i] -= lowest
    other_keys, other_ids = np.empty_like(keys), np.empty_like(ids)
    counts = np.empty(_DIGIT_MASK + 1, np.int32)
    shift = 0
    while (highest - lowest) >> shift:
        _sort_digit(keys, ids, other_keys, other_ids, shift, counts)
        keys, ids, other_keys, other_ids = other_keys, other_ids, keys, ids
        shift += _DIGIT_BITS
    return ids


@compile_kernel()
def _count_view(rectangles, firsts, counts):
    """Pairs of splat and tile of one view, in all and by tile; number of splats with any."""
    total, num_seen = 0, 0
    for n in range(rectangles.shape[0]):
        left, right = rectangles[n, at.FIRST_COLUMN], rectangles[n, at.LAST_COLUMN]
        firsts[n] = total
        if left > right:
            continue
        num_seen += 1
        for row in range(rectangles[n, at.FIRST_ROW], rectangles[n, at.LAST_ROW] + 1):
            total += right - left + 1
            for column in range(left, right + 1):
                counts[row, column] += 1
    return total, num_seen


@compile_kernel(parallel=True)
def count_pairs(rectangles, firsts, counts, totals):
    """Count the pairs of splat and tile.

    Args:
        rectangles: [V,N,4].
        firsts: output [V,N]: where each Gaussian's begin in the view's pairs by Gaussian.
        counts: output [V,rows,columns], zero on entry: pairs of each tile.
        totals: output [V,2]: pairs, and splats with any, of each view.
    """
    for v in numba.prange(rectangles.shape[0]):
        totals[v, 0], totals[v, 1] = _count_view(rectangles[v], firsts[v], counts[v])


@compile_kernel()
def _order_by_depth(depth_bits, rectangles, num_seen):
    """Gaussians with any tile, from near to far."""
    keys, ids = np.empty(num_seen, depth_bits.dtype), np.empty(num_seen, np.int32)
    seen = 0
    for n in range(rectangles.shape[0]):
        if rectangles[n, at.FIRST_COLUMN] <= rectangles[n, at.LAST_COLUMN]:
            keys[seen], ids[seen] = depth_bits[n], n
            seen += 1
    return _sort_by_key(keys, ids) if num_seen > 0 else ids


@compile_kernel()
def _fill_view(order, rectangles, firsts, cursors, gaussian_ids, slots):
    """Append each Gaussian to the lists of its tiles; `cursors` move from start to end."""
    for n in order:
        k = firsts[n]
        left, right = rectangles[n, at.FIRST_COLUMN], rectangles[n, at.LAST_COLUMN]
        for row in range(rectangles[n, at.FIRST_ROW], rectangles[n, at.LAST_ROW] + 1):
            for column in range(left, right + 1):
                slot = cursors[row, column]
                cursors[row, column] = slot + 1
                gaussian_ids[slot] = n
                slots[k] = slot
                k += 1


@compile_kernel(parallel=True)
def fill_pairs(depth_bits, rectangles, firsts, ends, totals, gaussian_ids, slots):
    """List the Gaussians of each tile from near to far; equal depths keep their order.

    Args:
        depth_bits: [V,N], positive floats read as integers, which sort as the floats do.
        rectangles, totals: as `count_pairs` left them.
        firsts: [V,N], as `count_pairs` left them, but counted over all views.
        ends: [V,rows,columns]: start of each tile in `gaussian_ids` on entry, end on return.
        gaussian_ids: output [P].
        slots: output [P]: the place in `gaussian_ids` of each pair in the list by Gaussian.
    """
    for v in numba.prange(rectangles.shape[0]):
        order = _order_by_depth(depth_bits[v], rectangles[v], totals[v, 1])
        _fill_view(order, rectangles[v], firsts[v], ends[v], gaussian_ids, slots)
