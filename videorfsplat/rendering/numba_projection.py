"""Numba kernels: 3D Gaussians to splats, and gradients back; twin of the plain `projection.py`.

Gaussians are taken in blocks whose values lie in planes of one small array, one lane each, so that
LLVM turns the loops over lanes into vector code (see `numba_compositing.py` for the conditions).
Kernels compute in the precision of their arrays. Constants are cast with `real(...)` because numba
promotes float32 times a Python float to float64.
"""

import math

import numba
import numpy as np

from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.conventions import ALPHA_THRESHOLD, EPS2D, MAX_EXTENT
from videorfsplat.rendering.numba_compile import compile_kernel

at.require_version(2)

# No reassociation: the order of sums is that of the source.
_FASTMATH = {"contract", "nsz"}
_HELPER = {"fastmath": _FASTMATH, "forceinline": True}

# The box of a splat is widened by this factor, so that rounding never loses a pixel that just
# passes the threshold.
EXTENT_SLACK = 1.001

# Gaussians of a block.
_LANES = 64
_NUM_LANES = np.uint64(_LANES)
# Planes of a block: the Gaussians, ...
_X, _Y, _Z, _QW, _QX, _QY, _QZ, _S0, _S1, _S2, _REACH, _COV = (
    np.uint64(i * _LANES) for i in range(12)
)
# ... their splats in one view (the covariance takes six planes), ...
_U, _V, _CONIC_XX, _CONIC_XY, _CONIC_YY, _DEPTH, _EXTENT_Y, _LEFT, _RIGHT, _TOP, _BOTTOM = (
    np.uint64(i * _LANES) for i in range(17, 28)
)
# ... the gradient sums of those splats, and the gradients of the Gaussians so far.
_SEEN, _SUM_X, _SUM_Y, _SUM_XX, _SUM_XY, _SUM_YY, _SUM_DEPTH, _V_X, _V_Y, _V_Z, _V_COV = (
    np.uint64(i * _LANES) for i in range(28, 39)
)
_V_QW, _V_QX, _V_QY, _V_QZ, _V_S0, _V_S1, _V_S2 = (np.uint64(i * _LANES) for i in range(44, 51))
_NUM_PLANES = 51


@compile_kernel(**_HELPER)
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compile_kernel(**_HELPER)
def _combine(p, a, q, b):
    """The vector p·a + q·b."""
    return p * a[0] + q * b[0], p * a[1] + q * b[1], p * a[2] + q * b[2]


@compile_kernel(**_HELPER)
def _clamp(value, low, high):
    value = value if value > low else low
    return value if value < high else high


@compile_kernel(**_HELPER)
def _load_symmetric(block, plane, lane):
    """A symmetric matrix (xx, xy, xz, yy, yz, zz) of six planes."""
    i = plane + lane
    return (
        block[i],
        block[i + _NUM_LANES],
        block[i + np.uint64(2) * _NUM_LANES],
        block[i + np.uint64(3) * _NUM_LANES],
        block[i + np.uint64(4) * _NUM_LANES],
        block[i + np.uint64(5) * _NUM_LANES],
    )


@compile_kernel(**_HELPER)
def _store_symmetric(block, plane, lane, m):
    i = plane + lane
    block[i], block[i + _NUM_LANES] = m[0], m[1]
    block[i + np.uint64(2) * _NUM_LANES], block[i + np.uint64(3) * _NUM_LANES] = m[2], m[3]
    block[i + np.uint64(4) * _NUM_LANES], block[i + np.uint64(5) * _NUM_LANES] = m[4], m[5]


@compile_kernel(**_HELPER)
def _multiply_symmetric(m, v):
    return (
        m[0] * v[0] + m[1] * v[1] + m[2] * v[2],
        m[1] * v[0] + m[3] * v[1] + m[4] * v[2],
        m[2] * v[0] + m[4] * v[1] + m[5] * v[2],
    )


@compile_kernel(**_HELPER)
def _unit_quaternion(block, lane):
    """The unit quaternion w, x, y, z, and one over the norm of the given one."""
    real = block.dtype.type
    w, x, y, z = block[_QW + lane], block[_QX + lane], block[_QY + lane], block[_QZ + lane]
    norm = math.sqrt(w * w + x * x + y * y + z * z)
    scale = real(1) / (norm if norm > real(1e-12) else real(1e-12))
    return w * scale, x * scale, y * scale, z * scale, scale


