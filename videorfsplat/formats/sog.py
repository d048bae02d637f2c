"""Reading SOG, PlayCanvas's format of pictures (developer.playcanvas.com, "The SOG Format").

`meta.json` says what the pixels of WebP pictures mean, one pixel a Gaussian. Both lie in a zip, or
beside each other in a folder. Version 2 has palettes for scales and colours, version 1 ranges.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from videorfsplat.formats.compressed_ply import unpack_quats
from videorfsplat.formats.files import inflation_limit, json_object
from videorfsplat.formats.splat_rows import SplatRows

ZIP = b"PK\x03\x04"
META_NAME = "meta.json"

SMALL_PIXELS = 2**20
PIXELS_PER_BYTE = 4
"""Limits on a picture: pixels that any may have, and pixels for each byte of the whole file. Real
files take five bytes and more a Gaussian; a picture of one colour takes none."""

# The largest palette of whole sets of harmonics, 64 sets a row of its picture.
_SETS_PER_ROW = 64
_COEFFICIENTS = {3: 1, 8: 2, 15: 3}
_QUAT_TAG = 252
"""Alpha of a rotation is this plus the place of its largest component."""

Read = Callable[[str], bytes]
"""Bytes of a file by its name."""


def sog_rows(data: bytes, *, trusted: bool = False) -> SplatRows:
    """What a bundle says of its Gaussians; `meta.json` may lie in a folder of it.

    Args:
        data: the file.
        trusted: without limits on what it unpacks to.

    Raises:
        ValueError: not SOG, damaged, or pictures that do not fit what `meta.json` says.
    """
    limit = inflation_limit(len(data), trusted)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        metas = [name for name in names if PurePosixPath(name).name == META_NAME]
        if not metas:
            raise ValueError(f"not a SOG file: {META_NAME} is missing")
        meta = min(metas, key=len)
        folder = meta.removesuffix(META_NAME)

        def read(name: str) -> bytes:
            if folder + name not in names:
                raise ValueError(f"picture {name!r:.60} is missing")
            with archive.open(folder + name) as file:
                content = file.read(limit + 1)
            if len(content) > limit:
                raise ValueError(f"{name} becomes more than {limit} bytes")
            return content

        return _rows(json_object(read(META_NAME)), read, len(data), trusted)


def unbundled_rows(path: Path, *, trusted: bool = False) -> SplatRows:
    """The same of a `meta.json` whose pictures lie beside it.

    Raises:
        ValueError: as `sog_rows`; a name that leads out of the folder.
    """
    size = sum(file.stat().st_size for file in path.parent.glob("*.webp"))

    def read(name: str) -> bytes:
        if Path(name).name != name:
            raise ValueError(f"{name!r:.60} is not the name of a picture")
        if not (path.parent / name).is_file():
            raise ValueError(f"picture {name!r:.60} is missing")
        return (path.parent / name).read_bytes()

    return _rows(json_object(path.read_bytes()), read, size, trusted)


def _rows(meta: dict[str, Any], read: Read, size: int, trusted: bool) -> SplatRows:
    max_pixels = 2**62 if trusted else max(SMALL_PIXELS, PIXELS_PER_BYTE * size)

    def pictures(part: str, number: int) -> list[np.ndarray]:
        names = _entry(meta, part).get("files")
        if not isinstance(names, list) or [type(name) for name in names] != [str] * number:
            raise ValueError(f"{META_NAME}: {part}.files must be {number} names")
        return [_pixels(read(name), name, max_pixels) for name in names]

    count = _count(meta)

    def rows_of(picture: np.ndarray, part: str) -> np.ndarray:
        pixels = picture.reshape(-1, 4)
        if len(pixels) < count:
            raise ValueError(f"{part}: {len(pixels)} pixels for {count} Gaussians")
        return pixels[:count]

    low, high = (rows_of(picture, "means")[:, :3] for picture in pictures("means", 2))
    logs = _in_range(_entry(meta, "means"), "means", (low + 256.0 * high) / 65535)
    quats = rows_of(pictures("quats", 1)[0], "quats")
    scales = rows_of(pictures("scales", 1)[0], "scales")[:, :3]
    base, opacities = _base(meta, rows_of(pictures("sh0", 1)[0], "sh0"))
    sh = base[:, None]
    if meta.get("shN") is not None:
        centroids, labels = pictures("shN", 2)
        sh = np.concatenate([sh, _harmonics(meta, centroids, rows_of(labels, "shN"))], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        return SplatRows(
            means=np.sign(logs) * np.expm1(np.abs(logs)),
            quats=_quats(quats),
            scales=np.exp(_values(_entry(meta, "scales"), "scales", scales)),
            opacities=opacities,
            sh=sh,
        )


def _count(meta: dict[str, Any]) -> int:
    """The number of Gaussians: stated in version 2, in the shape of the centres in version 1."""
    count = meta.get("count")
    if count is None:
        shape = _entry(meta, "means").get("shape")
        count = shape[0] if isinstance(shape, list) and shape else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{META_NAME}: count must be a whole number above 0, got {count!r:.40}")
    return count


def _entry(meta: dict[str, Any], part: str) -> dict[str, Any]:
    entry = meta.get(part)
    if not isinstance(entry, dict):
        raise ValueError(f"{META_NAME}: {part} is missing or no object")
    return entry


def _numbers(entry: dict[str, Any], part: str, key: str) -> np.ndarray:
    values = entry.get(key)
    values = values if isinstance(values, list) else [values]
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in values):
        raise ValueError(f"{META_NAME}: {part}.{key} must be finite numbers")
    return np.array(values, np.float64)


def _in_range(entry: dict[str, Any], part: str, unit: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 spread over `mins` to `maxs`, one for all columns or one each."""
    low, high = (_numbers(entry, part, key) for key in ("mins", "maxs"))
    if low.shape != high.shape or len(low) not in (1, unit.shape[-1]):
        raise ValueError(f"{META_NAME}: {part}.mins and maxs must be {unit.shape[-1]} numbers")
    return low + unit * (high - low)


