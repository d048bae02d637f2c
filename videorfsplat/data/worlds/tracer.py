"""Sphere tracing of a procedural world on the CPU: antialiased frames and exact z-depth.

The tracer's world has y up and the ground at y = 0. A world is a table of signed-distance
primitives (one row each, columns below), a table of groups (bounding spheres over runs of rows) and
a `Look` (light, sky and ground as plain numbers).

Method: each ray keeps only the primitives whose bounding sphere it crosses and marches their
minimum (Hart, "Sphere tracing", 1996); the ground plane is intersected in closed form; the soft
shadow is the smallest ratio of distance to travelled length along the light ray. One ray goes
through each pixel centre and gives the depth; only pixels that differ from a neighbour are then
averaged over a grid of sub-pixel rays.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.rendering.numba_compile import compile_kernel

# Columns of the primitive table.
SHAPE, CENTER, ROTATION, SIZE, ROUND, CUT, BOUND = 0, 1, 4, 13, 16, 17, 18
COLOR, SECOND_COLOR, PATTERN, FREQUENCY, GRAIN, GLOW = 19, 22, 25, 26, 27, 28
NUM_COLUMNS = 29

# Shapes; `SIZE` holds up to three numbers, local y is the axis.
ELLIPSOID = 0  # three radii
BOX = 1  # three half extents
CYLINDER = 2  # radius, half height
CONE = 3  # bottom radius, top radius, half height
CAPSULE = 4  # radius, half length
TORUS = 5  # ring radius, tube radius; a cut keeps local x above it
PRISM = 6  # half width in x, height in y from 0, half depth in z; a cut keeps local x above it

# Patterns on a primitive.
PLAIN, BANDS, GORES = 0, 1, 2

# Patterns of the ground.
MEADOW, TILES, FLOWERS, LAKE, LEAVES, RIPPLES = 0, 1, 2, 3, 4, 5

NO_CUT = -1.0e6
MAX_STEPS = 72
# Object heights are about 2 and a pixel covers about 0.05 of them, so a hit within 0.0008 is far
# below a pixel.
HIT_DISTANCE = 8.0e-4
PENUMBRA = 9.0
SKY = -1
GROUND = -2


Color = tuple[float, float, float]


_jit = compile_kernel(fastmath=True, nogil=True)


class Look(NamedTuple):
    """Light, sky, fog and ground; colours are linear RGB, directions unit vectors to the thing."""

    light_direction: Color
    light_color: Color
    ambient_high: Color
    ambient_low: Color
    sky_top: Color
    sky_horizon: Color
    disc_direction: Color
    """Where the sun or moon stands in the sky."""
    disc_color: Color
    disc_cosine: float
    """Cosine of its angular radius; above 1 there is none."""
    disc_halo: float
    cloud_color: Color
    cloud_cover: float
    """0 = no clouds, 1 = the whole sky."""
    stars: float
    hill_color: Color
    hill_height: float
    """Greatest elevation of the skyline in radians; 0 = none."""
    hill_sharpness: float
    """1 = rolling hills; higher = peaks."""
    fog_color: Color
    fog_density: float
    """Extinction per unit length."""
    far: float
    """Ground beyond this distance belongs to the sky."""
    ground_pattern: int
    ground_color: Color
    ground_second: Color
    ground_accent: Color
    shore: float
    """Radius of the island around the origin, for a lake."""
    shore_color: Color
    glow: float
    """Strength of lamps and windows."""
    seed: int


class TracedWorld(NamedTuple):
    """What the tracer needs of a world, as arrays."""

    primitives: Float64[np.ndarray, "p 29"]
    groups: Float64[np.ndarray, "g 6"]
    """First row, end row, centre x y z, radius."""
    look: Look


def render(
    world: TracedWorld, cameras: Cameras, *, supersample: int = 2, threads: int = 1
) -> tuple[UInt8[np.ndarray, "v h w 3"], Float32[np.ndarray, "v h w"]]:
    """Frames (sRGB) and z-depths (tracer units, exact at pixel centres, 0 = sky) of `world`.

    Args:
        world: what to trace.
        cameras: poses in the tracer's world (y up).
        supersample: rays along each side of a pixel that needs antialiasing.
        threads: views traced at the same time; the tracer holds no interpreter lock.

    Raises:
        ValueError: if `supersample` or `threads` is below 1.
    """
    if supersample < 1 or threads < 1:
        raise ValueError(
            f"supersample and threads must be at least 1, got {supersample} and {threads}"
        )
    frames = np.empty((cameras.num_views, cameras.height, cameras.width, 3), dtype=np.uint8)
    depths = np.empty(frames.shape[:3], dtype=np.float32)
    camtoworlds = cameras.camtoworlds.double().numpy()
    intrinsics = cameras.Ks.double().numpy()

    def trace(view: int) -> None:
        arguments = camtoworlds[view], intrinsics[view], supersample, frames[view], depths[view]
        _trace_view(world.primitives, world.groups, world.look, *arguments)

    if threads == 1:
        for view in range(cameras.num_views):
            trace(view)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(trace, range(cameras.num_views)))
    return frames, depths


@_jit
def _trace_view(primitives, groups, look, camtoworld, intrinsics, supersample, frame, depth):
    """Fill `frame` [H,W,3] and `depth` [H,W] of one camera."""
    height, width = depth.shape
    colors = np.empty((height, width, 3))
    hits = np.empty((height, width), dtype=np.int64)
    active = np.empty(len(primitives), dtype=np.int64)
    for row in range(height):
        for column in range(width):
            color, z, hit = _pixel_ray(
                primitives, groups, look, camtoworld, intrinsics, column + 0.5, row + 0.5, active
            )
            depth[row, column] = z
            hits[row, column] = hit
            for channel in range(3):
                colors[row, column, channel] = color[channel]
    for row in range(height):
        for column in range(width):
            red, green, blue = colors[row, column]
            if supersample > 1 and _differs_from_neighbor(colors, hits, row, column):
                red, green, blue = 0.0, 0.0, 0.0
                for sub_row in range(supersample):
                    for sub_column in range(supersample):
                        x = column + (sub_column + 0.5) / supersample
                        y = row + (sub_row + 0.5) / supersample
                        color, _, _ = _pixel_ray(
                            primitives, groups, look, camtoworld, intrinsics, x, y, active
                        )
                        red += color[0]
                        green += color[1]
                        blue += color[2]
                share = 1.0 / (supersample * supersample)
                red, green, blue = red * share, green * share, blue * share
            frame[row, column, 0] = _to_byte(red)
            frame[row, column, 1] = _to_byte(green)
            frame[row, column, 2] = _to_byte(blue)


@_jit
def _to_byte(linear):
    return int(255.0 * min(max(linear, 0.0), 1.0) ** (1.0 / 2.2) + 0.5)


@_jit
def _differs_from_neighbor(colors, hits, row, column):
    height, width = hits.shape
    for other_row in range(max(row - 1, 0), min(row + 2, height)):
        for other_column in range(max(column - 1, 0), min(column + 2, width)):
            if hits[other_row, other_column] != hits[row, column]:
                return True
            for channel in range(3):
                one = colors[row, column, channel]
                other = colors[other_row, other_column, channel]
                # A relative difference of 15 % is about 9 of 255 steps in sRGB at mid grey.
                if abs(one - other) > 0.15 * max(one, other) + 0.004:
                    return True
    return False


@_jit
def _pixel_ray(primitives, groups, look, camtoworld, intrinsics, x, y, active):
    """Linear colour, z-depth (0 = sky) and what was hit, of the ray through image point (x, y)."""
    u = (x - intrinsics[0, 2]) / intrinsics[0, 0]
    v = (y - intrinsics[1, 2]) / intrinsics[1, 1]
    length = math.sqrt(u * u + v * v + 1.0)
    u, v, w = u / length, v / length, 1.0 / length
    direction = (
        camtoworld[0, 0] * u + camtoworld[0, 1] * v + camtoworld[0, 2] * w,
        camtoworld[1, 0] * u + camtoworld[1, 1] * v + camtoworld[1, 2] * w,
        camtoworld[2, 0] * u + camtoworld[2, 1] * v + camtoworld[2, 2] * w,
    )
    origin = (camtoworld[0, 3], camtoworld[1, 3], camtoworld[2, 3])
    distance = look.far
    hit = SKY
    if direction[1] < -1e-9:
        to_ground = -origin[1] / direction[1]
        if 0.0 < to_ground < distance:
            distance = to_ground
            hit = GROUND
    distance, primitive = _march(primitives, groups, origin, direction, distance, active)
    if primitive >= 0:
        hit = primitive
    if hit == SKY:
        return _sky_color(look, direction), 0.0, hit
    point = (
        origin[0] + distance * direction[0],
        origin[1] + distance * direction[1],
        origin[2] + distance * direction[2],
    )
    if hit == GROUND:
        color = _ground_color(primitives, groups, look, point, direction, distance, active)
    else:
        color = _object_color(primitives, groups, look, hit, point, active)
    return _fogged(look, color, direction, distance, hit), distance * w, hit


# --- marching -------------------------------------------------------------------------------------


@_jit
def _march(primitives, groups, origin, direction, limit, active):
    """Distance to the nearest primitive closer than `limit` and its row, or (`limit`, -1)."""
    count = 0
    start = limit
    end = 0.0
    for group in range(len(groups)):
        near, far = _sphere_interval(groups, group, 2, 5, origin, direction)
        if far <= 0.0 or near >= limit or far <= near:
            continue
        for row in range(int(groups[group, 0]), int(groups[group, 1])):
            near, far = _sphere_interval(primitives, row, CENTER, BOUND, origin, direction)
            if far > max(near, 0.0) and near < limit:
                active[count] = row
                count += 1
                start = min(start, near)
                end = max(end, far)
    if count == 0:
        return limit, -1
    t = max(start, 0.0)
    end = min(end, limit)
    for _ in range(MAX_STEPS):
        x = origin[0] + t * direction[0]
        y = origin[1] + t * direction[1]
        z = origin[2] + t * direction[2]
        nearest = 1e9
        row = -1
        for i in range(count):
            d = _distance(primitives, active[i], x, y, z)
            if d < nearest:
                nearest = d
                row = active[i]
        t += nearest
        if nearest < HIT_DISTANCE:
            return (t, row) if t < limit else (limit, -1)
        if t > end:
            break
    return limit, -1


@_jit
def _sphere_interval(table, row, center, radius, origin, direction):
    """Entry and exit distances of a ray through a row's sphere; (1, 0) when it misses."""
    x = table[row, center] - origin[0]
    y = table[row, center + 1] - origin[1]
    z = table[row, center + 2] - origin[2]
    along = x * direction[0] + y * direction[1] + z * direction[2]
    room = table[row, radius] ** 2 - (x * x + y * y + z * z - along * along)
    if room <= 0.0:
        return 1.0, 0.0
    half = math.sqrt(room)
    return along - half, along + half


