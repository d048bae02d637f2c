"""Round trips through the quantised formats; each tolerance is half a step of the format."""

import gzip
import io
import json
import logging
import zipfile

import numpy as np
import pytest
import torch
from plyfile import PlyData
from scenes import orbit_cameras, random_gaussians
from scipy.spatial import cKDTree

from videorfsplat.formats.axes import gaussians_in_axes
from videorfsplat.formats.splat_formats import load_splats, save_splats, splat_suffix
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.spherical_harmonics import SH_C0
from videorfsplat.rendering.rasterization import rasterize

FORMATS = [".compressed.ply", ".spz", ".sog", ".splat"]

# Half a step of 8 bits, and the rounding of the byte.
OPACITY_STEP = 0.5 / 255 + 1e-4


def round_trip(gaussians: Gaussians, path) -> Gaussians:
    """Written, read, and brought back into the order it had."""
    save_splats(gaussians, path)
    found = load_splats(path)
    assert len(found) == len(gaussians)
    order = cKDTree(found.means.numpy()).query(gaussians.means.numpy())[1]
    assert len(set(order)) == len(gaussians)
    return found[torch.from_numpy(order)]


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def quat_angles(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return 2 * torch.arccos((a * b).sum(dim=-1).abs().clamp(max=1))


def test_compressed_ply_keeps_all_within_its_steps(tmp_path):
    gaussians = random_gaussians(num=1000, degree=3)
    found = round_trip(gaussians, tmp_path / "scene.compressed.ply")
    # 10 bits of the box of a chunk, which is no larger than the scene.
    extent = (gaussians.means.amax(0) - gaussians.means.amin(0)).max()
    assert largest(found.means, gaussians.means) <= 0.51 * extent / 1023
    raw_scales = gaussians.scales.log()
    span = raw_scales.max() - raw_scales.min()
    assert largest(found.scales.log(), raw_scales) <= 0.51 * span / 1023
    assert largest(found.opacities, gaussians.opacities) <= OPACITY_STEP
    # 8 bits of the chunk's range of colours
    base = gaussians.sh[:, 0]
    assert largest(found.sh[:, 0], base) <= 0.51 * (base.max() - base.min()) / 255
    # The step is 8 / 256, and the writer cuts rather than rounds.
    assert largest(found.sh[:, 1:], gaussians.sh[:, 1:]) <= 8 / 256
    # three components of 10 bits in ±1/√2
    assert quat_angles(found.quats, gaussians.quats).max() < 4 * (2**0.5 / 1023)


def test_compressed_ply_has_harmonics_channel_by_channel(tmp_path):
    """The reader could share the writer's fault, so this looks into the file as viewers do."""
    gaussians = random_gaussians(num=300, degree=2)
    found = round_trip(gaussians, tmp_path / "scene.compressed.ply")
    ply = PlyData.read(tmp_path / "scene.compressed.ply")
    raw = np.stack([ply["sh"].data[f"f_rest_{i}"] for i in range(24)], axis=-1)
    in_file = torch.from_numpy(raw * (8 / 255) - 4).float().reshape(-1, 3, 8).mT
    order = cKDTree(load_splats(tmp_path / "scene.compressed.ply").means).query(found.means)[1]
    assert largest(in_file[torch.from_numpy(order)], gaussians.sh[:, 1:]) <= 8 / 255


def test_sorting_makes_compressed_ply_precise_where_depths_jump(tmp_path):
    """Rows of pixels that cross from a near wall to a far one would share boxes as deep as both."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    depth = torch.where((columns // 8) % 2 == 0, 1.0, 400.0)
    rays = torch.stack([(columns - 32) / 50, (rows - 32) / 50, torch.ones_like(depth)], dim=-1)
    template = random_gaussians(num=4096)
    means = (rays * depth[..., None]).reshape(-1, 3)
    template.means.copy_(means)
    save_splats(template, tmp_path / "wall.compressed.ply")
    found = load_splats(tmp_path / "wall.compressed.ply").means
    distance = cKDTree(found.numpy()).query(means.numpy())[0]
    is_near = depth.flatten().numpy() == 1
    # A quarter of a pixel of the near wall. Unsorted, a step is 512 / 2047: a dozen such pixels.
    assert np.median(distance[is_near]) < 0.25 / 50


def test_spz_keeps_all_within_its_steps(tmp_path):
    gaussians = random_gaussians(num=500, degree=3)
    found = round_trip(gaussians, tmp_path / "scene.spz")
    assert largest(found.means, gaussians.means) <= 0.51 / 4096
    assert largest(found.scales.log(), gaussians.scales.log()) <= 0.51 / 16
    assert largest(found.opacities, gaussians.opacities) <= OPACITY_STEP
    # colours: coefficient · 0.15 · 255 + 127.5 as a byte
    assert largest(found.sh[:, 0], gaussians.sh[:, 0]) <= 0.51 / (0.15 * 255)
    inside = gaussians.sh.abs().amax(dim=(1, 2)) < 0.9
    difference = (found.sh - gaussians.sh)[inside]
    # Coefficients are bytes of 1/128, of which the upper 5 bits (degree 1) or 4 bits are kept.
    assert difference[:, 1:4].abs().max() <= 4.5 / 128
    assert difference[:, 4:].abs().max() <= 8.5 / 128
    assert quat_angles(found.quats, gaussians.quats).max() < 4 * (2**0.5 / 511 / 2)


def test_spz_stores_harmonics_colour_by_colour_as_its_readers_expect(tmp_path):
    gaussians = random_gaussians(num=40, degree=2)
    save_splats(gaussians, tmp_path / "scene.spz")
    raw = gzip.decompress((tmp_path / "scene.spz").read_bytes())
    values = np.frombuffer(raw[-40 * 8 * 3 :], dtype=np.uint8).reshape(40, 8, 3)
    expected = gaussians_in_axes(gaussians, "opengl").sh[:, 1:]  # the axes that SPZ has
    assert largest(torch.from_numpy((values - 128.0) / 128), expected) <= 8.5 / 128


def test_spz_refuses_coordinates_that_would_wrap_around(tmp_path):
    gaussians = random_gaussians(num=5)
    gaussians.means[2, 0] = -3000.0
    with pytest.raises(ValueError, match=r"below 2048, got 3000"):
        save_splats(gaussians, tmp_path / "scene.spz")
    assert list(tmp_path.iterdir()) == []


def test_writing_spz_prints_nothing_on_standard_output(tmp_path, capfd):
    save_splats(random_gaussians(num=5), tmp_path / "scene.spz")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("degree", [0, 2])
def test_sog_keeps_all_within_its_steps(tmp_path, degree):
    gaussians = random_gaussians(num=500, degree=degree)
    found = round_trip(gaussians, tmp_path / "scene.sog")

    def log(x: torch.Tensor) -> torch.Tensor:
        return x.sign() * x.abs().log1p()

    logs = log(gaussians.means)
    # A whole step: the writer cuts rather than rounds.
    assert largest(log(found.means), logs) <= 1.01 * (logs.amax(0) - logs.amin(0)).max() / 65535
    assert largest(found.opacities, gaussians.opacities) <= 1.01 / 255
    # Palettes of 256 values chosen by clustering: no bound by construction, so a share of the
    # range that random values of this size meet with room.
    raw_scales = gaussians.scales.log()
    assert largest(found.scales.log(), raw_scales) <= 0.03 * (raw_scales.max() - raw_scales.min())
    base = gaussians.sh[:, 0]
    assert largest(found.sh[:, 0], base) <= 0.03 * (base.max() - base.min())
    assert quat_angles(found.quats, gaussians.quats).max() < 4 * (2**0.5 / 255)
    if degree:
        # 500 Gaussians find room in the palette of sets; many more do not (see the limits).
        assert (found.sh - gaussians.sh)[:, 1:].abs().max() < 0.02
    with zipfile.ZipFile(tmp_path / "scene.sog") as archive:
        assert json.loads(archive.read("meta.json"))["version"] == 2


def test_splat_keeps_geometry_and_clamped_base_colour(tmp_path, caplog):
    gaussians = random_gaussians(num=500, degree=1)
    with caplog.at_level(logging.WARNING):
        found = round_trip(gaussians, tmp_path / "scene.splat")
    assert "base colour only" in caplog.text
    torch.testing.assert_close(found.means, gaussians.means, rtol=0, atol=0)
    torch.testing.assert_close(found.scales, gaussians.scales, rtol=2e-6, atol=0)
    assert found.sh.shape == (500, 1, 3)
    # One whole step: the writer cuts rather than rounds.
    assert largest(found.base_colors, gaussians.base_colors.clamp(0, 1)) <= 1 / 255 + 1e-4
    assert largest(found.opacities, gaussians.opacities) <= 1 / 255 + 1e-4
    assert quat_angles(found.quats, gaussians.quats).max() < 4 / 127
    assert (tmp_path / "scene.splat").stat().st_size == 500 * 32


@pytest.mark.parametrize("suffix", [".compressed.ply", ".spz", ".sog", ".splat"])
def test_pictures_from_reread_files_stay_the_same_to_the_eye(tmp_path, suffix):
    gaussians, cameras = random_gaussians(num=400, degree=0), orbit_cameras()
    gaussians.sh.clamp_(-0.5 / SH_C0, 0.5 / SH_C0)  # colours that all formats can hold
    found = round_trip(gaussians, tmp_path / f"scene{suffix}")
    before, after = (rasterize(g, cameras, backend="torch")[0] for g in (gaussians, found))
    # A mean of half a step of an 8-bit picture; the formats have 8-bit colours themselves.
    assert (after - before).abs().mean() < 0.5 / 255


@pytest.mark.parametrize("suffix", FORMATS)
def test_extreme_opacities_and_scales_are_read_back(tmp_path, suffix):
    gaussians = random_gaussians(num=50)
    gaussians.opacities[:2] = torch.tensor([0.0, 1.0])
    gaussians.scales[0] = 1e-4
    found = round_trip(gaussians, tmp_path / f"scene{suffix}")
    found.check_values()
    # The compressed PLY reader gives 0.001 for 0; the others are closer.
    torch.testing.assert_close(found.opacities[:2], gaussians.opacities[:2], rtol=0, atol=5e-3)


@pytest.mark.parametrize("suffix", [".compressed.ply", ".sog", ".splat"])
def test_axes_are_turned_on_request(tmp_path, suffix):
    gaussians = random_gaussians(num=50)
    save_splats(gaussians, tmp_path / f"scene{suffix}", axes="opengl")
    found = load_splats(tmp_path / f"scene{suffix}").means
    distances, _ = cKDTree(found).query(gaussians.means * torch.tensor([1.0, -1.0, -1.0]))
    assert distances.max() < 0.01


def test_ply_suffix_writes_the_exact_format(tmp_path):
    gaussians = random_gaussians(num=20)
    save_splats(gaussians, tmp_path / "scene.PLY")
    torch.testing.assert_close(load_splats(tmp_path / "scene.PLY").means, gaussians.means)
    assert PlyData.read(tmp_path / "scene.PLY")["vertex"].data.dtype.names[0] == "x"


@pytest.mark.parametrize("name", ["scene", "scene.obj", "ply", "scene.ply.zip"])
def test_rejects_unknown_suffixes(name):
    with pytest.raises(ValueError, match=r"expected one of \.compressed\.ply, "):
        splat_suffix(name)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"", b"garbage" * 9, b"ply\nformat ascii 1.0\nend_header\n\n"])
def test_rejects_damaged_files(tmp_path, suffix, content):
    path = tmp_path / f"scene{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"scene\."):
        load_splats(path)


@pytest.mark.parametrize("suffix", [".compressed.ply", ".spz", ".sog"])
def test_rejects_truncated_files(tmp_path, suffix):
    path = tmp_path / f"scene{suffix}"
    save_splats(random_gaussians(num=300), path)
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.95):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=r"scene\."):
            load_splats(path)


def test_refuses_an_empty_scene(tmp_path):
    with pytest.raises(ValueError, match="without Gaussians"):
        save_splats(random_gaussians(num=3)[:0], tmp_path / "scene.spz")


def test_contents_are_bytes_of_the_named_format(tmp_path):
    """A suffix that quietly wrote another format would pass every round trip."""
    starts = {".compressed.ply": b"ply", ".spz": b"\x1f\x8b", ".sog": b"PK"}
    for suffix, start in starts.items():
        save_splats(random_gaussians(num=20), tmp_path / f"scene{suffix}")
        assert (tmp_path / f"scene{suffix}").read_bytes().startswith(start)
    packed = PlyData.read(io.BytesIO((tmp_path / "scene.compressed.ply").read_bytes()))
    assert [e.name for e in packed.elements] == ["chunk", "vertex"]
