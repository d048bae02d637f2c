"""Numba kernels: front-to-back compositing of one tile at a time, and its gradients.

The inner loops run over the eight pixels of a tile's row and are written so that LLVM turns each
into straight-line vector code: a constant trip count, selections instead of branches, no call that
is not inlined, and all per-pixel state in one array at constant distances (so that no check for
overlap is needed).
"""

import inspect
import math

import numba
import numpy as np
from numba.extending import overload

from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.conventions import ALPHA_THRESHOLD, MAX_ALPHA, MIN_TRANSMITTANCE
from videorfsplat.rendering.numba_compile import compile_kernel

at.require_version(2)

WIDTH = np.uint64(at.TILE_WIDTH)
PIXELS = np.uint64(at.TILE_PIXELS)
# Splats between two looks at whether any pixel of the tile still lets light through: a look reads
# all pixels, as a splat does, and so costs a sixteenth at most.
CHECK_INTERVAL = 16

# No reassociation: the order of sums, and so the result, is that of the source.
_FASTMATH = {"contract", "nsz", "arcp"}

# Planes of a tile's state, forward: transmittance and the five sums.
_SUM_RED, _SUM_GREEN, _SUM_BLUE, _SUM_ALPHA, _SUM_DEPTH = (
    np.uint64(i) * PIXELS for i in range(1, 6)
)
# Planes backward: transmittance, what the Gaussians not yet met contribute to the loss, gradients
# of the five sums.
_REST, _V_RED, _V_GREEN, _V_BLUE, _V_ALPHA, _V_DEPTH = (np.uint64(i) * PIXELS for i in range(1, 7))
# Behind them the gradient sums of one splat, by column of the tile, as running totals down the
# rows: the row after the last one composited holds them. (One row of totals for all rows would be
# at no constant distance from the pixels.)
_TOTALS = 7 * at.TILE_PIXELS
_TOTAL_PLANE = at.TILE_PIXELS + at.TILE_WIDTH
_NUM_TOTALS = 7
_TOTAL_POWER, _TOTAL_Y, _TOTAL_YY, _TOTAL_RED, _TOTAL_GREEN, _TOTAL_BLUE, _TOTAL_DEPTH = (
    np.uint64(_TOTALS + i * _TOTAL_PLANE) for i in range(_NUM_TOTALS)
)


def _exp_negative(x):
    """exp(-x) for x ≥ 0."""
    return math.exp(-x)


@overload(_exp_negative, jit_options={"fastmath": {"contract"}})
def _overload_exp_negative(x):
    if x == numba.float64:
        return lambda x: math.exp(-x)
    return _exp_negative_float32


def _make_exp_negative_float32():
    log2_e, half, limit = np.float32(math.log2(math.e)), np.float32(0.5), np.float32(80)
    # Taylor coefficients of 2^f, |f| ≤ ½: the next term is at most 1.2e-7, float32's rounding.
    coefficients = tuple(np.float32(math.log(2) ** k / math.factorial(k)) for k in range(7))
    c0, c1, c2, c3, c4, c5, c6 = coefficients
    bias, mantissa_bits = np.int32(127), np.int32(23)

    def exp_negative(x):
        scaled = -(x if x < limit else limit) * log2_e
        whole = np.floor(scaled + half)
        f = scaled - whole
        power = c0 + f * (c1 + f * (c2 + f * (c3 + f * (c4 + f * (c5 + f * c6)))))
        exponent = np.int32(np.int32(np.int32(whole) + bias) << mantissa_bits)
        return power * exponent.view(np.float32)

    return inspect.unwrap(exp_negative)


_exp_negative_float32 = _make_exp_negative_float32()


@compile_kernel(fastmath=_FASTMATH)
def _rows_of(center, extent):
    """First and last row of the tile with a pixel centre within `extent` of `center`."""
    first = min(max(int(np.ceil(center - extent)), 0), at.TILE_HEIGHT)
    return first, min(int(np.floor(center + extent)), at.TILE_HEIGHT - 1)