@_jit
def _distance(primitives, row, x, y, z):
    """Signed distance from a world point to a primitive; a bound for ellipsoids and prisms."""
    lx, ly, lz = _to_local(primitives, row, x, y, z)
    shape = int(primitives[row, SHAPE])
    a = primitives[row, SIZE]
    b = primitives[row, SIZE + 1]
    c = primitives[row, SIZE + 2]
    cut_along = ly
    if shape == ELLIPSOID:
        d = _ellipsoid_distance(lx, ly, lz, a, b, c)
    elif shape == BOX:
        d = _box_distance(abs(lx) - a, abs(ly) - b, abs(lz) - c)
    elif shape == CYLINDER:
        d = _box_distance(math.sqrt(lx * lx + lz * lz) - a, abs(ly) - b, -1e9)
    elif shape == CONE:
        d = _cone_distance(math.sqrt(lx * lx + lz * lz), ly, a, b, c)
    elif shape == CAPSULE:
        rest = max(abs(ly) - b, 0.0)
        d = math.sqrt(lx * lx + rest * rest + lz * lz) - a
    elif shape == TORUS:
        ring = math.sqrt(lx * lx + lz * lz) - a
        d = math.sqrt(ring * ring + ly * ly) - b
        cut_along = lx
    else:
        slope = (abs(lx) * b + ly * a - a * b) / math.sqrt(a * a + b * b)
        d = max(max(abs(lz) - c, -ly), slope)
        cut_along = lx
    d -= primitives[row, ROUND]
    return max(d, primitives[row, CUT] - cut_along)