@compile_kernel(**_HELPER)
def _rotation(w, x, y, z, one, two):
    """Columns of the rotation matrix of a unit quaternion."""
    return (
        (one - two * (y * y + z * z), two * (x * y + w * z), two * (x * z - w * y)),
        (two * (x * y - w * z), one - two * (x * x + z * z), two * (y * z + w * x)),
        (two * (x * z + w * y), two * (y * z - w * x), one - two * (x * x + y * y)),
    )


@compile_kernel(**_HELPER)
def _load_block(block, means, quats, scales, opacities, first):
    """Load the Gaussians from `first` on; lanes beyond the last one repeat it."""
    real = block.dtype.type
    for i in range(_LANES):
        n = min(first + i, means.shape[0] - 1)
        lane = np.uint64(i)
        block[_X + lane], block[_Y + lane], block[_Z + lane] = means[n, 0], means[n, 1], means[n, 2]
        block[_QW + lane], block[_QX + lane] = quats[n, 0], quats[n, 1]
        block[_QY + lane], block[_QZ + lane] = quats[n, 2], quats[n, 3]
        block[_S0 + lane], block[_S1 + lane] = scales[n, 0], scales[n, 1]
        block[_S2 + lane] = scales[n, 2]
        reach = real(-1)
        if opacities[n] >= real(ALPHA_THRESHOLD):
            reach = math.sqrt(real(2) * math.log(opacities[n] / real(ALPHA_THRESHOLD)))
            reach = min(reach, real(MAX_EXTENT)) * real(EXTENT_SLACK)
        block[_REACH + lane] = reach


@compile_kernel(**_HELPER)
def _compute_covariances(block):
    """World covariance R S Sᵀ Rᵀ of every lane."""
    real = block.dtype.type
    for lane in range(_NUM_LANES):
        w, x, y, z, _ = _unit_quaternion(block, lane)
        a, b, c = _rotation(w, x, y, z, real(1), real(2))
        s, t, u = block[_S0 + lane], block[_S1 + lane], block[_S2 + lane]
        s, t, u = s * s, t * t, u * u
        covariance = (
            s * a[0] * a[0] + t * b[0] * b[0] + u * c[0] * c[0],
            s * a[0] * a[1] + t * b[0] * b[1] + u * c[0] * c[1],
            s * a[0] * a[2] + t * b[0] * b[2] + u * c[0] * c[2],
            s * a[1] * a[1] + t * b[1] * b[1] + u * c[1] * c[1],
            s * a[1] * a[2] + t * b[1] * b[2] + u * c[1] * c[2],
            s * a[2] * a[2] + t * b[2] * b[2] + u * c[2] * c[2],
        )
        _store_symmetric(block, _COV, lane, covariance)


@compile_kernel(**_HELPER)
def _load_camera(viewmats, lenses, v):
    """Camera axes (right, down, forward) in the world, translation, and the eight constants."""
    m, k = viewmats[v], lenses[v]
    return (
        (m[0, 0], m[0, 1], m[0, 2]),
        (m[1, 0], m[1, 1], m[1, 2]),
        (m[2, 0], m[2, 1], m[2, 2]),
        (m[0, 3], m[1, 3], m[2, 3]),
        (k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7]),
    )


@compile_kernel(**_HELPER)
def _screen_axes(camera, slope_x, slope_y, inverse_z):
    """Rows of (Jacobian of perspective · camera rotation), slopes kept near the image."""
    right, down, forward, _, lens = camera
    slope_x = _clamp(slope_x, lens[at.SLOPE_X_MIN], lens[at.SLOPE_X_MAX])
    slope_y = _clamp(slope_y, lens[at.SLOPE_Y_MIN], lens[at.SLOPE_Y_MAX])
    straight_x, straight_y = lens[at.FOCAL_X] * inverse_z, lens[at.FOCAL_Y] * inverse_z
    return (
        _combine(straight_x, right, -straight_x * slope_x, forward),
        _combine(straight_y, down, -straight_y * slope_y, forward),
    )