@compile_kernel(fastmath=_FASTMATH)
def _open_tile(state, rows, columns):
    """Full transmittance on the pixels inside the image, none outside, all other planes zero."""
    state[:] = 0
    for row in range(rows):
        for column in range(columns):
            state[row * at.TILE_WIDTH + column] = 1


@compile_kernel(fastmath=_FASTMATH)
def _is_opaque(state):
    light = state[0]
    for i in range(1, at.TILE_PIXELS):
        light += state[i]
    return light == 0


@compile_kernel(fastmath=_FASTMATH)
def _composite_row(state, start, offset, power_x, power_xy, power_0, splat):
    """Composite one splat over one row of the tile."""
    real = state.dtype.type
    zero, one = real(0), real(1)
    threshold, ceiling, floor = real(ALPHA_THRESHOLD), real(MAX_ALPHA), real(MIN_TRANSMITTANCE)
    opacity, red, green, blue, depth = splat
    for lane in range(WIDTH):
        i = start + lane
        x = offset - real(lane)
        power = x * (power_x * x + power_xy) + power_0
        alpha = opacity * _exp_negative(power)
        alpha = ceiling if alpha > ceiling else alpha
        alpha = alpha if alpha >= threshold else zero
        alpha = alpha if power >= zero else zero
        light = state[i]
        after = light * (one - alpha)
        # A pixel that stops gets transmittance 0 and never opens again.
        weight = alpha * light if after > floor else zero
        state[i] = after if after > floor else zero
        state[i + _SUM_RED] += weight * red
        state[i + _SUM_GREEN] += weight * green
        state[i + _SUM_BLUE] += weight * blue
        state[i + _SUM_ALPHA] += weight
        state[i + _SUM_DEPTH] += weight * depth


@compile_kernel(fastmath=_FASTMATH)
def _composite_tile(splats, gaussian_ids, start, end, left, top, state):
    """Composite the pairs from `start` on until the tile is opaque; where it stopped."""
    real = state.dtype.type
    half = real(0.5)
    for pair in range(start, end):
        if (pair - start) % CHECK_INTERVAL == CHECK_INTERVAL - 1 and _is_opaque(state):
            return pair
        splat = splats[gaussian_ids[pair]]
        x = splat[at.MEAN_X] - real(left) - half
        y = splat[at.MEAN_Y] - real(top) - half
        power_x, power_y = half * splat[at.CONIC_XX], half * splat[at.CONIC_YY]
        appearance = (
            splat[at.OPACITY],
            splat[at.RED],
            splat[at.GREEN],
            splat[at.BLUE],
            splat[at.DEPTH],
        )
        first, last = _rows_of(y, splat[at.EXTENT_Y])
        for row in range(first, last + 1):
            dy = y - real(row)
            _composite_row(
                state,
                np.uint64(row) * WIDTH,
                x,
                power_x,
                splat[at.CONIC_XY] * dy,
                power_y * dy * dy,
                appearance,
            )
    return end


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def composite(splats, gaussian_ids, starts, ends, tile_ends, sums):
    """Composite all tiles of all views.

    Args:
        splats: [V,N,12].
        gaussian_ids: [P], by tile and depth.
        starts, ends: [V,rows,columns]: the pairs of each tile.
        tile_ends: output, as `starts`: end of the pairs that were looked at before the tile became
            opaque.
        sums: output [V,H,W,5]: weight times (red, green, blue, 1, depth).
    """
    num_views, num_rows, num_columns = starts.shape
    height, width = sums.shape[1], sums.shape[2]
    for strip in numba.prange(num_views * num_rows):
        v, tile_row = strip // num_rows, strip % num_rows
        top = tile_row * at.TILE_HEIGHT
        rows = min(at.TILE_HEIGHT, height - top)
        state = np.empty(6 * at.TILE_PIXELS, sums.dtype)
        for tile_column in range(num_columns):
            left = tile_column * at.TILE_WIDTH
            columns = min(at.TILE_WIDTH, width - left)
            _open_tile(state, rows, columns)
            start, end = starts[v, tile_row, tile_column], ends[v, tile_row, tile_column]
            tile_ends[v, tile_row, tile_column] = _composite_tile(
                splats[v], gaussian_ids, start, end, left, top, state
            )
            for row in range(rows):
                for column in range(columns):
                    for channel in range(5):
                        sums[v, top + row, left + column, channel] = state[
                            (channel + 1) * at.TILE_PIXELS + row * at.TILE_WIDTH + column
                        ]