@_jit
def _to_local(primitives, row, x, y, z):
    x -= primitives[row, CENTER]
    y -= primitives[row, CENTER + 1]
    z -= primitives[row, CENTER + 2]
    r = ROTATION
    return (
        primitives[row, r] * x + primitives[row, r + 1] * y + primitives[row, r + 2] * z,
        primitives[row, r + 3] * x + primitives[row, r + 4] * y + primitives[row, r + 5] * z,
        primitives[row, r + 6] * x + primitives[row, r + 7] * y + primitives[row, r + 8] * z,
    )


@_jit
def _ellipsoid_distance(x, y, z, a, b, c):
    if a == b and b == c:
        return math.sqrt(x * x + y * y + z * z) - a
    # First-order distance: implicit value over gradient length; close to the surface it is exact to
    # first order.
    x, y, z = x / a, y / b, z / c
    value = math.sqrt(x * x + y * y + z * z)
    gradient = math.sqrt((x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2)
    if gradient < 1e-6:
        return -min(a, min(b, c))
    return 0.9 * value * (value - 1.0) / gradient


@_jit
def _box_distance(x, y, z):
    outside_x, outside_y, outside_z = max(x, 0.0), max(y, 0.0), max(z, 0.0)
    outside = math.sqrt(outside_x**2 + outside_y**2 + outside_z**2)
    return outside + min(max(x, max(y, z)), 0.0)


@_jit
def _cone_distance(radial, y, bottom, top, half):
    """Distance to a capped cone in its (radius, height) half plane: to cap or slanted side."""
    cap_radius = bottom if y < 0.0 else top
    cap_x = radial - min(radial, cap_radius)
    cap_y = abs(y) - half
    side_x, side_y = top - bottom, 2.0 * half
    share = ((top - radial) * side_x + (half - y) * side_y) / (side_x**2 + side_y**2)
    share = min(max(share, 0.0), 1.0)
    slant_x = radial - top + side_x * share
    slant_y = y - half + side_y * share
    nearest = min(cap_x**2 + cap_y**2, slant_x**2 + slant_y**2)
    inside = slant_x < 0.0 and cap_y < 0.0
    return -math.sqrt(nearest) if inside else math.sqrt(nearest)


@_jit
def _normal(primitives, row, point):
    """Outward normal by differences at the corners of a tetrahedron."""
    e = 1e-3
    x, y, z = point
    a = _distance(primitives, row, x + e, y - e, z - e)
    b = _distance(primitives, row, x - e, y - e, z + e)
    c = _distance(primitives, row, x - e, y + e, z - e)
    d = _distance(primitives, row, x + e, y + e, z + e)
    nx, ny, nz = a - b - c + d, -a - b + c + d, -a + b - c + d
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
    return nx / length, ny / length, nz / length


@_jit
def _light_reaching(primitives, groups, point, direction, active):
    """Share of the light that reaches `point`, 0 (umbra) to 1."""
    count = 0
    end = 0.0
    for group in range(len(groups)):
        if not _near_light_ray(groups, group, 2, 5, point, direction):
            continue
        for row in range(int(groups[group, 0]), int(groups[group, 1])):
            if _near_light_ray(primitives, row, CENTER, BOUND, point, direction):
                active[count] = row
                count += 1
                along = 0.0
                for axis in range(3):
                    along += (primitives[row, CENTER + axis] - point[axis]) * direction[axis]
                end = max(end, along + primitives[row, BOUND])
    if count == 0:
        return 1.0
    share = 1.0
    t = 0.03
    for _ in range(28):
        x = point[0] + t * direction[0]
        y = point[1] + t * direction[1]
        z = point[2] + t * direction[2]
        nearest = 1e9
        for i in range(count):
            nearest = min(nearest, _distance(primitives, active[i], x, y, z))
        if nearest < 0.004:
            return 0.0
        share = min(share, PENUMBRA * nearest / t)
        t += max(nearest, 0.03)
        if t > end:
            break
    return share * share * (3.0 - 2.0 * share)


@_jit
def _near_light_ray(table, row, center, radius, point, direction):
    x = table[row, center] - point[0]
    y = table[row, center + 1] - point[1]
    z = table[row, center + 2] - point[2]
    along = x * direction[0] + y * direction[1] + z * direction[2]
    reach = table[row, radius]
    if along < -reach:
        return False
    # The penumbra widens with distance from the point.
    reach += 0.05 + max(along, 0.0) / PENUMBRA
    return x * x + y * y + z * z - along * along < reach * reach


# --- colours --------------------------------------------------------------------------------------


@_jit
def _mix(one, other, share):
    rest = 1.0 - share
    return (
        one[0] * rest + other[0] * share,
        one[1] * rest + other[1] * share,
        one[2] * rest + other[2] * share,
    )


@_jit
def _smoothstep(low, high, x):
    share = min(max((x - low) / (high - low), 0.0), 1.0)
    return share * share * (3.0 - 2.0 * share)


@_jit
def _hash(ix, iy, seed):
    """A number in [0, 1) from two integers."""
    n = (ix * 374761393 + iy * 668265263 + seed * 974634777) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1274126177) & 0xFFFFFFFF
    n = ((n ^ (n >> 16)) * 2246822519) & 0xFFFFFFFF
    return (n ^ (n >> 15)) / 4294967296.0


