"""Numba kernels: 3D Gaussians to splats, and gradients back; twin of the plain `projection.py`.

Every kernel takes float32 or float64 arrays and computes in their precision. Constants are cast
with `real(...)` because numba promotes float32 times a Python float to float64.
"""

import math

import numba
import numpy as np

from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.conventions import ALPHA_THRESHOLD, EPS2D, MAX_EXTENT
from videorfsplat.rendering.numba_compile import compile_kernel

at.require_version(1)

# No reassociation: the order of sums is that of the source.
_FASTMATH = {"contract", "nsz"}

# Gaussians that one thread takes at a time.
BLOCK = 1024
# The box of a splat is widened by this factor, so that rounding never loses a pixel that just
# passes the threshold.
EXTENT_SLACK = 1.001


@compile_kernel(fastmath=_FASTMATH)
def _unit_quaternion(quats, n):
    """The unit quaternion w, x, y, z, and one over the norm of the given one."""
    w, x, y, z = quats[n, 0], quats[n, 1], quats[n, 2], quats[n, 3]
    norm = max(math.sqrt(w * w + x * x + y * y + z * z), quats.dtype.type(1e-12))
    inverse_norm = quats.dtype.type(1) / norm
    return w * inverse_norm, x * inverse_norm, y * inverse_norm, z * inverse_norm, inverse_norm


@compile_kernel(fastmath=_FASTMATH)
def _rotation(w, x, y, z, one, two):
    """Rows of the rotation matrix of a unit quaternion."""
    return (
        (one - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)),
        (two * (x * y + w * z), one - two * (x * x + z * z), two * (y * z - w * x)),
        (two * (x * z - w * y), two * (y * z + w * x), one - two * (x * x + y * y)),
    )


@compile_kernel(fastmath=_FASTMATH)
def _scale(a, b):
    return a[0] * b[0], a[1] * b[1], a[2] * b[2]


@compile_kernel(fastmath=_FASTMATH)
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compile_kernel(fastmath=_FASTMATH)
def _combine(p, a, q, b):
    """The vector p·a + q·b."""
    return p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2]


@compile_kernel(fastmath=_FASTMATH)
def _multiply_symmetric(m, v):
    """The product of a symmetric matrix (xx, xy, xz, yy, yz, zz) and a vector."""
    return (
        m[0] * v[0] + m[1] * v[1] + m[2] * v[2],
        m[1] * v[0] + m[3] * v[1] + m[4] * v[2],
        m[2] * v[0] + m[4] * v[1] + m[5] * v[2],
    )


@compile_kernel(fastmath=_FASTMATH)
def _covariance(quats, scales, n):
    """World covariance of Gaussian n as (xx, xy, xz, yy, yz, zz)."""
    w, x, y, z, _ = _unit_quaternion(quats, n)
    rows = _rotation(w, x, y, z, quats.dtype.type(1), quats.dtype.type(2))
    lengths = (scales[n, 0], scales[n, 1], scales[n, 2])
    a, b, c = _scale(rows[0], lengths), _scale(rows[1], lengths), _scale(rows[2], lengths)
    return _dot(a, a), _dot(a, b), _dot(a, c), _dot(b, b), _dot(b, c), _dot(c, c)


@compile_kernel(fastmath=_FASTMATH)
def _axis(viewmats, v, row):
    """An axis of camera v in the world."""
    return viewmats[v, row, 0], viewmats[v, row, 1], viewmats[v, row, 2]


@compile_kernel(fastmath=_FASTMATH)
def _screen_axes(viewmats, lenses, v, slope_x, slope_y, inverse_z):
    """Rows of (Jacobian of perspective · camera rotation)."""
    forward = _axis(viewmats, v, 2)
    straight_x = lenses[v, at.FOCAL_X] * inverse_z
    straight_y = lenses[v, at.FOCAL_Y] * inverse_z
    row_x = _combine(straight_x, _axis(viewmats, v, 0), -straight_x * slope_x, forward)
    row_y = _combine(straight_y, _axis(viewmats, v, 1), -straight_y * slope_y, forward)
    return row_x, row_y


