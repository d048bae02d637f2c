"""Hypothesis strategies for cameras and rotations, in double precision."""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from videorfsplat.geometry.cameras import Cameras


def vectors(limit: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-limit, limit), min_size=3, max_size=3)


def build_cameras(rotvecs, centers, focal=100.0, width=96, height=96) -> Cameras:
    """Cameras of camera→world rotation vectors (radians) and centres, one focal length for all."""
    rotations = torch.from_numpy(Rotation.from_rotvec(rotvecs).as_matrix()).double()
    centers = torch.as_tensor(centers, dtype=torch.float64)
    viewmats = torch.eye(4, dtype=torch.float64).repeat(len(centers), 1, 1)
    viewmats[:, :3, :3] = rotations.mT
    viewmats[:, :3, 3:] = -rotations.mT @ centers[..., None]
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(viewmats, K.double().repeat(len(centers), 1, 1), width, height)


@st.composite
def unit_vectors(draw) -> np.ndarray:
    vector = np.array([draw(st.floats(-1, 1)), draw(st.floats(-1, 1)), draw(st.floats(0.2, 1))])
    return vector / np.linalg.norm(vector)


@st.composite
def rotations(draw) -> torch.Tensor:
    """A rotation matrix, any angle."""
    return torch.from_numpy(Rotation.from_rotvec(draw(vectors(math.pi))).as_matrix())


@st.composite
def cameras(draw, min_views: int = 1, max_views: int = 8, max_turn: float = math.pi) -> Cameras:
    """Cameras with any rotations up to `max_turn` radians per axis, and one shared focal length."""
    num_views = draw(st.integers(min_views, max_views))
    rotvecs = [draw(vectors(max_turn)) for _ in range(num_views)]
    centers = [draw(vectors(2.0)) for _ in range(num_views)]
    width, height = draw(st.sampled_from([(96, 96), (512, 320), (320, 512), (64, 96), (33, 17)]))
    fov = draw(st.floats(15.0, 140.0))
    focal = max(width, height) / 2 / math.tan(math.radians(fov) / 2)
    return build_cameras(rotvecs, centers, focal, width, height)