@_jit
def _noise(x, y, seed):
    """Value noise in [0, 1] with unit cells."""
    ix, iy = math.floor(x), math.floor(y)
    fx, fy = x - ix, y - iy
    fx, fy = fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy)
    low = _hash(ix, iy, seed) * (1.0 - fx) + _hash(ix + 1, iy, seed) * fx
    high = _hash(ix, iy + 1, seed) * (1.0 - fx) + _hash(ix + 1, iy + 1, seed) * fx
    return low * (1.0 - fy) + high * fy


@_jit
def _lit(look, color, normal, reaching):
    """Diffuse light: the sun or moon, and a sky that is brighter from above."""
    direct = 0.0
    for axis in range(3):
        direct += normal[axis] * look.light_direction[axis]
    direct = max(direct, 0.0) * reaching
    upward = 0.5 + 0.5 * normal[1]
    ambient = _mix(look.ambient_low, look.ambient_high, upward)
    return (
        color[0] * (direct * look.light_color[0] + ambient[0]),
        color[1] * (direct * look.light_color[1] + ambient[1]),
        color[2] * (direct * look.light_color[2] + ambient[2]),
    )


@_jit
def _object_color(primitives, groups, look, row, point, active):
    color = (primitives[row, COLOR], primitives[row, COLOR + 1], primitives[row, COLOR + 2])
    pattern = int(primitives[row, PATTERN])
    if pattern != PLAIN:
        lx, ly, lz = _to_local(primitives, row, point[0], point[1], point[2])
        phase = ly if pattern == BANDS else math.atan2(lz, lx) / (2.0 * math.pi)
        phase = phase * primitives[row, FREQUENCY]
        if phase - math.floor(phase) >= 0.5:
            c = SECOND_COLOR
            color = (primitives[row, c], primitives[row, c + 1], primitives[row, c + 2])
    grain = primitives[row, GRAIN]
    if grain > 0.0:
        noise = _noise(3.0 * point[0] + 1.7 * point[2], 3.0 * point[1] - 1.1 * point[2], look.seed)
        factor = 1.0 + grain * (2.0 * noise - 1.0)
        color = (color[0] * factor, color[1] * factor, color[2] * factor)
    glow = primitives[row, GLOW] * look.glow
    normal = _normal(primitives, row, point)
    lifted = _lifted(point, normal)
    facing = 0.0
    for axis in range(3):
        facing += normal[axis] * look.light_direction[axis]
    reaching = 0.0
    if facing > 0.0:
        reaching = _light_reaching(primitives, groups, lifted, look.light_direction, active)
    lit = _lit(look, color, normal, reaching)
    # Corners where an object meets the ground receive less of the sky.
    contact = 0.75 + 0.25 * min(point[1] / 0.35, 1.0)
    return (
        lit[0] * contact + glow * color[0],
        lit[1] * contact + glow * color[1],
        lit[2] * contact + glow * color[2],
    )