@compile_kernel(fastmath=_FASTMATH)
def _clamp(value, low, high):
    value = value if value > low else low
    return value if value < high else high


@compile_kernel(fastmath=_FASTMATH)
def _cover_tiles(low, high, limit, one, tile):
    """First and last tile with a pixel centre in [low, high]; first > last if there is none."""
    # Bounded before the conversion: a float beyond the integers would become any integer.
    first = int(np.ceil(_clamp(low, one - one, limit)))
    last = int(np.floor(_clamp(high, -one, limit - one)))
    return (first // tile, last // tile) if first <= last else (1, 0)


@compile_kernel(fastmath=_FASTMATH)
def _project_one(cov, extent, means, n, viewmats, lenses, v, limits, splats, rectangles):
    """Write the geometry of Gaussian n in view v; False if nothing of it can be seen."""
    real = means.dtype.type
    one, half = real(1), real(0.5)
    mean = (means[n, 0], means[n, 1], means[n, 2])
    z = _dot(_axis(viewmats, v, 2), mean) + viewmats[v, 2, 3]
    if not limits[0] <= z <= limits[1]:
        return False
    inverse_z = one / z
    slope_x = (_dot(_axis(viewmats, v, 0), mean) + viewmats[v, 0, 3]) * inverse_z
    slope_y = (_dot(_axis(viewmats, v, 1), mean) + viewmats[v, 1, 3]) * inverse_z
    row_x, row_y = _screen_axes(
        viewmats,
        lenses,
        v,
        _clamp(slope_x, lenses[v, at.SLOPE_X_MIN], lenses[v, at.SLOPE_X_MAX]),
        _clamp(slope_y, lenses[v, at.SLOPE_Y_MIN], lenses[v, at.SLOPE_Y_MAX]),
        inverse_z,
    )
    spread_x = _multiply_symmetric(cov, row_x)
    xx = _dot(row_x, spread_x) + real(EPS2D)
    xy = _dot(row_y, spread_x)
    yy = _dot(row_y, _multiply_symmetric(cov, row_y)) + real(EPS2D)
    determinant = xx * yy - xy * xy
    if not determinant > real(0):
        return False
    x = lenses[v, at.FOCAL_X] * slope_x + lenses[v, at.CENTER_X]
    y = lenses[v, at.FOCAL_Y] * slope_y + lenses[v, at.CENTER_Y]
    extent_x, extent_y = extent * math.sqrt(xx), extent * math.sqrt(yy)
    u, w = x - half, y - half  # integers at the pixel centres
    left, right = _cover_tiles(u - extent_x, u + extent_x, limits[2], one, at.TILE_WIDTH)
    top, bottom = _cover_tiles(w - extent_y, w + extent_y, limits[3], one, at.TILE_HEIGHT)
    if left > right or top > bottom:
        return False
    splat, rectangle = splats[v, n], rectangles[v, n]
    rectangle[at.FIRST_COLUMN], rectangle[at.LAST_COLUMN] = left, right
    rectangle[at.FIRST_ROW], rectangle[at.LAST_ROW] = top, bottom
    splat[at.MEAN_X], splat[at.MEAN_Y] = x, y
    inverse = one / determinant
    splat[at.CONIC_XX], splat[at.CONIC_XY], splat[at.CONIC_YY] = (
        yy * inverse,
        -xy * inverse,
        xx * inverse,
    )
    splat[at.DEPTH], splat[at.EXTENT_Y] = z, extent_y
    return True


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def project(means, quats, scales, opacities, colors, viewmats, lenses, limits, splats, rectangles):
    """Project every Gaussian into every view.

    Args:
        means, quats, scales, opacities: [N,3], [N,4], [N,3], [N].
        colors: [V,N,3], or [1,N,3] if they are the same in all views.
        viewmats: world→camera [V,4,4].
        lenses: camera constants [V,8].
        limits: near, far, width, height.
        splats: output [V,N,12]; a row is written only where something can be seen.
        rectangles: output [V,N,4], int32; empty (first > last) where nothing can be seen.
    """
    real = means.dtype.type
    num_gaussians, num_views = means.shape[0], viewmats.shape[0]
    for block in numba.prange((num_gaussians + BLOCK - 1) // BLOCK):
        for n in range(block * BLOCK, min(num_gaussians, (block + 1) * BLOCK)):
            opacity = opacities[n]
            for v in range(num_views):
                rectangles[v, n, at.FIRST_COLUMN], rectangles[v, n, at.LAST_COLUMN] = 1, 0
                rectangles[v, n, at.FIRST_ROW], rectangles[v, n, at.LAST_ROW] = 1, 0
            if not opacity >= real(ALPHA_THRESHOLD):
                continue
            reach = math.sqrt(real(2) * math.log(opacity / real(ALPHA_THRESHOLD)))
            extent = min(reach, real(MAX_EXTENT)) * real(EXTENT_SLACK)
            cov = _covariance(quats, scales, n)
            for v in range(num_views):
                if _project_one(
                    cov, extent, means, n, viewmats, lenses, v, limits, splats, rectangles
                ):
                    c = min(v, colors.shape[0] - 1)
                    splats[v, n, at.OPACITY] = opacity
                    splats[v, n, at.RED] = colors[c, n, 0]
                    splats[v, n, at.GREEN] = colors[c, n, 1]
                    splats[v, n, at.BLUE] = colors[c, n, 2]


@compile_kernel(fastmath=_FASTMATH)
def _covariance2d_gradient(splat, sums):
    """Gradients of the 2D covariance: xx, xy (standing for both off-diagonal entries), yy."""
    half = splat.dtype.type(0.5)
    a, b, c = splat[at.CONIC_XX], splat[at.CONIC_XY], splat[at.CONIC_YY]
    # Gradient of the conic as a symmetric matrix; then d(M⁻¹) = -M⁻¹ dM M⁻¹.
    gxx, gxy, gyy = half * sums[at.SUM_XX], half * sums[at.SUM_XY], half * sums[at.SUM_YY]
    pxx, pxy = gxx * a + gxy * b, gxx * b + gxy * c
    pyx, pyy = gxy * a + gyy * b, gxy * b + gyy * c
    off_diagonal = a * pxy + b * pyy
    return -(a * pxx + b * pyx), -(off_diagonal + off_diagonal), -(b * pxy + c * pyy)


@compile_kernel(fastmath=_FASTMATH)
def _add_outer(total, a, b):
    """Add a bᵀ + b aᵀ to the symmetric matrix `total` (xx, xy, xz, yy, yz, zz)."""
    total[0] += a[0] * b[0] + b[0] * a[0]
    total[1] += a[0] * b[1] + b[0] * a[1]
    total[2] += a[0] * b[2] + b[0] * a[2]
    total[3] += a[1] * b[1] + b[1] * a[1]
    total[4] += a[1] * b[2] + b[1] * a[2]
    total[5] += a[2] * b[2] + b[2] * a[2]


@compile_kernel(fastmath=_FASTMATH)
def _slant_gradient(slope, low, high, straight, v_straight, v_slanted, inverse_z):
    """Gradients of camera x (or y) and z through one Jacobian row: (f / z, -f · slope / z)."""
    v_z = -straight * inverse_z * v_straight
    if low <= slope <= high:
        # slope = x / z, so the slanted entry is -f x / z².
        v_x = -straight * inverse_z * v_slanted
        return v_x, v_z - (slope + slope) * v_x
    clamped = _clamp(slope, low, high)
    return slope - slope, v_z + straight * clamped * inverse_z * v_slanted


@compile_kernel(fastmath=_FASTMATH)
def _project_one_backward(cov, means, n, viewmats, lenses, v, splat, sums, v_mean, v_cov):
    """Add the gradients of mean and covariance of Gaussian n that come from view v."""
    half, zero = means.dtype.type(0.5), means.dtype.type(0)
    mean = (means[n, 0], means[n, 1], means[n, 2])
    right, down, forward = _axis(viewmats, v, 0), _axis(viewmats, v, 1), _axis(viewmats, v, 2)
    inverse_z = means.dtype.type(1) / splat[at.DEPTH]
    slope_x = (_dot(right, mean) + viewmats[v, 0, 3]) * inverse_z
    slope_y = (_dot(down, mean) + viewmats[v, 1, 3]) * inverse_z
    low_x, high_x = lenses[v, at.SLOPE_X_MIN], lenses[v, at.SLOPE_X_MAX]
    low_y, high_y = lenses[v, at.SLOPE_Y_MIN], lenses[v, at.SLOPE_Y_MAX]
    row_x, row_y = _screen_axes(
        viewmats,
        lenses,
        v,
        _clamp(slope_x, low_x, high_x),
        _clamp(slope_y, low_y, high_y),
        inverse_z,
    )
    v_xx, v_xy, v_yy = _covariance2d_gradient(splat, sums)
    spread_x, spread_y = _multiply_symmetric(cov, row_x), _multiply_symmetric(cov, row_y)
    # xx = r_x Σ r_x, xy = r_x Σ r_y, yy = r_y Σ r_y; each outer product is added with its
    # transpose, hence the halves.
    _add_outer(v_cov, _combine(half * v_xx, row_x, half * v_xy, row_y), row_x)
    _add_outer(v_cov, _combine(half * v_yy, row_y, zero, row_x), row_y)
    v_row_x = _combine(v_xx + v_xx, spread_x, v_xy, spread_y)
    v_row_y = _combine(v_yy + v_yy, spread_y, v_xy, spread_x)
    straight_x, straight_y = (
        lenses[v, at.FOCAL_X] * inverse_z,
        lenses[v, at.FOCAL_Y] * inverse_z,
    )
    v_x, v_z_x = _slant_gradient(
        slope_x,
        low_x,
        high_x,
        straight_x,
        _dot(v_row_x, right),
        _dot(v_row_x, forward),
        inverse_z,
    )
    v_y, v_z_y = _slant_gradient(
        slope_y,
        low_y,
        high_y,
        straight_y,
        _dot(v_row_y, down),
        _dot(v_row_y, forward),
        inverse_z,
    )
    v_u = splat[at.CONIC_XX] * sums[at.SUM_X] + splat[at.CONIC_XY] * sums[at.SUM_Y]
    v_v = splat[at.CONIC_XY] * sums[at.SUM_X] + splat[at.CONIC_YY] * sums[at.SUM_Y]
    v_x += straight_x * v_u
    v_y += straight_y * v_v
    v_z = v_z_x + v_z_y + sums[at.SUM_DEPTH]
    v_z -= straight_x * slope_x * v_u + straight_y * slope_y * v_v
    for i in range(3):
        v_mean[i] += v_x * right[i] + v_y * down[i] + v_z * forward[i]


@compile_kernel(fastmath=_FASTMATH)
def _quaternion_gradient(w, x, y, z, v_a, v_b, v_c):
    """Gradient of the unit quaternion from those of the rotation's columns a, b, c."""
    v_w = x * (v_b[2] - v_c[1]) + y * (v_c[0] - v_a[2]) + z * (v_a[1] - v_b[0])
    v_x = w * (v_b[2] - v_c[1]) + y * (v_a[1] + v_b[0]) + z * (v_a[2] + v_c[0])
    v_x -= (x + x) * (v_b[1] + v_c[2])
    v_y = w * (v_c[0] - v_a[2]) + x * (v_a[1] + v_b[0]) + z * (v_b[2] + v_c[1])
    v_y -= (y + y) * (v_a[0] + v_c[2])
    v_z = w * (v_a[1] - v_b[0]) + x * (v_a[2] + v_c[0]) + y * (v_b[2] + v_c[1])
    v_z -= (z + z) * (v_a[0] + v_b[1])
    return v_w + v_w, v_x + v_x, v_y + v_y, v_z + v_z


@compile_kernel(fastmath=_FASTMATH)
def _column_gradient(v_cov, rows, k, length):
    """For Σ = Σ_k l_k² c_k c_kᵀ: gradients of the rotation's column c_k and of the length l_k."""
    column = (rows[0][k], rows[1][k], rows[2][k])
    product = _multiply_symmetric(v_cov, column)
    v_column = _combine(length * length, product, length * length, product)
    return v_column, _dot(product, column) * (length + length)


@compile_kernel(fastmath=_FASTMATH)
def _covariance_backward(quats, scales, n, v_cov, v_quats, v_scales):
    """Write the gradients of quaternion and scales of Gaussian n, given that of its covariance."""
    w, x, y, z, inverse_norm = _unit_quaternion(quats, n)
    rows = _rotation(w, x, y, z, quats.dtype.type(1), quats.dtype.type(2))
    v_a, v_scales[n, 0] = _column_gradient(v_cov, rows, 0, scales[n, 0])
    v_b, v_scales[n, 1] = _column_gradient(v_cov, rows, 1, scales[n, 1])
    v_c, v_scales[n, 2] = _column_gradient(v_cov, rows, 2, scales[n, 2])
    v_w, v_x, v_y, v_z = _quaternion_gradient(w, x, y, z, v_a, v_b, v_c)
    # Through the normalisation: the part along the quaternion does nothing.
    along = v_w * w + v_x * x + v_y * y + v_z * z
    v_quats[n, 0] = (v_w - along * w) * inverse_norm
    v_quats[n, 1] = (v_x - along * x) * inverse_norm
    v_quats[n, 2] = (v_y - along * y) * inverse_norm
    v_quats[n, 3] = (v_z - along * z) * inverse_norm


@compile_kernel(fastmath=_FASTMATH)
def _gather_sums(rectangle, tile_ends, slots, first, tile_sums, sums):
    """Total of a splat's gradient sums over its tiles; False if no tile composited it.

    Always in the order of the tiles, so that results do not depend on the number of threads.
    """
    sums[:] = 0
    found = False
    k = first
    for row in range(rectangle[at.FIRST_ROW], rectangle[at.LAST_ROW] + 1):
        for column in range(rectangle[at.FIRST_COLUMN], rectangle[at.LAST_COLUMN] + 1):
            slot = slots[k]
            k += 1
            if slot < tile_ends[row, column]:
                found = True
                for i in range(at.SUM_COLUMNS):
                    sums[i] += tile_sums[slot, i]
    return found


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def project_backward(
    means,
    quats,
    scales,
    colors,
    viewmats,
    lenses,
    splats,
    rectangles,
    tile_ends,
    firsts,
    slots,
    tile_sums,
    v_means,
    v_quats,
    v_scales,
    v_opacities,
    v_colors,
):
    """Gradients of every Gaussian from the gradient sums of its splats in all tiles of all views.

    Args:
        tile_ends: [V,rows,columns], end of the pairs of each tile that were composited.
        firsts: [V,N], where the tiles of each splat begin in `slots`.
        slots: pair (row of `tile_sums`) of each splat and tile.
        tile_sums: [P,10].
        v_means, v_quats, v_scales, v_opacities, v_colors: outputs, zero on entry.
    """
    num_gaussians, num_views = means.shape[0], viewmats.shape[0]
    for block in numba.prange((num_gaussians + BLOCK - 1) // BLOCK):
        sums = np.empty(at.SUM_COLUMNS, means.dtype)
        v_cov = np.empty(6, means.dtype)
        for n in range(block * BLOCK, min(num_gaussians, (block + 1) * BLOCK)):
            v_cov[:] = 0
            seen = False
            cov = _covariance(quats, scales, n)
            for v in range(num_views):
                if not _gather_sums(
                    rectangles[v, n], tile_ends[v], slots, firsts[v, n], tile_sums, sums
                ):
                    continue
                seen = True
                splat = splats[v, n]
                _project_one_backward(
                    cov, means, n, viewmats, lenses, v, splat, sums, v_means[n], v_cov
                )
                c = min(v, colors.shape[0] - 1)
                v_colors[c, n, 0] += sums[at.SUM_RED]
                v_colors[c, n, 1] += sums[at.SUM_GREEN]
                v_colors[c, n, 2] += sums[at.SUM_BLUE]
                v_opacities[n] -= sums[at.SUM_POWER] / splat[at.OPACITY]
            if seen:
                _covariance_backward(quats, scales, n, v_cov, v_quats, v_scales)