@compile_kernel(**_HELPER)
def _project_block(block, camera, near, far, width, height):
    """Splats of every lane in one view, and the pixels they cover: none if RIGHT is -1."""
    real = block.dtype.type
    zero, one, half = real(0), real(1), real(0.5)
    right, down, forward, translation, lens = camera
    for lane in range(_NUM_LANES):
        mean = (block[_X + lane], block[_Y + lane], block[_Z + lane])
        z = _dot(forward, mean) + translation[2]
        inverse_z = one / z
        slope_x = (_dot(right, mean) + translation[0]) * inverse_z
        slope_y = (_dot(down, mean) + translation[1]) * inverse_z
        row_x, row_y = _screen_axes(camera, slope_x, slope_y, inverse_z)
        covariance = _load_symmetric(block, _COV, lane)
        spread_x = _multiply_symmetric(covariance, row_x)
        xx = _dot(row_x, spread_x) + real(EPS2D)
        xy = _dot(row_y, spread_x)
        yy = _dot(row_y, _multiply_symmetric(covariance, row_y)) + real(EPS2D)
        determinant = xx * yy - xy * xy
        inverse = one / determinant
        # Measured from the centre of the first pixel.
        x = lens[at.FOCAL_X] * slope_x + lens[at.CENTER_X] - half
        y = lens[at.FOCAL_Y] * slope_y + lens[at.CENTER_Y] - half
        reach = block[_REACH + lane]
        extent_x, extent_y = reach * math.sqrt(xx), reach * math.sqrt(yy)
        block[_U + lane], block[_V + lane], block[_DEPTH + lane] = x + half, y + half, z
        block[_CONIC_XX + lane], block[_CONIC_YY + lane] = yy * inverse, xx * inverse
        block[_CONIC_XY + lane], block[_EXTENT_Y + lane] = -xy * inverse, extent_y
        block[_LEFT + lane] = np.ceil(_clamp(x - extent_x, zero, width))
        block[_TOP + lane] = np.ceil(_clamp(y - extent_y, zero, height))
        block[_BOTTOM + lane] = np.floor(_clamp(y + extent_y, -one, height - one))
        last = np.floor(_clamp(x + extent_x, -one, width - one))
        last = last if z >= near else -one
        last = last if z <= far else -one
        last = last if determinant > zero else -one
        block[_RIGHT + lane] = last if reach > zero else -one


