"""Scenes and shards: depth, poses and pixels agree; what is written is read; killed runs go on."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from videorfsplat.data.worlds import (
    HELD_OUT_SEED,
    WorldsDataset,
    dataset,
    make_scene,
    preview_sheet,
    sample_world,
    write_worlds,
)
from videorfsplat.data.worlds.captions import (
    attributes,
)
from videorfsplat.geometry.view_colors import VIEW_COLORS


def test_the_same_seed_gives_the_same_scene():
    one, two = make_scene(12, 2, 32, 1), make_scene(12, 2, 32, 1)
    assert one.world == two.world
    np.testing.assert_array_equal(one.frames, two.frames)
    np.testing.assert_array_equal(one.novel_depths, two.novel_depths)


def test_seeds_give_different_worlds():
    worlds = [sample_world(seed) for seed in range(300)]
    assert len({world.kind for world in worlds}) == 24
    assert len({(w.kind, w.main_color, w.ground, w.time, w.motion) for w in worlds}) > 290


@pytest.mark.parametrize("seed", [0, 7, 21, 33])
def test_the_frame_of_view_one_and_its_scale(seed):
    scene = make_scene(seed, 4, 48, 2)
    first = scene.depths[0]
    assert np.median(first[first > 0]) == pytest.approx(1.0, rel=1e-5)
    torch.testing.assert_close(scene.cameras.viewmats[0], torch.eye(4), atol=1e-6, rtol=0)
    assert scene.scale > 1
    assert scene.depths.max() < 20
    assert scene.cameras.num_views == 4
    assert scene.novel_cameras.num_views == len(scene.novel_frames) == 2


def reprojected(scene, target_cameras, target_depths):
    """Depth of view 1's pixels in another view: computed from view 1, and as that view has it."""
    size = scene.cameras.width
    ys, xs = np.mgrid[:size, :size] + 0.5
    K = scene.cameras.Ks[0].numpy()
    depth = scene.depths[0]
    local = np.stack([(xs - K[0, 2]) / K[0, 0], (ys - K[1, 2]) / K[1, 1], np.ones_like(xs)], -1)
    points = (local * depth[..., None])[depth > 0]
    viewmat, K = target_cameras.viewmats[0].numpy(), target_cameras.Ks[0].numpy()
    moved = points @ viewmat[:3, :3].T + viewmat[:3, 3]
    columns = np.floor(K[0, 0] * moved[:, 0] / moved[:, 2] + K[0, 2]).astype(int)
    rows = np.floor(K[1, 1] * moved[:, 1] / moved[:, 2] + K[1, 2]).astype(int)
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size) & (moved[:, 2] > 0)
    return moved[inside, 2], target_depths[0][rows[inside], columns[inside]]


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_depths_of_two_views_describe_one_scene(seed):
    scene = make_scene(seed, 3, 64, 1)
    pairs = [
        (scene.cameras[1], scene.depths[1:2]),
        (scene.cameras[2], scene.depths[2:3]),
        (scene.novel_cameras[0], scene.novel_depths[0:1]),
    ]
    for cameras, depths in pairs:
        expected, found = reprojected(scene, cameras, depths)
        error = np.abs(expected - found) / expected
        # Half a pixel on slanted ground is some percent; a wrong pose or scale gives tens.
        assert np.median(error) < 0.02
        assert np.mean(error < 0.1) > 0.75


def test_novel_views_are_near_the_path_but_not_on_it():
    scene = make_scene(3, 8, 16, 4)
    distances = torch.cdist(scene.novel_cameras.centers, scene.cameras.centers)
    assert (distances.min(dim=1).values > 1e-4).all()
    assert (distances.min(dim=1).values < 0.5).all()