@_jit
def _lifted(point, normal):
    """A point slightly above the surface, so that it does not shadow itself."""
    return (
        point[0] + 0.012 * normal[0],
        point[1] + 0.012 * normal[1],
        point[2] + 0.012 * normal[2],
    )


@_jit
def _ground_color(primitives, groups, look, point, direction, distance, active):
    albedo = _ground_albedo(look, point, direction, distance)
    up = (0.0, 1.0, 0.0)
    reaching = _light_reaching(primitives, groups, _lifted(point, up), look.light_direction, active)
    occlusion = _contact_occlusion(primitives, groups, point)
    lit = _lit(look, albedo, up, reaching)
    return lit[0] * occlusion, lit[1] * occlusion, lit[2] * occlusion


@_jit
def _contact_occlusion(primitives, groups, point):
    """Darkening of the ground close to objects: 0.6 at contact, 1 from 0.45 away."""
    reach = 0.45
    nearest = reach
    for group in range(len(groups)):
        dx = groups[group, 2] - point[0]
        dy = groups[group, 3] - point[1]
        dz = groups[group, 4] - point[2]
        if dx * dx + dy * dy + dz * dz > (groups[group, 5] + reach) ** 2:
            continue
        for row in range(int(groups[group, 0]), int(groups[group, 1])):
            nearest = min(nearest, _distance(primitives, row, point[0], 0.08, point[2]))
    return 0.6 + 0.4 * _smoothstep(0.0, reach, nearest)


@_jit
def _ground_albedo(look, point, direction, distance):
    x, z = point[0], point[2]
    # Detail smaller than a pixel would alias: it fades with distance.
    detail = math.exp(-((distance / 16.0) ** 2))
    broad = _noise(0.55 * x + 7.0, 0.55 * z, look.seed)
    fine = _noise(1.9 * x, 1.9 * z + 3.0, look.seed + 1)
    share = 0.6 * broad + 0.4 * (0.5 + (fine - 0.5) * detail)
    color = _mix(look.ground_color, look.ground_second, share)
    pattern = look.ground_pattern
    if pattern == TILES:
        color = _tiles(look, color, x, z, detail)
    elif pattern == FLOWERS:
        color = _blossoms(look, color, x, z, detail)
    elif pattern == LEAVES:
        color = _fallen_leaves(look, color, x, z, detail)
    elif pattern == RIPPLES:
        wave = math.sin(2.6 * z + 2.2 * broad + 0.8 * math.sin(0.7 * x))
        color = _mix(color, look.ground_accent, 0.3 * detail * (0.5 + 0.5 * wave))
    elif pattern == LAKE:
        color = _lake(look, color, x, z, direction, detail)
    return color


@_jit
def _tiles(look, color, x, z, detail):
    ix, iz = math.floor(x / 0.9), math.floor(z / 0.9)
    tone = 0.88 + 0.24 * _hash(ix, iz, look.seed)
    tone = 1.0 + (tone - 1.0) * detail
    color = (color[0] * tone, color[1] * tone, color[2] * tone)
    to_edge = 0.5 - max(abs(x / 0.9 - ix - 0.5), abs(z / 0.9 - iz - 0.5))
    joint = (1.0 - _smoothstep(0.02, 0.08, to_edge)) * detail
    return _mix(color, look.ground_accent, 0.75 * joint)