@compile_kernel(**_HELPER)
def _store_splat(block, lane, splat, rectangle):
    """Write one lane's splat and the tiles it touches; False if there are none."""
    left, right = block[_LEFT + lane], block[_RIGHT + lane]
    top, bottom = block[_TOP + lane], block[_BOTTOM + lane]
    if left > right or top > bottom:
        rectangle[at.FIRST_COLUMN], rectangle[at.LAST_COLUMN] = 1, 0
        return False
    rectangle[at.FIRST_COLUMN] = int(left) // at.TILE_WIDTH
    rectangle[at.LAST_COLUMN] = int(right) // at.TILE_WIDTH
    rectangle[at.FIRST_ROW] = int(top) // at.TILE_HEIGHT
    rectangle[at.LAST_ROW] = int(bottom) // at.TILE_HEIGHT
    splat[at.MEAN_X], splat[at.MEAN_Y] = block[_U + lane], block[_V + lane]
    splat[at.CONIC_XX], splat[at.CONIC_XY] = block[_CONIC_XX + lane], block[_CONIC_XY + lane]
    splat[at.CONIC_YY], splat[at.DEPTH] = block[_CONIC_YY + lane], block[_DEPTH + lane]
    splat[at.EXTENT_Y] = block[_EXTENT_Y + lane]
    return True


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def project(
    means, quats, scales, opacities, colors, viewmats, lenses, limits, splats, depths, rectangles
):
    """Project every Gaussian into every view.

    Args:
        means, quats, scales, opacities: [N,3], [N,4], [N,3], [N].
        colors: [V,N,3], or [1,N,3] if they are the same in all views.
        viewmats: world→camera [V,4,4].
        lenses: camera constants [V,8].
        limits: near, far, width, height.
        splats: output [V,N,12]; a row is written only where something can be seen.
        depths: output [V,N], once more by themselves, for the sort.
        rectangles: output [V,N,4], int16; no columns (first > last) where nothing can be seen.
    """
    num_gaussians, num_views = means.shape[0], viewmats.shape[0]
    for block_index in numba.prange((num_gaussians + _LANES - 1) // _LANES):
        block = np.empty(_NUM_PLANES * _LANES, means.dtype)
        first = block_index * _LANES
        _load_block(block, means, quats, scales, opacities, first)
        _compute_covariances(block)
        for v in range(num_views):
            camera = _load_camera(viewmats, lenses, v)
            _project_block(block, camera, limits[0], limits[1], limits[2], limits[3])
            c = min(v, colors.shape[0] - 1)
            for n in range(first, min(first + _LANES, num_gaussians)):
                if _store_splat(block, np.uint64(n - first), splats[v, n], rectangles[v, n]):
                    depths[v, n] = splats[v, n, at.DEPTH]
                    splats[v, n, at.OPACITY] = opacities[n]
                    splats[v, n, at.RED] = colors[c, n, 0]
                    splats[v, n, at.GREEN] = colors[c, n, 1]
                    splats[v, n, at.BLUE] = colors[c, n, 2]


@compile_kernel(**_HELPER)
def _covariance2d_gradient(block, lane):
    """Gradients of the 2D covariance: xx, xy (standing for both off-diagonal entries), yy."""
    half = block.dtype.type(0.5)
    a, b, c = block[_CONIC_XX + lane], block[_CONIC_XY + lane], block[_CONIC_YY + lane]
    # Gradient of the conic as a symmetric matrix; then d(M⁻¹) = -M⁻¹ dM M⁻¹.
    gxx, gxy = half * block[_SUM_XX + lane], half * block[_SUM_XY + lane]
    gyy = half * block[_SUM_YY + lane]
    pxx, pxy = gxx * a + gxy * b, gxx * b + gxy * c
    pyx, pyy = gxy * a + gyy * b, gxy * b + gyy * c
    off_diagonal = a * pxy + b * pyy
    return -(a * pxx + b * pyx), -(off_diagonal + off_diagonal), -(b * pxy + c * pyy)


@compile_kernel(**_HELPER)
def _add_covariance_gradient(block, lane, v_xx, v_xy, v_yy, r, s, seen):
    """Add the gradient of Σ through xx = r Σ r, xy = r Σ s and yy = s Σ s, a symmetric matrix."""
    zero, half = block.dtype.type(0), block.dtype.type(0.5)
    total = _load_symmetric(block, _V_COV, lane)
    p = _combine(v_xx, r, half * v_xy, s)
    q = _combine(half * v_xy, r, v_yy, s)
    added = (
        p[0] * r[0] + q[0] * s[0],
        p[0] * r[1] + q[0] * s[1],
        p[0] * r[2] + q[0] * s[2],
        p[1] * r[1] + q[1] * s[1],
        p[1] * r[2] + q[1] * s[2],
        p[2] * r[2] + q[2] * s[2],
    )
    new = (
        total[0] + (added[0] if seen else zero),
        total[1] + (added[1] if seen else zero),
        total[2] + (added[2] if seen else zero),
        total[3] + (added[3] if seen else zero),
        total[4] + (added[4] if seen else zero),
        total[5] + (added[5] if seen else zero),
    )
    _store_symmetric(block, _V_COV, lane, new)


@compile_kernel(**_HELPER)
def _slant_gradient(slope, low, high, straight, v_straight, v_slanted, inverse_z):
    """Gradients of camera x (or y) and z through one Jacobian row: (f / z, -f · slope / z)."""
    v_z = -straight * inverse_z * v_straight
    # Inside, slope = x / z and the slanted entry is -f x / z²; outside, the slope is constant.
    v_x = -straight * inverse_z * v_slanted
    inside_z = v_z - (slope + slope) * v_x
    outside_z = v_z - _clamp(slope, low, high) * v_x
    is_inside = (slope >= low) & (slope <= high)
    return v_x if is_inside else v_x - v_x, inside_z if is_inside else outside_z


@compile_kernel(**_HELPER)
def _project_block_backward(block, camera):
    """Add the gradients of mean and covariance of every lane that come from one view."""
    real = block.dtype.type
    zero, one = real(0), real(1)
    right, down, forward, translation, lens = camera
    for lane in range(_NUM_LANES):
        mean = (block[_X + lane], block[_Y + lane], block[_Z + lane])
        inverse_z = one / block[_DEPTH + lane]
        slope_x = (_dot(right, mean) + translation[0]) * inverse_z
        slope_y = (_dot(down, mean) + translation[1]) * inverse_z
        row_x, row_y = _screen_axes(camera, slope_x, slope_y, inverse_z)
        v_xx, v_xy, v_yy = _covariance2d_gradient(block, lane)
        covariance = _load_symmetric(block, _COV, lane)
        spread_x = _multiply_symmetric(covariance, row_x)
        spread_y = _multiply_symmetric(covariance, row_y)
        v_row_x = _combine(v_xx + v_xx, spread_x, v_xy, spread_y)
        v_row_y = _combine(v_yy + v_yy, spread_y, v_xy, spread_x)
        straight_x, straight_y = lens[at.FOCAL_X] * inverse_z, lens[at.FOCAL_Y] * inverse_z
        low, high = lens[at.SLOPE_X_MIN], lens[at.SLOPE_X_MAX]
        straight, slanted = _dot(v_row_x, right), _dot(v_row_x, forward)
        v_x, v_z_x = _slant_gradient(slope_x, low, high, straight_x, straight, slanted, inverse_z)
        low, high = lens[at.SLOPE_Y_MIN], lens[at.SLOPE_Y_MAX]
        straight, slanted = _dot(v_row_y, down), _dot(v_row_y, forward)
        v_y, v_z_y = _slant_gradient(slope_y, low, high, straight_y, straight, slanted, inverse_z)
        sum_x, sum_y = block[_SUM_X + lane], block[_SUM_Y + lane]
        v_u = straight_x * (block[_CONIC_XX + lane] * sum_x + block[_CONIC_XY + lane] * sum_y)
        v_v = straight_y * (block[_CONIC_XY + lane] * sum_x + block[_CONIC_YY + lane] * sum_y)
        v_z = v_z_x + v_z_y + block[_SUM_DEPTH + lane] - (slope_x * v_u + slope_y * v_v)
        v_mean = _combine(v_x + v_u, right, v_y + v_v, down)
        v_mean = _combine(one, v_mean, v_z, forward)
        # Lanes that are not seen in this view may hold anything.
        seen = block[_SEEN + lane] > zero
        block[_V_X + lane] += v_mean[0] if seen else zero
        block[_V_Y + lane] += v_mean[1] if seen else zero
        block[_V_Z + lane] += v_mean[2] if seen else zero
        _add_covariance_gradient(block, lane, v_xx, v_xy, v_yy, row_x, row_y, seen)


@compile_kernel(**_HELPER)
def _column_gradient(v_covariance, column, length):
    """For Σ = Σ_k l_k² c_k c_kᵀ: gradients of the rotation's column c_k and of the length l_k."""
    product = _multiply_symmetric(v_covariance, column)
    square = length * length
    v_column = _combine(square, product, square, product)
    return v_column, _dot(product, column) * (length + length)


@compile_kernel(**_HELPER)
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


@compile_kernel(**_HELPER)
def _covariances_backward(block):
    """Gradients of quaternion and scales of every lane, given those of its covariance."""
    real = block.dtype.type
    for lane in range(_NUM_LANES):
        w, x, y, z, inverse_norm = _unit_quaternion(block, lane)
        a, b, c = _rotation(w, x, y, z, real(1), real(2))
        v_covariance = _load_symmetric(block, _V_COV, lane)
        v_a, v_s0 = _column_gradient(v_covariance, a, block[_S0 + lane])
        v_b, v_s1 = _column_gradient(v_covariance, b, block[_S1 + lane])
        v_c, v_s2 = _column_gradient(v_covariance, c, block[_S2 + lane])
        v_w, v_x, v_y, v_z = _quaternion_gradient(w, x, y, z, v_a, v_b, v_c)
        # Through the normalisation: the part along the quaternion does nothing.
        along = v_w * w + v_x * x + v_y * y + v_z * z
        block[_V_QW + lane] = (v_w - along * w) * inverse_norm
        block[_V_QX + lane] = (v_x - along * x) * inverse_norm
        block[_V_QY + lane] = (v_y - along * y) * inverse_norm
        block[_V_QZ + lane] = (v_z - along * z) * inverse_norm
        block[_V_S0 + lane], block[_V_S1 + lane], block[_V_S2 + lane] = v_s0, v_s1, v_s2


@compile_kernel(**_HELPER)
def _sum_tiles(rectangle, tile_ends, slots, first, tile_sums, sums):
    """Total of a splat's gradient sums over its tiles; False if no tile composited it.

    Always in the order of the tiles, so that results do not depend on the number of threads.
    """
    for i in range(at.SUM_COLUMNS):
        sums[i] = 0
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


@compile_kernel(**_HELPER)
def _load_sums(block, lane, splat, sums):
    """Load one lane's splat and gradient sums."""
    block[_SEEN + lane] = 1
    block[_CONIC_XX + lane], block[_CONIC_XY + lane] = splat[at.CONIC_XX], splat[at.CONIC_XY]
    block[_CONIC_YY + lane], block[_DEPTH + lane] = splat[at.CONIC_YY], splat[at.DEPTH]
    block[_SUM_X + lane], block[_SUM_Y + lane] = sums[at.SUM_X], sums[at.SUM_Y]
    block[_SUM_XX + lane], block[_SUM_XY + lane] = sums[at.SUM_XX], sums[at.SUM_XY]
    block[_SUM_YY + lane], block[_SUM_DEPTH + lane] = sums[at.SUM_YY], sums[at.SUM_DEPTH]


@compile_kernel(**_HELPER)
def _store_gradients(block, first, v_means, v_quats, v_scales):
    for n in range(first, min(first + _LANES, v_means.shape[0])):
        lane = np.uint64(n - first)
        v_means[n, 0], v_means[n, 1] = block[_V_X + lane], block[_V_Y + lane]
        v_means[n, 2] = block[_V_Z + lane]
        v_quats[n, 0], v_quats[n, 1] = block[_V_QW + lane], block[_V_QX + lane]
        v_quats[n, 2], v_quats[n, 3] = block[_V_QY + lane], block[_V_QZ + lane]
        v_scales[n, 0], v_scales[n, 1] = block[_V_S0 + lane], block[_V_S1 + lane]
        v_scales[n, 2] = block[_V_S2 + lane]


@compile_kernel(parallel=True, fastmath=_FASTMATH)
def project_backward(
    means,
    quats,
    scales,
    opacities,
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
        means, quats, scales, opacities, colors, viewmats, lenses, splats, rectangles: of `project`.
        tile_ends: [V,rows,columns], end of the pairs of each tile that were composited.
        firsts: [V,N], where the tiles of each splat begin in `slots`.
        slots: pair (row of `tile_sums`) of each splat and tile.
        tile_sums: [P,10].
        v_means, v_quats, v_scales, v_opacities, v_colors: outputs, zero on entry.
    """
    num_gaussians, num_views = means.shape[0], viewmats.shape[0]
    for block_index in numba.prange((num_gaussians + _LANES - 1) // _LANES):
        block = np.zeros(_NUM_PLANES * _LANES, means.dtype)
        sums = np.empty(at.SUM_COLUMNS, means.dtype)
        first = block_index * _LANES
        _load_block(block, means, quats, scales, opacities, first)
        _compute_covariances(block)
        for v in range(num_views):
            c = min(v, colors.shape[0] - 1)
            any_seen = False
            for n in range(first, min(first + _LANES, num_gaussians)):
                lane = np.uint64(n - first)
                block[_SEEN + lane] = 0
                if _sum_tiles(rectangles[v, n], tile_ends[v], slots, firsts[v, n], tile_sums, sums):
                    any_seen = True
                    _load_sums(block, lane, splats[v, n], sums)
                    v_opacities[n] -= sums[at.SUM_POWER] / opacities[n]
                    v_colors[c, n, 0] += sums[at.SUM_RED]
                    v_colors[c, n, 1] += sums[at.SUM_GREEN]
                    v_colors[c, n, 2] += sums[at.SUM_BLUE]
            if any_seen:
                _project_block_backward(block, _load_camera(viewmats, lenses, v))
        _covariances_backward(block)
        _store_gradients(block, first, v_means, v_quats, v_scales)