@compile_kernel(fastmath=_FASTMATH)
def _composite_row_backward(state, start, offset, dy, power_x, power_xy, power_0, splat):
    """Add one row's part of the gradient sums of one splat, by lane."""
    real = state.dtype.type
    zero, one = real(0), real(1)
    threshold, ceiling, floor = real(ALPHA_THRESHOLD), real(MAX_ALPHA), real(MIN_TRANSMITTANCE)
    opacity, red, green, blue, depth = splat
    for lane in range(WIDTH):
        i = start + lane
        x = offset - real(lane)
        power = x * (power_x * x + power_xy) + power_0
        unclamped = opacity * _exp_negative(power)
        alpha = ceiling if unclamped > ceiling else unclamped
        alpha = alpha if alpha >= threshold else zero
        alpha = alpha if power >= zero else zero
        light = state[i]
        after = light * (one - alpha)
        alpha = alpha if after > floor else zero
        state[i] = after if after > floor else zero
        weight = alpha * light
        v_red, v_green, v_blue = state[i + _V_RED], state[i + _V_GREEN], state[i + _V_BLUE]
        v_depth = state[i + _V_DEPTH]
        v_weight = (
            red * v_red + green * v_green + blue * v_blue + depth * v_depth + state[i + _V_ALPHA]
        )
        rest = state[i + _REST] - weight * v_weight
        state[i + _REST] = rest
        v_alpha = light * v_weight - rest / (one - alpha)
        # The power acts through alpha only where the ceiling does not hold it.
        v_power = -alpha * v_alpha if unclamped <= ceiling else zero
        v_power_y = v_power * dy
        below = i + WIDTH
        state[below + _TOTAL_POWER] = state[i + _TOTAL_POWER] + v_power
        state[below + _TOTAL_Y] = state[i + _TOTAL_Y] + v_power_y
        state[below + _TOTAL_YY] = state[i + _TOTAL_YY] + v_power_y * dy
        state[below + _TOTAL_RED] = state[i + _TOTAL_RED] + weight * v_red
        state[below + _TOTAL_GREEN] = state[i + _TOTAL_GREEN] + weight * v_green
        state[below + _TOTAL_BLUE] = state[i + _TOTAL_BLUE] + weight * v_blue
        state[below + _TOTAL_DEPTH] = state[i + _TOTAL_DEPTH] + weight * v_depth


@compile_kernel(fastmath=_FASTMATH)
def _clear_totals(state, row):
    start = np.uint64(row) * WIDTH
    for lane in range(WIDTH):
        i = start + lane
        zero = state.dtype.type(0)
        state[i + _TOTAL_POWER] = zero
        state[i + _TOTAL_Y] = zero
        state[i + _TOTAL_YY] = zero
        state[i + _TOTAL_RED] = zero
        state[i + _TOTAL_GREEN] = zero
        state[i + _TOTAL_BLUE] = zero
        state[i + _TOTAL_DEPTH] = zero