@_jit
def _blossoms(look, color, x, z, detail):
    cell = 0.42
    ix, iz = math.floor(x / cell), math.floor(z / cell)
    jitter_x = 0.32 + 0.36 * _hash(ix, iz, look.seed + 2)
    jitter_z = 0.32 + 0.36 * _hash(ix, iz, look.seed + 3)
    radius = math.sqrt((x / cell - ix - jitter_x) ** 2 + (z / cell - iz - jitter_z) ** 2)
    reach = 0.18 + 0.14 * _hash(ix, iz, look.seed + 4)
    petal = 1.0 - _smoothstep(reach, reach + 0.1, radius)
    # Far away the field shows the mean of flowers and leaves.
    return _mix(color, look.ground_accent, petal * detail + 0.3 * (1.0 - detail))


@_jit
def _fallen_leaves(look, color, x, z, detail):
    cell = 0.5
    ix, iz = math.floor(x / cell), math.floor(z / cell)
    jitter_x = 0.3 + 0.4 * _hash(ix, iz, look.seed + 2)
    jitter_z = 0.3 + 0.4 * _hash(ix, iz, look.seed + 3)
    radius = math.sqrt((x / cell - ix - jitter_x) ** 2 + (z / cell - iz - jitter_z) ** 2)
    reach = 0.14 + 0.2 * _hash(ix, iz, look.seed + 5)
    leaf = 1.0 - _smoothstep(reach, reach + 0.14, radius)
    tone = _mix(look.ground_accent, look.ground_second, _hash(ix, iz, look.seed + 4))
    return _mix(color, tone, 0.8 * leaf * detail)


@_jit
def _lake(look, color, x, z, direction, detail):
    wave = math.sin(3.1 * z + 4.0 * _noise(0.8 * x, 0.8 * z, look.seed + 5))
    color = _mix(color, look.ground_accent, 0.22 * detail * (0.5 + 0.5 * wave))
    mirrored = _mix(look.sky_horizon, look.sky_top, min(max(-1.5 * direction[1], 0.0), 1.0))
    color = _mix(color, mirrored, 0.12 + 0.4 * (1.0 + direction[1]) ** 6)
    if look.shore > 0.0:
        angle = math.atan2(z, x)
        edge = look.shore * (
            1.0 + 0.07 * math.sin(3.0 * angle + look.seed) + 0.04 * math.sin(5.0 * angle)
        )
        radius = math.sqrt(x * x + z * z)
        foam = _smoothstep(edge + 0.22, edge, radius)
        color = _mix(color, (0.75, 0.8, 0.7), 0.55 * foam)
        land = _smoothstep(edge, edge - 0.1, radius)
        grass = 0.85 + 0.3 * _noise(1.4 * x, 1.4 * z, look.seed + 6)
        shore = look.shore_color
        color = _mix(color, (shore[0] * grass, shore[1] * grass, shore[2] * grass), land)
    return color


@_jit
def _fogged(look, color, direction, distance, hit):
    share = 1.0 - math.exp(-look.fog_density * distance)
    if hit == GROUND:
        # The ground must have become horizon where it ends.
        share = max(share, _smoothstep(0.3 * look.far, look.far, distance))
    return _mix(color, look.fog_color, share)


@_jit
def _sky_color(look, direction):
    elevation = math.asin(min(max(direction[1], -1.0), 1.0))
    azimuth = math.atan2(direction[0], -direction[2])
    if elevation <= 0.0:
        return look.fog_color
    rise = 1.0 - math.exp(-elevation / 0.24)
    color = _mix(look.sky_horizon, look.sky_top, rise)
    color = _with_stars(look, color, azimuth, elevation)
    color = _with_disc(look, color, direction)
    if look.cloud_cover > 0.0:
        color = _with_clouds(look, color, azimuth, elevation)
    if look.hill_height > 0.0:
        color = _with_hills(look, color, azimuth, elevation)
    # Haze over the horizon hides the seam with the ground.
    return _mix(look.fog_color, color, _smoothstep(-0.02, 0.035, elevation))