def test_rejects_bad_counts():
    with pytest.raises(ValueError, match="num_views"):
        make_scene(0, 0)
    with pytest.raises(ValueError, match="at least 0"):
        sample_world(-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("worlds")
    written = write_worlds(target, 5, 5, num_views=3, size=16, extra_views=1, scenes_per_shard=2)
    assert written == 5
    return target


def test_what_is_read_is_what_was_made(folder):
    data = WorldsDataset(folder)
    assert len(data) == 5
    assert (data.num_views, data.num_novel_views, data.size) == (3, 1, 16)
    for index in (4, 0, 3):
        scene = make_scene(5 + index, 3, 16, 1)
        assert data.seed(index) == 5 + index
        np.testing.assert_array_equal(data.frames(index), scene.frames.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(
            data.novel_frames(index), scene.novel_frames.transpose(0, 3, 1, 2)
        )
        # float16 keeps 11 bits.
        np.testing.assert_allclose(data.depths(index), scene.depths, rtol=1e-3)
        torch.testing.assert_close(data.cameras(index).viewmats, scene.cameras.viewmats)
        torch.testing.assert_close(data.novel_cameras(index).Ks, scene.novel_cameras.Ks)
        assert data.scale(index) == pytest.approx(scene.scale, rel=1e-6)
        assert data.attributes(index) == attributes(scene.world)
        assert len(data.captions(index)) == len(data.mentions(index)) == 4
        assert data.record(index)["seed"] == 5 + index


def test_a_dataset_can_be_pickled_after_reading(folder):
    data = WorldsDataset(folder)
    data.frames(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data)).frames(2), data.frames(2))


def test_rejects_an_index_out_of_range(folder):
    with pytest.raises(IndexError, match="scene 5 of 5"):
        WorldsDataset(folder).frames(5)


def test_a_killed_run_is_continued(folder, tmp_path, monkeypatch):
    arguments = {"num_views": 1, "size": 8, "scenes_per_shard": 2}
    made = []
    real = dataset.make_scene

    def dying(seed, *more):
        if seed == 3 and len(made) == 3:
            raise KeyboardInterrupt
        made.append(seed)
        return real(seed, *more)

    monkeypatch.setattr(dataset, "make_scene", dying)
    with pytest.raises(KeyboardInterrupt):
        write_worlds(tmp_path, 0, 4, **arguments)
    assert len(list(tmp_path.glob("worlds-*.safetensors"))) == 1
    made.append(-1)
    assert write_worlds(tmp_path, 0, 4, **arguments) == 2
    assert made == [0, 1, 2, -1, 2, 3]
    assert write_worlds(tmp_path, 0, 4, **arguments) == 0
    assert [WorldsDataset(tmp_path).seed(index) for index in range(4)] == [0, 1, 2, 3]


@pytest.fixture
def rendered(monkeypatch):
    """Seeds of the scenes that are rendered."""
    seeds = []
    real = dataset.make_scene

    def counting(seed, *more):
        seeds.append(seed)
        return real(seed, *more)

    monkeypatch.setattr(dataset, "make_scene", counting)
    return seeds


SHAPE = {"num_views": 3, "size": 16, "extra_views": 1}


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"size": 24}, "size: 16 and 24"),
        ({"num_views": 2, "extra_views": 0}, "num_views: 3 and 2, extra_views: 1 and 0"),
        ({"captions_per_scene": 1}, "captions_per_scene: 4 and 1"),
    ],
)
def test_other_scenes_are_not_written_beside_those_of_a_folder(
    folder, rendered, changed, complaint
):
    for first_seed in (5, 100):
        with pytest.raises(ValueError, match=rf"\({complaint}\): write to another folder"):
            write_worlds(folder, first_seed, 5, scenes_per_shard=2, **SHAPE | changed)
    assert not rendered


@pytest.mark.parametrize(("first_seed", "num_scenes", "shared"), [(5, 3, 7), (5, 9, 9), (4, 2, 5)])
def test_no_scene_is_written_twice(folder, rendered, first_seed, num_scenes, shared):
    with pytest.raises(ValueError, match=f"seed {shared}: .* only scenes from seed 10 on"):
        write_worlds(folder, first_seed, num_scenes, scenes_per_shard=2, **SHAPE)
    assert not rendered


