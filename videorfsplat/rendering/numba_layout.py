"""Layouts of the arrays that the numba kernels pass to each other."""

# Numba's cache on disk sees a change of the file that holds a kernel, not of this one: old kernels
# would then write beyond new arrays. A change here therefore raises the version, and every kernel
# file names the version it needs.
VERSION = 2

# A tile's row is one vector register of eight float32.
TILE_WIDTH = 8
TILE_HEIGHT = 16
TILE_PIXELS = TILE_WIDTH * TILE_HEIGHT

# One splat (a Gaussian in one view): columns of `splats` [V,N,12], in pixels.
MEAN_X, MEAN_Y, CONIC_XX, CONIC_XY, CONIC_YY, OPACITY, RED, GREEN, BLUE, DEPTH, EXTENT_Y = range(11)
SPLAT_COLUMNS = 12

# The rectangle of tiles that a splat touches, bounds included: columns of `rectangles`
# [V,N,4], int16.
FIRST_COLUMN, FIRST_ROW, LAST_COLUMN, LAST_ROW = range(4)

# Gradient sums of one splat over the pixels of one tile: columns of `sums` [P,10]. POWER is the
# exponent of the Gaussian, X and Y the offset of its mean from the pixel: SUM_XY is the sum of (d
# loss / d exponent) · x · y.
SUM_POWER, SUM_X, SUM_Y, SUM_XX, SUM_XY, SUM_YY = range(6)
SUM_RED, SUM_GREEN, SUM_BLUE, SUM_DEPTH = range(6, 10)
SUM_COLUMNS = 10

# Columns of the camera constants [V,8].
FOCAL_X, FOCAL_Y, CENTER_X, CENTER_Y, SLOPE_X_MIN, SLOPE_X_MAX, SLOPE_Y_MIN, SLOPE_Y_MAX = range(8)


def require_version(version: int) -> None:
    """Fail at import if a kernel file was written for another layout."""
    if version != VERSION:
        raise ImportError(f"kernels for array layout {version} cannot run with layout {VERSION}")
