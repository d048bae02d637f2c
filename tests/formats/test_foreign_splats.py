"""Splat files as other tools write them, and as an attacker would."""

import gzip
import io
import json
import logging
import struct
import zipfile

import numpy as np
import pytest
import torch
import zstandard
from PIL import Image
from plyfile import PlyData, PlyElement
from scenes import assert_same_gaussians, random_gaussians

from videorfsplat.formats.ply import load_ply, ply_bytes, save_ply
from videorfsplat.formats.splat_formats import load_splats, read_splats, save_splats
from videorfsplat.formats.spz import from_system
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.quaternions import quats_to_rotations
from videorfsplat.geometry.spherical_harmonics import evaluate_sh_basis

FORMATS = [".ply", ".compressed.ply", ".spz", ".sog", ".splat"]


def table_of(data: bytes) -> np.ndarray:
    return np.array(PlyData.read(io.BytesIO(data))["vertex"].data)


def write_tables(path, **tables: np.ndarray) -> None:
    PlyData([PlyElement.describe(t, name) for name, t in tables.items()], byte_order="<").write(
        str(path)
    )


def with_columns(table: np.ndarray, added=(), without=()) -> np.ndarray:
    kept = [(n, table.dtype[n].str) for n in table.dtype.names if n not in without]
    new = np.zeros(len(table), dtype=[*kept, *((name, kind) for name, kind, _ in added)])
    for name, _ in kept:
        new[name] = table[name]
    for name, _, values in added:
        new[name] = values
    return new


# --- bad rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value"),
    [("x", np.nan), ("f_dc_1", -np.inf), ("scale_2", np.inf), ("rot_2", np.nan), ("rot", 0.0)],
)
def test_bad_rows_are_left_out_counted_and_named(tmp_path, caplog, column, value):
    gaussians = random_gaussians(num=6)
    table = table_of(ply_bytes(gaussians))
    for name in [n for n in table.dtype.names if n == column or n.startswith(f"{column}_")]:
        table[name][3] = value
    write_tables(tmp_path / "bad.ply", vertex=table)
    with caplog.at_level(logging.WARNING):
        found = read_splats(tmp_path / "bad.ply")
    assert (found.dropped, found.flattened) == (1, 0)
    assert "1 of 6 Gaussians left out, the first is row 4" in caplog.text
    kept = torch.tensor([0, 1, 2, 4, 5])
    assert_same_gaussians(found.gaussians, gaussians[kept])
    with pytest.raises(ValueError, match=r"bad\.ply: .*row 4"):
        read_splats(tmp_path / "bad.ply", strict=True)


def test_flat_scales_get_the_least_extent(tmp_path):
    table = table_of(ply_bytes(random_gaussians(num=6)))
    table["scale_1"][:2] = -np.inf
    write_tables(tmp_path / "flat.ply", vertex=table)
    found = read_splats(tmp_path / "flat.ply")
    assert (len(found.gaussians), found.dropped, found.flattened) == (6, 0, 2)
    assert found.gaussians.scales[:2, 1].tolist() == pytest.approx([1e-6, 1e-6])
    with pytest.raises(ValueError, match="scales must be positive"):
        read_splats(tmp_path / "flat.ply", strict=True)


def test_a_file_of_bad_rows_alone_is_refused(tmp_path):
    table = table_of(ply_bytes(random_gaussians(num=6)))
    table["x"] = np.nan
    write_tables(tmp_path / "bad.ply", vertex=table)
    with pytest.raises(ValueError, match="6 of 6 rows"):
        load_splats(tmp_path / "bad.ply")


def test_bad_rows_behind_packed_formats_are_left_out(tmp_path):
    save_splats(random_gaussians(num=300), tmp_path / "a.compressed.ply")
    ply = PlyData.read(str(tmp_path / "a.compressed.ply"))
    chunks, vertices = (np.array(ply[name].data) for name in ("chunk", "vertex"))
    chunks["max_x"][1] = np.nan  # of the last 44
    write_tables(tmp_path / "b.compressed.ply", chunk=chunks, vertex=vertices)
    found = read_splats(tmp_path / "b.compressed.ply")
    assert (len(found.gaussians), found.dropped) == (256, 44)
    path = write_sog(tmp_path / "a.sog", count=6)
    picture = np.full((1, 6, 4), 128, np.uint8)
    picture[..., 3] = [252, 253, 254, 255, 0, 9]  # the last two name no component
    replace_in_zip(path, "quats.webp", webp(picture))
    assert (len(read_splats(path).gaussians), read_splats(path).dropped) == (4, 2)