@_jit
def _with_disc(look, color, direction):
    cosine = 0.0
    for axis in range(3):
        cosine += direction[axis] * look.disc_direction[axis]
    if look.disc_cosine > 1.0:
        return color
    angle = math.acos(min(max(cosine, -1.0), 1.0))
    radius = math.acos(look.disc_cosine)
    halo = look.disc_halo * math.exp(-((angle / 0.3) ** 2))
    color = _mix(color, look.disc_color, min(halo, 1.0))
    return _mix(color, look.disc_color, _smoothstep(radius + 0.008, radius - 0.008, angle))


@_jit
def _with_stars(look, color, azimuth, elevation):
    if look.stars <= 0.0:
        return color
    cell = 0.085
    x, y = azimuth * math.cos(elevation) / cell, elevation / cell
    ix, iy = math.floor(x), math.floor(y)
    if _hash(ix, iy, look.seed + 7) > 0.45:
        return color
    dx = x - ix - 0.25 - 0.5 * _hash(ix, iy, look.seed + 8)
    dy = y - iy - 0.25 - 0.5 * _hash(ix, iy, look.seed + 9)
    radius = math.sqrt(dx * dx + dy * dy) * cell
    bright = look.stars * (0.4 + 0.6 * _hash(ix, iy, look.seed + 10))
    return _mix(color, (0.9, 0.92, 1.0), bright * _smoothstep(0.009, 0.002, radius))


@_jit
def _with_clouds(look, color, azimuth, elevation):
    x, y = 2.6 * azimuth, 7.5 * elevation
    noise = 0.65 * _noise(x, y, look.seed + 11) + 0.35 * _noise(2.3 * x, 2.3 * y, look.seed + 12)
    edge = 0.78 - 0.6 * look.cloud_cover
    share = _smoothstep(edge, edge + 0.16, noise)
    # Flat shading from below: the lower part of a cloud is a little darker.
    shade = 0.86 + 0.14 * _noise(x, y - 0.35, look.seed + 11)
    cloud = look.cloud_color
    return _mix(color, (cloud[0] * shade, cloud[1] * shade, cloud[2] * shade), 0.92 * share)


@_jit
def _peaks(x, seed):
    """Pointed peaks in [0, 1], one in each unit cell, valleys at the borders."""
    cell = math.floor(x)
    inside = x - cell
    summit = 0.35 + 0.3 * _hash(cell, 1, seed)
    flank = inside / summit if inside < summit else (1.0 - inside) / (1.0 - summit)
    height = 0.45 + 0.55 * _hash(cell, 2, seed)
    return 0.2 + (height - 0.2) * flank


@_jit
def _with_hills(look, color, azimuth, elevation):
    wide = _noise(1.6 * azimuth + 20.0, 0.0, look.seed + 13)
    narrow = _noise(4.7 * azimuth + 9.0, 0.0, look.seed + 14)
    skyline = 0.65 * wide + 0.35 * narrow
    if look.hill_sharpness > 1.0:
        skyline = 0.3 * skyline + 0.7 * _peaks(4.2 * azimuth + 5.0, look.seed + 15)
    top = look.hill_height * (0.25 + 0.75 * skyline)
    share = _smoothstep(top + 0.006, top - 0.006, elevation)
    hill = look.hill_color
    if look.hill_sharpness > 1.0:
        # Snow on the upper third of mountains.
        snow = 0.7 * _smoothstep(0.5, 0.62, elevation / look.hill_height)
        bright = look.ambient_high
        hill = _mix(
            hill, (0.9 * bright[0] + 0.3, 0.9 * bright[1] + 0.3, 0.9 * bright[2] + 0.3), 0.75 * snow
        )
    return _mix(color, hill, share)