@compile_kernel(fastmath=_FASTMATH)
def _reduce_totals(state, row, offset, sums):
    """Gradient sums of a splat in the tile from the totals by column in `row`."""
    real = state.dtype.type
    start = np.uint64(row) * WIDTH
    power, x1, x2, y1, xy, y2 = real(0), real(0), real(0), real(0), real(0), real(0)
    red, green, blue, depth = real(0), real(0), real(0), real(0)
    for lane in range(WIDTH):
        i = start + lane
        x = offset - real(lane)
        power_x = state[i + _TOTAL_POWER] * x
        power += state[i + _TOTAL_POWER]
        x1 += power_x
        x2 += power_x * x
        y1 += state[i + _TOTAL_Y]
        xy += state[i + _TOTAL_Y] * x
        y2 += state[i + _TOTAL_YY]
        red += state[i + _TOTAL_RED]
        green += state[i + _TOTAL_GREEN]
        blue += state[i + _TOTAL_BLUE]
        depth += state[i + _TOTAL_DEPTH]
    sums[at.SUM_POWER], sums[at.SUM_X], sums[at.SUM_Y] = power, x1, y1
    sums[at.SUM_XX], sums[at.SUM_XY], sums[at.SUM_YY] = x2, xy, y2
    sums[at.SUM_RED], sums[at.SUM_GREEN], sums[at.SUM_BLUE] = red, green, blue
    sums[at.SUM_DEPTH] = depth


@compile_kernel(fastmath=_FASTMATH)
def _composite_tile_backward(splats, gaussian_ids, start, end, left, top, state, tile_sums):
    real = state.dtype.type
    half = real(0.5)
    for pair in range(start, end):
        splat = splats[gaussian_ids[pair]]
        x = splat[at.MEAN_X] - real(left) - half
        y = splat[at.MEAN_Y] - real(top) - half
        power_x, power_y = half * splat[at.CONIC_XX], half * splat[at.CONIC_YY]
        appearance = (
            splat[at.OPACITY],
            splat[at.RED],
            splat[at.GREEN],
            splat[at.BLUE],
            splat[at.DEPTH],
        )
        first, last = _rows_of(y, splat[at.EXTENT_Y])
        _clear_totals(state, first)
        for row in range(first, last + 1):
            dy = y - real(row)
            _composite_row_backward(
                state,
                np.uint64(row) * WIDTH,
                x,
                dy,
                power_x,
                splat[at.CONIC_XY] * dy,
                power_y * dy * dy,
                appearance,
            )
        _reduce_totals(state, max(last + 1, first), x, tile_sums[pair])


@compile_kernel(fastmath=_FASTMATH)
def _load_gradients(state, sums, v_sums, top, left, rows, columns):
    """Fill a tile's planes of gradients, and of the whole contribution to the loss."""
    for row in range(rows):
        for column in range(columns):
            i = row * at.TILE_WIDTH + column
            for channel in range(5):
                v_sum = v_sums[top + row, left + column, channel]
                state[(channel + 2) * at.TILE_PIXELS + i] = v_sum
                state[at.TILE_PIXELS + i] += v_sum * sums[top + row, left + column, channel]


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def composite_backward(splats, gaussian_ids, starts, tile_ends, sums, v_sums, tile_sums):
    """Gradient sums of every pair of splat and tile that was composited.

    Walks from front to back again: the gradient of an alpha needs the contribution of all that lies
    behind, which is the whole contribution (known from `sums`) minus what was met so far.

    Args:
        splats, gaussian_ids, starts, tile_ends, sums: as in `composite`.
        v_sums: [V,H,W,5], gradient of `sums`.
        tile_sums: output [P,10]; pairs behind `tile_ends` are not written.
    """
    num_views, num_rows, num_columns = starts.shape
    height, width = sums.shape[1], sums.shape[2]
    for strip in numba.prange(num_views * num_rows):
        v, tile_row = strip // num_rows, strip % num_rows
        top = tile_row * at.TILE_HEIGHT
        rows = min(at.TILE_HEIGHT, height - top)
        state = np.empty(_TOTALS + _NUM_TOTALS * _TOTAL_PLANE, sums.dtype)
        for tile_column in range(num_columns):
            left = tile_column * at.TILE_WIDTH
            columns = min(at.TILE_WIDTH, width - left)
            _open_tile(state, rows, columns)
            _load_gradients(state, sums[v], v_sums[v], top, left, rows, columns)
            start, end = starts[v, tile_row, tile_column], tile_ends[v, tile_row, tile_column]
            _composite_tile_backward(
                splats[v], gaussian_ids, start, end, left, top, state, tile_sums
            )
