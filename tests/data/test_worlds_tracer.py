"""The tracer against closed forms: where rays hit, how far, and what culling may not change."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from videorfsplat.data.worlds import tracer
from videorfsplat.data.worlds.appearance import trace_inputs
from videorfsplat.data.worlds.grammar import main_shape, sample_world
from videorfsplat.data.worlds.objects import KINDS, Primitive, Shape, primitive_rows
from videorfsplat.geometry.cameras import Cameras, look_at

# A ray stops within HIT_DISTANCE of the surface; at grazing angles that is longer along the ray.
HIT_TOLERANCE = 4e-3

LIFT = 3.0


def traced(primitive: Primitive) -> tracer.TracedWorld:
    """A world with one primitive high above the ground."""
    rows = primitive_rows(
        Shape((primitive,), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        position=(0.0, LIFT, 0.0),
        yaw=0.0,
        colors={},
    )
    groups = np.array([[0, 1, *rows[0, tracer.CENTER : tracer.CENTER + 3], rows[0, tracer.BOUND]]])
    return tracer.TracedWorld(rows, groups, trace_inputs(sample_world(0)).look)


def camera(center: tuple[float, float, float], target: tuple[float, float, float], size: int = 48):
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    viewmats = look_at(torch.tensor([center]).double(), torch.tensor([target]).double(), up)
    K = torch.tensor([[1.2 * size, 0, size / 2], [0, 1.2 * size, size / 2], [0, 0, 1]])
    return Cameras(viewmats, K.double()[None], size, size)


def world_points(cameras: Cameras, depths: np.ndarray) -> np.ndarray:
    """Points of the pixels of view 1, [H,W,3], from z-depth."""
    ys, xs = np.mgrid[: cameras.height, : cameras.width] + 0.5
    K = cameras.Ks[0].numpy()
    local = np.stack([(xs - K[0, 2]) / K[0, 0], (ys - K[1, 2]) / K[1, 1], np.ones_like(xs)], -1)
    camtoworld = cameras.camtoworlds[0].numpy()
    return local * depths[0][..., None] @ camtoworld[:3, :3].T + camtoworld[:3, 3]


def implicit_value(shape: int, size, p: np.ndarray) -> np.ndarray:
    """Signed distance, or to first order so, of points near the surface, in closed form."""
    a, b, c = size
    radial = np.hypot(p[:, 0], p[:, 2])
    if shape == tracer.ELLIPSOID:
        gradient = np.linalg.norm(p / np.square([a, b, c]), axis=-1)
        return 0.5 * (np.sum(np.square(p / [a, b, c]), -1) - 1) / gradient
    if shape == tracer.BOX:
        return np.max(np.abs(p) - [a, b, c], axis=-1)
    if shape == tracer.CYLINDER:
        return np.maximum(radial - a, np.abs(p[:, 1]) - b)
    if shape == tracer.CONE:
        share = (p[:, 1] + c) / (2 * c)
        slant = (radial - (a + (b - a) * share)) * 2 * c / math.hypot(2 * c, a - b)
        return np.maximum(slant, np.abs(p[:, 1]) - c)
    if shape == tracer.CAPSULE:
        return np.hypot(radial, np.maximum(np.abs(p[:, 1]) - b, 0)) - a
    if shape == tracer.TORUS:
        return np.hypot(radial - a, p[:, 1]) - b
    slope = (np.abs(p[:, 0]) / a + p[:, 1] / b - 1) / math.hypot(1 / a, 1 / b)
    return np.maximum.reduce([slope, -p[:, 1], np.abs(p[:, 2]) - c])


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        (tracer.ELLIPSOID, (0.8, 0.8, 0.8)),
        (tracer.ELLIPSOID, (1.0, 0.5, 0.7)),
        (tracer.BOX, (0.8, 0.5, 0.6)),
        (tracer.CYLINDER, (0.6, 0.7, 0.0)),
        (tracer.CONE, (0.8, 0.2, 0.6)),
        (tracer.CONE, (0.7, 0.0, 0.7)),
        (tracer.CAPSULE, (0.4, 0.5, 0.0)),
        (tracer.TORUS, (0.7, 0.25, 0.0)),
        (tracer.PRISM, (0.9, 1.0, 0.5)),
    ],
)
def test_depth_lies_on_the_surface_of_each_shape(shape, size):
    primitive = Primitive(shape, (0.1, 0.2, -0.1), size, "red", rotation=(25.0, 40.0, 10.0))
    cameras = camera((1.5, LIFT + 1.6, 4.0), (0.1, LIFT + 0.3, -0.1))
    world = traced(primitive)
    _, depths = tracer.render(world, cameras, supersample=1)
    points = world_points(cameras, depths)
    local = (points - world.primitives[0, 1:4]) @ primitive.matrix
    near = np.linalg.norm(local, axis=-1) < primitive.bound + 0.01
    assert near.sum() > 150
    assert np.abs(implicit_value(shape, size, local[near])).max() < HIT_TOLERANCE


def test_sphere_depth_is_the_closed_form():
    cameras = camera((0.0, LIFT, 5.0), (0.0, LIFT, 0.0))
    _, depths = tracer.render(
        traced(Primitive(tracer.ELLIPSOID, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "red")), cameras
    )
    ys, xs = np.mgrid[:48, :48] + 0.5
    rays = np.stack([(xs - 24) / 57.6, (ys - 24) / 57.6, np.ones_like(xs)], -1)
    squared = np.sum(rays**2, -1)
    room = 25 - squared * 24
    hit = room > 0.2
    expected = (5 - np.sqrt(room[hit])) / squared[hit]
    assert np.abs(depths[0][hit] - expected).max() < HIT_TOLERANCE


def test_ground_depth_is_the_closed_form_and_the_sky_is_zero():
    cameras = camera((0.0, 2.0, 5.0), (0.0, 2.0, 0.0))
    high = traced(Primitive(tracer.ELLIPSOID, (0.0, 50.0, 0.0), (1.0, 1.0, 1.0), "red"))
    _, depths = tracer.render(high, cameras, supersample=1)
    ys = np.arange(48) + 0.5
    expected = np.where(ys > 24, 2.0 * 57.6 / np.where(ys > 24, ys - 24, 1), 0.0)
    inner = expected < 0.9 * high.look.far  # the far end is a distance, not a depth
    np.testing.assert_allclose(depths[0, inner, 24], expected[inner], rtol=1e-5)
    assert (depths[0, :24] == 0).all()


@pytest.mark.parametrize("kind", list(KINDS))
def test_bounding_spheres_hide_nothing(kind):
    """Every ray that hits an object also hits it when nothing is culled."""
    world = replace(sample_world(3), kind=kind, accent_color="red", main_color="white")
    inputs = trace_inputs(world)
    loose = inputs.primitives.copy()
    loose[:, tracer.BOUND] += 5.0
    groups = inputs.groups.copy()
    groups[:, 5] += 5.0
    cameras = world.path.cameras([0.0], 40)
    _, tight_depths = tracer.render(inputs, cameras, supersample=1)
    _, loose_depths = tracer.render(inputs._replace(primitives=loose, groups=groups), cameras)
    differs = np.abs(tight_depths - loose_depths) > 0.02
    # A ray that grazes a surface may stop in one march and pass in the other.
    assert differs.sum() <= 4


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_box_of_a_shape_holds_all_its_surface(kind):
    shape = main_shape(kind)
    world = replace(sample_world(3), kind=kind, yaw=0.0, secondaries=(), ground="meadow")
    center = (2.0, 2.5, 7.0)
    cameras = camera(center, world.path.target, size=80)
    _, depths = tracer.render(trace_inputs(world), cameras, supersample=1)
    points = world_points(cameras, depths)[depths[0] > 0]
    points = points[(points[:, 1] > 0.01) & (points[:, 1] < 10)]
    low, high = np.array(shape.low), np.array(shape.high)
    assert len(points) > 100
    assert (points >= low - 0.02).all()
    assert (points <= high + 0.02).all()


def test_antialiasing_changes_edges_only():
    inputs = trace_inputs(sample_world(1))
    cameras = sample_world(1).path.cameras([0.0], 48)
    one, one_depths = tracer.render(inputs, cameras, supersample=1)
    two, two_depths = tracer.render(inputs, cameras, supersample=2)
    changed = (one != two).any(-1).mean()
    assert 0.02 < changed < 0.6
    np.testing.assert_array_equal(one_depths, two_depths)


def test_threads_do_not_change_the_picture():
    world = sample_world(2)
    cameras = world.path.cameras([0.0, 0.5, 1.0], 24)
    one = tracer.render(trace_inputs(world), cameras)
    two = tracer.render(trace_inputs(world), cameras, threads=2)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_rejects_zero_samples():
    with pytest.raises(ValueError, match="at least 1"):
        tracer.render(
            trace_inputs(sample_world(0)), sample_world(0).path.cameras([0.0], 8), supersample=0
        )