def test_more_scenes_are_more_shards(folder, tmp_path, rendered):
    for path in folder.glob("worlds-*-2.*"):  # seeds 5 to 8
        shutil.copy(path, tmp_path)
    assert write_worlds(tmp_path, 5, 5, scenes_per_shard=2, **SHAPE) == 1
    assert write_worlds(tmp_path, 5, 2, scenes_per_shard=2, **SHAPE) == 0
    assert write_worlds(tmp_path, 20, 1, **SHAPE) == 1
    assert rendered == [9, 20]
    data = WorldsDataset(tmp_path)
    assert [data.seed(index) for index in range(len(data))] == [5, 6, 7, 8, 9, 20]


def test_rejects_a_folder_of_unlike_shards(folder, tmp_path):
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    other = tmp_path / "other"
    write_worlds(other, 20, 1, num_views=3, size=8)
    for path in other.iterdir():
        shutil.copy(path, tmp_path)
    differing = r"-2\.safetensors and .*020-1\.safetensors differ"
    with pytest.raises(ValueError, match=rf"{differing} \(size: 16 and 8, extra_views: 1 and 0\)"):
        WorldsDataset(tmp_path)


def test_rejects_a_folder_with_a_scene_in_two_shards(folder, tmp_path):
    for path in folder.iterdir():
        shutil.copy(path, tmp_path)
    other = tmp_path / "other"
    write_worlds(other, 8, 1, **SHAPE)
    for path in other.iterdir():
        shutil.copy(path, tmp_path)
    with pytest.raises(ValueError, match=r"both have the scene of seed 8: move one of them"):
        WorldsDataset(tmp_path)


@pytest.mark.slow
def test_processes_write_the_same_shards(folder, tmp_path):
    write_worlds(
        tmp_path, 5, 5, num_views=3, size=16, extra_views=1, scenes_per_shard=2, processes=2
    )
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("first_seed", "num_scenes"), [(-1, 2), (0, 0), (HELD_OUT_SEED - 1, 2)])
def test_rejects_bad_ranges_of_seeds(tmp_path, first_seed, num_scenes):
    with pytest.raises(ValueError, match="at least"):
        write_worlds(tmp_path / "new", first_seed, num_scenes)
    assert not (tmp_path / "new").exists()


def test_rejects_an_empty_folder_and_a_shard_without_records(folder, tmp_path):
    with pytest.raises(ValueError, match="no worlds"):
        WorldsDataset(tmp_path)
    shard = next(folder.glob("*.safetensors"))
    (tmp_path / shard.name).write_bytes(shard.read_bytes())
    with pytest.raises(ValueError, match="jsonl"):
        WorldsDataset(tmp_path)


def test_damaged_shards_are_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = sorted(tmp_path.glob("*.safetensors"))[0]
    whole, records = path.read_bytes(), path.with_suffix(".jsonl")
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=path.name):
        WorldsDataset(tmp_path)
    path.write_bytes(whole)
    for line in ("[]", "[" * 100_000, '{"captions": 7}'):
        records.write_text(line + "\n")
        with pytest.raises(ValueError, match=records.name):
            WorldsDataset(tmp_path)


def test_records_are_json_lines(folder):
    lines = sorted(folder.glob("*.jsonl"))[0].read_text().splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [5, 6]


def test_the_sheet_shows_every_view_in_its_color(tmp_path):
    path = tmp_path / "sheets" / "sheet.png"
    preview_sheet([1, 2], path, num_views=8, size=16, zoom=2)
    with Image.open(path) as sheet:
        colors = {color for _, color in sheet.convert("RGB").getcolors(100_000)}
    assert {tuple(bytes.fromhex(color[1:])) for color in VIEW_COLORS} <= colors
    with pytest.raises(ValueError, match="seed"):
        preview_sheet([], path)


def test_view_colors_are_eight_distinct():
    assert len(set(VIEW_COLORS)) == 8