# --- dialects of PLY ------------------------------------------------------------------------------


def test_splats_of_two_scales_are_flat(tmp_path):
    table = table_of(ply_bytes(random_gaussians(num=6)))
    write_tables(tmp_path / "2dgs.ply", vertex=with_columns(table, without=["scale_2"]))
    found = read_splats(tmp_path / "2dgs.ply")
    assert found.gaussians.scales[:, 2].tolist() == pytest.approx([1e-6] * 6)
    assert (found.dropped, found.flattened) == (0, 0)


@pytest.mark.parametrize("kind", ["u1", "<f4"])
def test_colours_and_full_opacity_stand_in_for_what_a_ply_lacks(tmp_path, kind):
    gaussians = random_gaussians(num=6)
    gaussians.sh.clamp_(-1.7, 1.7)
    colors = gaussians.base_colors.numpy()
    values = np.round(colors * 255) if kind == "u1" else colors
    names = ["red", "green", "blue"]
    added = [(name, kind, values[:, i]) for i, name in enumerate(names)]
    without = ["f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    table = with_columns(table_of(ply_bytes(gaussians)), added, without)
    write_tables(tmp_path / "a.ply", vertex=table)
    found = load_ply(tmp_path / "a.ply")
    assert (found.opacities == 1).all()
    torch.testing.assert_close(found.base_colors, gaussians.base_colors, rtol=0, atol=0.51 / 255)


def test_other_elements_with_numbers_are_passed_over(tmp_path):
    """Some tools put their cameras beside the splats."""
    gaussians = random_gaussians(num=6)
    camera = np.zeros(9, dtype=[("intrinsic", "<f4")])
    write_tables(tmp_path / "a.ply", vertex=table_of(ply_bytes(gaussians)), intrinsic=camera)
    assert_same_gaussians(load_ply(tmp_path / "a.ply"), gaussians)


def test_chunks_without_colours_are_read(tmp_path):
    """SuperSplat up to 1.8: colours are bytes of [0, 1], there is no range of them."""
    gaussians = random_gaussians(num=300)
    save_splats(gaussians, tmp_path / "new.compressed.ply")
    ply = PlyData.read(str(tmp_path / "new.compressed.ply"))
    chunks = np.array(ply["chunk"].data)
    ranges = [f"{end}_{color}" for end in ("min", "max") for color in "rgb"]
    vertices = np.array(ply["vertex"].data)
    vertices["packed_color"] = 255 << 24 | 51 << 16 | 102 << 8 | 200
    old = with_columns(chunks, without=ranges)
    write_tables(tmp_path / "old.compressed.ply", chunk=old, vertex=vertices)
    found, new = (load_splats(tmp_path / f"{n}.compressed.ply") for n in ("old", "new"))
    assert torch.equal(found.means, new.means)
    expected = torch.tensor([1.0, 0.2, 0.4]).expand(300, 3)
    torch.testing.assert_close(found.base_colors, expected)
    assert found.opacities.tolist() == pytest.approx([200 / 255] * 300)


@pytest.mark.parametrize("degree", [0, 1])
def test_degree_three_on_request_for_tools_that_open_nothing_else(tmp_path, degree):
    gaussians = random_gaussians(num=6, degree=degree)
    save_ply(gaussians, tmp_path / "a.ply", sh_degree=3)
    table = table_of((tmp_path / "a.ply").read_bytes())
    assert sum(name.startswith("f_rest_") for name in table.dtype.names) == 45
    found = load_ply(tmp_path / "a.ply")
    known = (degree + 1) ** 2
    torch.testing.assert_close(found.sh[:, :known], gaussians.sh)
    assert not found.sh[:, known:].any()
    for wrong in (degree - 1, 4):
        with pytest.raises(ValueError, match="sh_degree must lie in"):
            save_ply(gaussians, tmp_path / "b.ply", sh_degree=wrong)
    with pytest.raises(ValueError, match=r"only \.ply"):
        save_splats(gaussians, tmp_path / "b.spz", sh_degree=3)


# --- contents tell the format ---------------------------------------------------------------------


# .splat has no mark in its contents.
@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".splat"])
@pytest.mark.parametrize("name", ["scene", "scene.ply", "scene.PLY", "scene.gz"])
def test_contents_tell_what_a_file_is(tmp_path, suffix, name):
    save_splats(random_gaussians(num=40), tmp_path / f"a{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert_same_gaussians(load_splats(path), load_splats(tmp_path / f"a{suffix}"))


# --- SPZ ------------------------------------------------------------------------------------------


def spz_of_version_4(path, gaussians: Gaussians, system: int | None = None) -> None:
    """Put down as the format's README says; degree 1, coordinates in the given axes."""
    count = len(gaussians)
    fixed = (gaussians.means.double() * 4096).round().long().numpy()
    positions = (fixed[..., None] >> np.array([0, 8, 16])) & 255
    xyzw = gaussians.quats.double().roll(-1, dims=1).numpy()
    words = []
    for quat in xyzw:
        largest = int(np.abs(quat).argmax())
        quat, word = quat * np.sign(quat[largest]), largest
        for value in np.delete(quat, largest):
            word = word << 10 | int(value < 0) << 9 | int(511 * abs(value) * 2**0.5 + 0.5)
        words.append(word)
    colors = gaussians.sh[:, 0].double() * 0.15 * 255 + 127.5
    sh = gaussians.sh[:, 1:4].double() * 128 + 128
    streams = [
        positions.astype(np.uint8),
        (gaussians.opacities * 255).round().byte().numpy(),
        colors.round().clamp(0, 255).byte().numpy(),
        ((gaussians.scales.log() + 10) * 16).round().byte().numpy(),
        np.array(words, "<u4"),
        sh.round().clamp(0, 255).byte().numpy(),
    ]
    packed = [zstandard.compress(stream.tobytes()) for stream in streams]
    records = struct.pack("<II4x", 0x12340001, 4)
    if system is not None:
        records += struct.pack("<III", 0xADBE0003, 4, system)
    header = struct.pack(
        "<4sIIBBBBI12x", b"NGSP", 4, count, 1, 12, 2, len(streams), 32 + len(records)
    )
    sizes = [(len(p), s.nbytes) for p, s in zip(packed, streams, strict=True)]
    table = b"".join(struct.pack("<QQ", *pair) for pair in sizes)
    path.write_bytes(header + records + table + b"".join(packed))


# Where x, y and z of each system point in right, down, forward: the table of the format's README.
LETTERS = {"R": (0, 1), "L": (0, -1), "D": (1, 1), "U": (1, -1), "F": (2, 1), "B": (2, -1)}
NAMES = [
    "LDB",
    "RDB",
    "LUB",
    "RUB",
    "LDF",
    "RDF",
    "LUF",
    "RUF",
    "LFD",
    "RFD",
    "LFU",
    "RFU",
    "LBD",
    "RBD",
    "LBU",
    "RBU",
]


def world_directions(system: str) -> torch.Tensor:
    """Matrix from coordinates of a system to right, down, forward."""
    matrix = torch.zeros(3, 3)
    for column, letter in enumerate(system):
        row, sign = LETTERS[letter]
        matrix[row, column] = sign
    return matrix


def covariances(gaussians: Gaussians) -> torch.Tensor:
    rotations = quats_to_rotations(gaussians.quats)
    return rotations @ torch.diag_embed(gaussians.scales**2) @ rotations.mT


@pytest.mark.parametrize("system", NAMES)
def test_all_axes_of_spz_are_turned_with_shapes_and_view_dependence(system):
    gaussians = random_gaussians(num=50, degree=3)
    matrix = world_directions(system)
    found = from_system(gaussians, system)
    torch.testing.assert_close(found.means, gaussians.means @ matrix.T)
    expected = matrix @ covariances(gaussians) @ matrix.T
    # float32 products of rotations
    torch.testing.assert_close(covariances(found), expected, rtol=0, atol=1e-5)
    directions = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    seen = [
        (evaluate_sh_basis(d, 16)[..., None] * g.sh).sum(dim=1)
        for d, g in ((directions, gaussians), (directions @ matrix.T, found))
    ]
    torch.testing.assert_close(*seen, rtol=0, atol=1e-5)


@pytest.mark.parametrize("number", [None, *range(1, 17)])
def test_spz_of_version_4_is_read_in_the_axes_that_it_states(tmp_path, number):
    gaussians = random_gaussians(num=50, degree=1)
    spz_of_version_4(tmp_path / "a.spz", gaussians, number)
    found = load_splats(tmp_path / "a.spz")
    matrix = world_directions("RUB" if number is None else NAMES[number - 1])
    # Half a step of 12 bits after the point.
    torch.testing.assert_close(found.means, gaussians.means @ matrix.T, rtol=0, atol=0.51 / 4096)
    expected = matrix @ covariances(gaussians) @ matrix.T
    size = covariances(gaussians).abs().amax()
    # A step of 1/16 of the logarithm of a scale is 6 % of a variance, and rotations have 9 bits.
    assert (covariances(found) - expected).abs().max() < 0.08 * size


def test_spz_and_ply_of_a_scene_agree_in_a_tool_that_knows_both(tmp_path):
    """SPZ's y points up by its definition, that of a 3DGS PLY down."""
    gaussians = random_gaussians(num=50)
    expected = gaussians.means.numpy() * (1, -1, -1)
    for axes in ("opencv", "opengl"):
        save_splats(gaussians, tmp_path / "a.spz", axes=axes)
        raw = gzip.decompress((tmp_path / "a.spz").read_bytes())
        packed = np.frombuffer(raw, np.uint8, 50 * 9, 16).reshape(50, 3, 3).astype(np.int32)
        fixed = packed @ np.array([1, 256, 65536])
        means = np.where(fixed >= 2**23, fixed - 2**24, fixed) / 4096
        np.testing.assert_allclose(means, expected, atol=0.51 / 4096)
        torch.testing.assert_close(
            load_splats(tmp_path / "a.spz").means, gaussians.means, rtol=0, atol=0.51 / 4096
        )


# --- SOG ------------------------------------------------------------------------------------------


def webp(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", lossless=True, exact=True)
    return stream.getvalue()


def write_sog(path, count: int, folder: str = "", version: int = 1):
    """Version 1: ranges instead of palettes, logits, no count."""
    random = np.random.default_rng(0)
    pictures = {
        name: random.integers(0, 256, (1, count, 4), dtype=np.uint8)
        for name in ("means_l", "means_u", "scales", "quats", "sh0")
    }
    pictures["quats"][..., 3] = 252 + random.integers(0, 4, count)

    def part(names: list[str], low: list[float], high: list[float], columns: int) -> dict:
        files = [f"{name}.webp" for name in names]
        return {"shape": [count, columns], "mins": low, "maxs": high, "files": files}

    meta = {
        "means": part(["means_l", "means_u"], [-1, -2, 0], [1, 2, 3], 3),
        "scales": part(["scales"], [-5, -5, -5], [-2, -3, -4], 3),
        "quats": {"shape": [count, 4], "files": ["quats.webp"]},
        "sh0": part(["sh0"], [-1, -1, -1, -4], [1, 1, 1, 4], 4),
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}meta.json", json.dumps(meta))
        for name, pixels in pictures.items():
            archive.writestr(f"{folder}{name}.webp", webp(pixels))
    return path


def replace_in_zip(path, name: str, content: bytes | None) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {n: archive.read(n) for n in archive.namelist() if n != name}
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in (contents | ({} if content is None else {name: content})).items():
            archive.writestr(key, value)


def test_sog_of_version_1_is_read_by_its_ranges(tmp_path):
    path = write_sog(tmp_path / "a.sog", 40)
    found = load_splats(path)
    with zipfile.ZipFile(path) as archive:
        pixels = {
            name: np.asarray(Image.open(io.BytesIO(archive.read(f"{name}.webp"))).convert("RGBA"))
            for name in ("means_l", "means_u", "scales", "sh0")
        }
    sixteen = pixels["means_l"][0].astype(float) + 256.0 * pixels["means_u"][0]
    logs = -1 + 2 * sixteen[:, 0] / 65535
    expected = np.sign(logs) * (np.exp(np.abs(logs)) - 1)
    np.testing.assert_allclose(found.means[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(
        found.scales[:, 2], np.exp(-5 + pixels["scales"][0, :, 2] / 255), rtol=1e-5
    )
    logits = -4 + 8 * (pixels["sh0"][0, :, 3] / 255)
    np.testing.assert_allclose(found.opacities, 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_sog_is_read_unbundled_and_out_of_a_folder_of_its_bundle(tmp_path):
    expected = load_splats(write_sog(tmp_path / "a.sog", 40))
    assert_same_gaussians(load_splats(write_sog(tmp_path / "b.sog", 40, "scene/")), expected)
    with zipfile.ZipFile(tmp_path / "a.sog") as archive:
        archive.extractall(tmp_path / "open")
    assert_same_gaussians(load_splats(tmp_path / "open" / "meta.json"), expected)
    (tmp_path / "open" / "quats.webp").unlink()
    with pytest.raises(ValueError, match=r"meta\.json: picture 'quats\.webp' is missing"):
        load_splats(tmp_path / "open" / "meta.json")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("meta.json", b'{"version":2,"count":1}', "means is missing"),
        ("meta.json", b"[" * 100_000, "not JSON"),
        ("meta.json", b"[]", "expected a JSON object"),
        ("quats.webp", None, "picture 'quats.webp' is missing"),
        ("scales.webp", b"", "not a WebP picture"),
        ("sh0.webp", webp(np.zeros((1, 1, 4), np.uint8)), "sh0: 1 pixels for 40 Gaussians"),
        # A header of 16,384 × 16,384 pixels, for which Pillow would take two gigabytes.
        (
            "sh0.webp",
            b"RIFF\x20\0\0\0WEBPVP8L\x0d\0\0\0\x2f" + struct.pack("<I", 2**28 - 1) + b"\0" * 9,
            "16384x16384 pixels",
        ),
    ],
)
def test_archives_that_do_not_fit_are_refused_in_words(tmp_path, name, content, complaint):
    path = write_sog(tmp_path / "a.sog", 40)
    replace_in_zip(path, name, content)
    with pytest.raises(ValueError, match=rf"a\.sog: .*{complaint}"):
        load_splats(path)


def test_values_that_sog_cannot_hold_are_refused_when_written(tmp_path):
    gaussians = random_gaussians(num=40)
    gaussians.scales[0] = 3e38
    gaussians.means[1] = 3e38
    gaussians.sh[:, 0] = 3e38
    with pytest.raises(ValueError, match=r"\.sog cannot hold"):
        save_splats(gaussians, tmp_path / "a.sog")
    assert list(tmp_path.iterdir()) == []


# --- bombs ----------------------------------------------------------------------------------------


def spz_bomb() -> bytes:
    header = struct.pack("<4sIIBBBB", b"NGSP", 3, 50_000_000, 0, 12, 0, 0)
    return gzip.compress(header + b"\0" * 2**26)


def sog_bomb() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", b" " * 2**26)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (spz_bomb(), "become more than"),
        (sog_bomb(), "becomes more than"),
        (gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 3, 10**8, 0, 12, 0, 0)), "take"),
        (b"NGSP" + struct.pack("<IIBBBBI", 4, 10**8, 0, 12, 0, 6, 32) + b"\0" * 200, "Gaussians"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\ncomment " + b"x" * 2**20, "header"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\n"
            b"element face 1000000000\nproperty list uchar int vertex_indices\nend_header\n",
            "list",
        ),
    ],
    ids=["spz", "sog", "spz-header", "spz-4", "comment", "list"],
)
def test_small_files_that_promise_much_are_refused_at_once(tmp_path, content, complaint):
    (tmp_path / "bomb").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bomb.*{complaint}"):
        load_splats(tmp_path / "bomb")


def test_who_trusts_a_file_can_read_past_the_limits(tmp_path):
    """Two million Gaussians that are all alike pack to a thousandth."""
    count = 600_000
    header = struct.pack("<4sIIBBBB", b"NGSP", 3, count, 0, 12, 0, 0)
    (tmp_path / "a.spz").write_bytes(gzip.compress(header + b"\x7f" * (20 * count), 1))
    with pytest.raises(ValueError, match="become more than"):
        load_splats(tmp_path / "a.spz")
    assert len(read_splats(tmp_path / "a.spz", trusted=True).gaussians) == count
