"""COLMAP's sparse model as its files hold it, text or binary: cameras, images, points.

The conventions are the package's (world→camera, OpenCV axes, pixel centres at +0.5). The layouts
are those of COLMAP's documentation, "Output Format".
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64
from scipy.spatial.transform import Rotation

from videorfsplat.formats.files import reading

# Name → places of fx, fy, cx, cy among the parameters, and what the remaining ones are called.
_LENSES: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "SIMPLE_PINHOLE": ((0, 0, 1, 2), ()),
    "PINHOLE": ((0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": ((0, 0, 1, 2), ("k1",)),
    "RADIAL": ((0, 0, 1, 2), ("k1", "k2")),
    "OPENCV": ((0, 1, 2, 3), ("k1", "k2", "p1", "p2")),
}
# Every model by its number in binary files: a camera that nobody uses may have any.
_BINARY_MODELS = (
    ("SIMPLE_PINHOLE", 3),
    ("PINHOLE", 4),
    ("SIMPLE_RADIAL", 4),
    ("RADIAL", 5),
    ("OPENCV", 8),
    ("OPENCV_FISHEYE", 8),
    ("FULL_OPENCV", 12),
    ("FOV", 5),
    ("SIMPLE_RADIAL_FISHEYE", 4),
    ("RADIAL_FISHEYE", 5),
    ("THIN_PRISM_FISHEYE", 12),
    ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    ("SIMPLE_DIVISION", 4),
    ("DIVISION", 5),
    ("SIMPLE_FISHEYE", 3),
    ("FISHEYE", 4),
    ("EUCM", 6),
    ("EQUIRECTANGULAR", 2),
)
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")

MIN_POINTS = 10
"""A median depth of fewer points is not trusted."""


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics that images share."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]
    """As COLMAP orders them for the model."""

    @property
    def K(self) -> Float[np.ndarray, "3 3"]:
        """Intrinsics in pixels.

        Raises:
            ValueError: if the lens is of a kind that the package cannot undo.
        """
        fx, fy, cx, cy = (self.params[i] for i in self._lens[0])
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])

    @property
    def distortion(self) -> Float[np.ndarray, "6"]:
        """k1, k2, k3, k4, p1, p2 of OpenCV's lens; raises as `K`."""
        names = self._lens[1]
        values = dict(zip(names, self.params[len(self.params) - len(names) :], strict=True))
        return np.array([values.get(name, 0.0) for name in _DISTORTION])

    @property
    def _lens(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        if self.model not in _LENSES:
            raise ValueError(
                f"camera model {self.model} is not one of {', '.join(_LENSES)}; undistort first"
            )
        return _LENSES[self.model]


@dataclass(frozen=True)
class ColmapImage:
    """One posed image."""

    image_id: int
    camera_id: int
    viewmat: Float[np.ndarray, "4 4"]
    name: str
    """Relative to the folder of images."""
    point_ids: Int64[np.ndarray, " m"]
    """Points that the image sees."""


@dataclass(frozen=True)
class Reconstruction:
    """A sparse model."""

    path: Path
    """Of the file of images, for messages."""
    cameras: dict[int, ColmapCamera]
    images: list[ColmapImage]
    """In the order of their numbers."""
    points: dict[int, tuple[float, float, float]]

    def median_depth(self, image: ColmapImage) -> float | None:
        """Median depth of the points that an image sees, if it sees at least `MIN_POINTS`."""
        points = self.seen_points(image)
        if len(points) < MIN_POINTS:
            return None
        depths = points @ image.viewmat[2, :3] + image.viewmat[2, 3]
        return float(np.median(depths))

    def seen_points(self, image: ColmapImage) -> Float[np.ndarray, "n 3"]:
        """Places of the points that an image sees, in the world."""
        ids, places = self._sorted_points
        seen = image.point_ids[np.isin(image.point_ids, ids)]
        return places[np.searchsorted(ids, seen)]

    @cached_property
    def _sorted_points(self) -> tuple[Int64[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
        ids = np.array(sorted(self.points), dtype=np.int64)
        places = np.array([self.points[i] for i in ids.tolist()], dtype=np.float64)
        return ids, places.reshape(-1, 3)


def find_models(folder: str | Path) -> list[Path]:
    """Sparse models at the places where tools put them below a folder, the largest first.

    A workspace has several: `sparse/0`, `sparse/1`, …, those of undistorted pictures in `dense`, a
    copy in `distorted`.
    """
    folder = Path(folder)
    patterns = ("", "sparse", "sparse/*", "colmap/sparse/*", "dense/sparse", "dense/*/sparse")
    patterns += ("dense/sparse/*", "undistorted/sparse", "distorted/sparse/*")
    found: dict[Path, int] = {}
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)) if pattern else [folder]:
            for kind in ("bin", "txt"):
                if (path / f"cameras.{kind}").is_file() and (path / f"images.{kind}").is_file():
                    found.setdefault(path, (path / f"images.{kind}").stat().st_size)
    # Sorting is stable: of models of one size, the first place counts.
    return sorted(found, key=lambda path: -found[path])


def read_reconstruction(folder: str | Path) -> Reconstruction:
    """Read a sparse model; the binary files are taken where both kinds are there.

    Raises:
        FileNotFoundError: if the cameras or the images are missing; points may be absent.
        ValueError: naming the file and what is wrong with it.
    """
    folder = Path(folder)
    binary = (folder / "cameras.bin").exists()
    suffix = "bin" if binary else "txt"
    paths = [folder / f"{name}.{suffix}" for name in ("cameras", "images", "points3D")]
    readers = (
        (_binary_cameras, _binary_images, _binary_points)
        if binary
        else (_text_cameras, _text_images, _text_points)
    )
    with reading(paths[0]):
        cameras = dict(readers[0](paths[0]))
    with reading(paths[1]):
        images = sorted(readers[1](paths[1]), key=lambda image: image.image_id)
        if not images:
            raise ValueError("no images")
        for image in images:
            if image.camera_id not in cameras:
                raise ValueError(
                    f"image {image.image_id}: camera {image.camera_id} is not in {paths[0].name}"
                )
    with reading(paths[2]):
        points = dict(readers[2](paths[2])) if paths[2].exists() else {}
    return Reconstruction(paths[1], cameras, images, points)


# --- text -----------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file") from error
    return ((i + 1, line.strip()) for i, line in enumerate(text.splitlines()))


def _text_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        try:
            camera_id, model, width, height, *params = line.split()
            values = tuple(float(p) for p in params)
            yield int(camera_id), _camera(model, int(width), int(height), values)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def _camera(model: str, width: int, height: int, params: tuple[float, ...]) -> ColmapCamera:
    expected = dict(_BINARY_MODELS).get(model, len(params))
    if len(params) != expected:
        raise ValueError(f"{model} has {expected} parameters, got {len(params)}")
    return ColmapCamera(model, width, height, params)


def _text_images(path: Path) -> Iterator[ColmapImage]:
    lines = _lines(path)
    for number, line in lines:
        if not line or line.startswith("#"):
            continue
        try:
            image_id, *pose, camera_id, name = line.split(maxsplit=9)
            viewmat = _viewmat([float(p) for p in pose])
            # The second line of an image: x, y and point number of each of its 2D points.
            seen = next(lines, (number, ""))[1].split()[2::3]
            yield ColmapImage(int(image_id), int(camera_id), viewmat, name, _real_points(seen))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def _text_points(path: Path) -> Iterator[tuple[int, tuple[float, float, float]]]:
    for number, line in _lines(path):
        if not line or line.startswith("#"):
            continue
        try:
            point_id, x, y, z = line.split()[:4]
            yield _point_number(int(point_id)), (float(x), float(y), float(z))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error


def _real_points(ids: list[str] | Int64[np.ndarray, " m"]) -> Int64[np.ndarray, " k"]:
    """Numbers of 3D points; 2D points that belong to none have -1."""
    numbers = np.array(ids, dtype=np.int64)
    return np.unique(numbers[numbers >= 0])


def _viewmat(pose: list[float] | tuple[float, ...]) -> Float[np.ndarray, "4 4"]:
    """World→camera matrix from qw qx qy qz tx ty tz; the quaternion is normalised."""
    if len(pose) != 7 or not np.isfinite(pose).all():
        raise ValueError(f"expected 7 finite numbers of a pose, got {list(pose)}")
    viewmat = np.eye(4)
    viewmat[:3, :3] = Rotation.from_quat(pose[:4], scalar_first=True).as_matrix()
    viewmat[:3, 3] = pose[4:]
    return viewmat


# --- binary ---------------------------------------------------------------------------------------


class _Bytes:
    """A little-endian file, read from front to back."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.place = path, path.read_bytes(), 0

    def take(self, form: str) -> tuple:
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", self._next(size))

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        return np.frombuffer(self._next(count * dtype.itemsize), dtype)

    def skip(self, size: int) -> None:
        """Pass over bytes, which must be there."""
        self._next(size)

    def text(self) -> str:
        end = self.data.find(b"\0", self.place)
        if end < 0:
            raise ValueError(f"{self.path} ends within a name")
        name = self._next(end + 1 - self.place)[:-1]
        return name.decode("utf-8")

    def _next(self, size: int) -> bytes:
        if size > len(self.data) - self.place:
            raise ValueError(f"{self.path} ends after {len(self.data)} bytes, within an entry")
        self.place += size
        return self.data[self.place - size : self.place]


def _binary_cameras(path: Path) -> Iterator[tuple[int, ColmapCamera]]:
    file = _Bytes(path)
    for _ in range(file.take("Q")[0]):
        camera_id, model_id, width, height = file.take("iiQQ")
        if not 0 <= model_id < len(_BINARY_MODELS):
            raise ValueError(f"{path}: camera {camera_id} has the unknown model {model_id}")
        model, count = _BINARY_MODELS[model_id]
        yield camera_id, ColmapCamera(model, width, height, file.take(f"{count}d"))


_POINT_2D = np.dtype([("x", "<f8"), ("y", "<f8"), ("point_id", "<i8")])


def _binary_images(path: Path) -> Iterator[ColmapImage]:
    file = _Bytes(path)
    for _ in range(file.take("Q")[0]):
        image_id, *pose, camera_id = file.take("i7di")
        name = file.text()
        seen = file.array(_POINT_2D, file.take("Q")[0])["point_id"]
        try:
            yield ColmapImage(image_id, camera_id, _viewmat(pose), name, _real_points(seen))
        except ValueError as error:
            raise ValueError(f"{path}: image {image_id}: {error}") from error


def _binary_points(path: Path) -> Iterator[tuple[int, tuple[float, float, float]]]:
    file = _Bytes(path)
    for _ in range(file.take("Q")[0]):
        point_id, x, y, z, _, _, _, _, track_length = file.take("Q3d3BdQ")
        file.skip(8 * track_length)
        yield _point_number(point_id), (x, y, z)


def _point_number(number: int) -> int:
    """COLMAP counts points with 64 bits, of which the largest number means "none"."""
    if not 0 <= number < 2**63:
        raise ValueError(f"a point has the number {number}")
    return number