def _values(entry: dict[str, Any], part: str, pixels: np.ndarray) -> np.ndarray:
    """What bytes stand for: values of a palette, or of a range."""
    if "codebook" not in entry:
        return _in_range(entry, part, pixels / 255)
    palette = _numbers(entry, part, "codebook")
    if len(palette) != 256:
        raise ValueError(f"{META_NAME}: {part}.codebook has {len(palette)} values, expected 256")
    return palette[pixels]


def _base(meta: dict[str, Any], pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of degree 0 and opacities, which version 1 stores as logits."""
    entry = _entry(meta, "sh0")
    if "codebook" in entry:
        return _values(entry, "sh0", pixels[:, :3]), pixels[:, 3] / 255
    values = _in_range(entry, "sh0", pixels / 255)
    with np.errstate(over="ignore"):
        return values[:, :3], 1 / (1 + np.exp(-values[:, 3]))


def _quats(pixels: np.ndarray) -> np.ndarray:
    largest = pixels[:, 3].astype(np.int64) - _QUAT_TAG
    quats = unpack_quats((pixels[:, :3] / 255 - 0.5) * 2**0.5, largest.clip(0, 3))
    return np.where((largest >= 0)[:, None], quats, np.nan)


def _harmonics(meta: dict[str, Any], centroids: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Coefficients above degree 0, [n, k - 1, 3], by the number of each Gaussian's set."""
    number = centroids.shape[1] // _SETS_PER_ROW
    if number not in _COEFFICIENTS or centroids.shape[1] % _SETS_PER_ROW:
        raise ValueError(f"shN: a picture of {centroids.shape[1]} columns, expected 192, 512, 960")
    sets = centroids[:, :, :3].reshape(-1, number, 3)
    chosen = labels[:, 0].astype(np.int64) + 256 * labels[:, 1].astype(np.int64)
    if chosen.max() >= len(sets):
        raise ValueError(f"shN: set {chosen.max()} of {len(sets)}")
    return _values(_entry(meta, "shN"), "shN", sets)[chosen]


def _pixels(data: bytes, name: str, max_pixels: int) -> np.ndarray:
    """RGBA bytes [h, w, 4] of a WebP picture."""
    width, height = _webp_size(data, name)
    if width * height > max_pixels:
        raise ValueError(f"{name}: {width}x{height} pixels, at most {max_pixels} are read")
    with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
        return np.asarray(image.convert("RGBA"))


def _webp_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height; Pillow takes memory for the whole picture when it only opens it."""
    kind = data[12:16]
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        raise ValueError(f"{name} is not a WebP picture")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return width + 1, height + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF
