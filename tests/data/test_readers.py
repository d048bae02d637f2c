"""Every format, proven by rendering: the cameras that were read see the pictures that were read."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from recordings import (
    film,
    rerender,
    rerender_depths,
    times,
    write_camera_file,
    write_colmap,
    write_nerfstudio,
    write_realestate10k,
    write_video,
)

from videorfsplat.data.readers.folders import find_scenes
from videorfsplat.data.readers.lens import distort_points, undistort_frame
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import (
    choose_views,
    draw_sample,
    fit_views,
    point_depths,
)
from videorfsplat.geometry.cameras import Cameras, concatenate_cameras

SAMPLING = ViewSampling(num_views=4, height=32, width=48)


def write_video_clip(recording, root):
    write_camera_file(recording, root / "train" / "clip.txt")
    write_video(recording, root / "videos" / "abc-DEF_123.mp4")


WRITERS = {
    "realestate10k": write_realestate10k,
    "realestate10k-video": write_video_clip,
    "nerfstudio": lambda recording, root: write_nerfstudio(recording, root / "scene"),
    "dl3dv": lambda recording, root: write_nerfstudio(recording, root / "1K" / "ab12", shrink=4),
    "mvimgnet": lambda recording, root: write_colmap(recording, root / "0" / "00a1"),
    "colmap-text": lambda recording, root: write_colmap(recording, root / "scene", binary=False),
}


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    return -10 * np.log10(np.mean((one / 255.0 - two / 255.0) ** 2))


def read_only_scene(root):
    (source,) = find_scenes(root)
    return source.read()


@pytest.fixture(scope="module", params=WRITERS)
def data(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    WRITERS[request.param](film(), root)
    return root


def test_cameras_that_were_read_see_the_pictures_that_were_read(data):
    sequence = read_only_scene(data)
    assert len(sequence) == 10
    assert not sequence.missing
    sample = draw_sample(sequence, SAMPLING, np.random.default_rng(3))
    assert sample.frames.shape == (4, 3, 32, 48)
    assert torch.equal(sample.cameras.viewmats[0], torch.eye(4))
    seen = rerender(film(), sample.indices[0], sample.cameras, sample.unit)
    frames = sample.frames.permute(0, 2, 3, 1).numpy()
    # Two antialiasing filters differ by 30 dB and more. One pixel of misplacement in the picture,
    # as of a half-pixel convention before the shrinking, costs 5 dB: see the next test.
    assert min(psnr(a, b) for a, b in zip(seen, frames, strict=True)) > 28


def test_a_misplaced_pixel_would_be_seen(data):
    """The measure above tells right cameras from nearly right ones."""
    sample = draw_sample(read_only_scene(data), SAMPLING, np.random.default_rng(3))
    frames = sample.frames.permute(0, 2, 3, 1).numpy()
    right = rerender(film(), sample.indices[0], sample.cameras, sample.unit)
    Ks = sample.cameras.Ks.clone()
    Ks[:, 0, 2] += 0.5
    shifted = Cameras(sample.cameras.viewmats, Ks, 48, 32)
    wrong = rerender(film(), sample.indices[0], shifted, sample.unit)
    assert psnr(right, frames) > psnr(wrong, frames) + 2
    # A unit that is off moves all views but the first.
    wrong = rerender(film(), sample.indices[0], sample.cameras, 0.9 * sample.unit)
    assert psnr(right[1:], frames[1:]) > psnr(wrong[1:], frames[1:]) + 2


def test_cropping_makes_pixels_square_and_centres_the_principal_point(data):
    sample = draw_sample(read_only_scene(data), SAMPLING, np.random.default_rng(0))
    Ks = sample.cameras.Ks
    # A crop of whole pixels: half a pixel of some fifty.
    torch.testing.assert_close(Ks[:, 0, 0], Ks[:, 1, 1], rtol=0.02, atol=0)
    middle = torch.tensor([24.0, 16.0]).expand(4, 2)
    torch.testing.assert_close(Ks[:, :2, 2], middle, rtol=0, atol=0.5)


def test_the_unit_is_the_median_depth_where_there_are_points(tmp_path):
    write_colmap(film(), tmp_path / "scene")
    sequence = read_only_scene(tmp_path)
    for i, depths in enumerate(film().depths):
        # The reader sees every sixth pixel of the depths.
        expected = np.median(depths[depths > 0])
        assert sequence.median_depths[i] == pytest.approx(expected, rel=0.1)
    sample = draw_sample(sequence, SAMPLING, np.random.default_rng(0))
    assert sample.unit == pytest.approx(float(sequence.median_depths[sample.indices[0]]))


def test_the_unit_is_the_extent_where_there_are_none(tmp_path):
    write_nerfstudio(film(), tmp_path / "scene")
    sample = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0))
    assert sample.cameras.centers[1:].norm(dim=1).mean() == pytest.approx(1.0, rel=1e-5)


def test_held_back_frames_lie_between_the_views_and_are_seen_by_their_cameras(tmp_path):
    write_nerfstudio(film(), tmp_path / "scene")
    sequence = read_only_scene(tmp_path)
    for seed in range(8):
        sample = draw_sample(sequence, SAMPLING, np.random.default_rng(seed), novel_views=3)
        everything = concatenate_cameras([sample.cameras, sample.novel_cameras])
        known = sequence.cameras.centers
        start = sequence.cameras.viewmats[sample.indices[0]]
        places = (known @ start[:3, :3].T + start[:3, 3]) / sample.unit
        frames = torch.cdist(everything.centers.double(), places).argmin(dim=1).tolist()
        assert frames[:4] == sample.indices
        assert len(set(frames)) == 7
        assert frames[0] < min(frames[4:]) <= max(frames[4:]) < frames[3]
    seen = rerender(film(), sample.indices[0], sample.novel_cameras, sample.unit)
    novel = sample.novel_frames.permute(0, 2, 3, 1).numpy()
    assert min(psnr(a, b) for a, b in zip(seen, novel, strict=True)) > 28  # as above


def test_the_unit_is_that_of_the_views_alone(tmp_path):
    write_nerfstudio(film(), tmp_path / "scene")
    sample = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0), 3)
    assert sample.cameras.centers[1:].norm(dim=1).mean() == pytest.approx(1.0, rel=1e-5)


def test_the_points_of_a_model_give_depths_where_its_views_see_them(tmp_path):
    write_colmap(film(), tmp_path / "scene")
    sample = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0))
    depths = point_depths(sample.points, sample.cameras)
    assert depths.shape == (4, 32, 48)
    known = ~depths.isnan()
    # One pixel in 36 of the 60 rows has a point, unless it is sky; a crop to 32 rows.
    assert known.flatten(1).sum(dim=1).min() > 20
    expected = rerender_depths(film(), sample.indices[0], sample.cameras, sample.unit)
    ratios = (depths / expected)[known]
    # Points lie elsewhere in their pixel than its centre; at edges that is another surface.
    assert (ratios - 1).abs().median() < 0.02
    assert ((ratios - 1).abs() < 0.1).float().mean() > 0.8


def test_of_two_points_in_a_pixel_the_nearer_counts_and_none_behind_or_beside():
    K = torch.tensor([[4.0, 0, 2], [0, 4.0, 1], [0, 0, 1]])
    cameras = Cameras(torch.eye(4).repeat(2, 1, 1), K.repeat(2, 1, 1), 4, 2)
    seen = [[0.1, 0.1, 3.0], [0.1, 0.1, 2.0], [0.1, 0.1, -1.0], [9.0, 0.0, 1.0]]
    depths = point_depths((torch.tensor(seen), torch.zeros(0, 3)), cameras)
    assert depths[0, 1, 2] == 2.0
    assert depths.isnan().sum() == 2 * 2 * 4 - 1


def test_scenes_are_named_by_their_path_and_found_in_one_walk(tmp_path):
    write_realestate10k(film(), tmp_path / "re10k", "b")
    write_realestate10k(film(), tmp_path / "re10k", "a")
    write_colmap(film(), tmp_path / "mvimgnet" / "7" / "00b2")
    write_nerfstudio(film(), tmp_path / "dl3dv" / "scene.1")
    (tmp_path / "re10k" / "notes.txt").write_text("nothing")
    scenes = find_scenes(tmp_path)
    assert [(scene.name, scene.format) for scene in scenes] == [
        ("dl3dv/scene.1", "nerfstudio"),
        ("mvimgnet/7/00b2", "colmap"),
        ("re10k/train/a", "realestate10k"),
        ("re10k/train/b", "realestate10k"),
    ]
    assert [len(scene.read()) for scene in scenes] == [10] * 4


# --- sampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_views_are_in_order_evenly_spaced_and_obey_the_rules(tmp_path, seed):
    write_nerfstudio(film(), tmp_path / "scene")
    sequence = read_only_scene(tmp_path)
    sampling = ViewSampling(num_views=4, height=32, width=48, min_baseline=0.3, max_turn=12)
    indices = choose_views(sequence, sampling, np.random.default_rng(seed))
    steps = np.diff(indices)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
    centers = sequence.cameras.centers
    extent = (centers - centers[0]).norm(dim=1).max()
    assert (centers[indices[1:]] - centers[indices[0]]).norm(dim=1).mean() >= 0.3 * extent


def test_windows_differ_and_repeat_with_the_generator(tmp_path):
    write_nerfstudio(film(), tmp_path / "scene")
    sequence = read_only_scene(tmp_path)

    def windows(seed):
        rng = np.random.default_rng(seed)
        return [choose_views(sequence, SAMPLING, rng) for _ in range(8)]

    assert windows(1) == windows(1)
    assert len({tuple(indices) for indices in windows(1)}) > 2


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"num_views": 11}, "scene: 10 frames, 11 are needed"),
        ({"min_baseline": 0.9}, "no 4 views with a baseline of at least 0.9"),
        ({"max_turn": 0.1}, "turns of at most 0.1 degrees"),
    ],
)
def test_recordings_that_cannot_be_sampled_are_named(tmp_path, changed, complaint):
    write_nerfstudio(film(), tmp_path / "scene")
    sampling = ViewSampling(**{"num_views": 4, "height": 32, "width": 48, **changed})
    with pytest.raises(ValueError, match=complaint):
        choose_views(read_only_scene(tmp_path), sampling, np.random.default_rng(0))


def test_a_recording_without_frames_to_hold_back_is_named(tmp_path):
    write_nerfstudio(film(), tmp_path / "scene")
    with pytest.raises(ValueError, match="scene: 10 frames, 12 are needed"):
        choose_views(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0), 8)


@pytest.mark.parametrize(
    "changed", [{"num_views": 1}, {"height": 40}, {"min_baseline": -1}, {"max_turn": 0}]
)
def test_rejects_settings_out_of_range(changed):
    with pytest.raises(ValueError, match=next(iter(changed))):
        ViewSampling(**changed)


# --- size and lens --------------------------------------------------------------------------------


def test_pictures_that_do_not_fit_their_cameras_are_refused():
    cameras, lenses = film().cameras[:2], torch.zeros(2, 6)
    pictures = list(film().frames[:2])
    with pytest.raises(ValueError, match=r"pictures of 60x60 do not have the shape of .* 100x60"):
        fit_views([p[:, :60] for p in pictures], cameras, lenses, (32, 48))
    # One may be wrong alone.
    with pytest.raises(ValueError, match=r"pictures of 60x60"):
        fit_views([pictures[0], pictures[1][:, :60]], cameras, lenses, (32, 48))


LENS = torch.tensor([0.12, -0.05, 0.01, 0.0, 0.004, -0.003], dtype=torch.float64)


def test_the_lens_is_opencvs():
    """Against COLMAP's own implementation of the same model (its OPENCV camera has no k3, k4)."""
    import pycolmap

    lens = torch.tensor([0.12, -0.05, 0.0, 0.0, 0.004, -0.003], dtype=torch.float64)
    camera = pycolmap.Camera(
        model="OPENCV", width=100, height=60, params=[90, 80, 53, 28, *lens[[0, 1, 4, 5]].tolist()]
    )
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
    found = distort_points(torch.from_numpy(points), lens).numpy() * (90, 80) + (53, 28)
    rays = np.concatenate([points, np.ones((50, 1))], axis=1)
    np.testing.assert_allclose(found, camera.img_from_cam(rays), atol=1e-9)


def test_undistorting_undoes_a_lens():
    """A smooth picture through the lens, and back: it is known at any place."""

    def picture(points):  # of a pinhole camera, on the plane at depth 1
        return 0.5 + 0.5 * torch.sin(12 * points[..., 0]) * torch.cos(9 * points[..., 1])

    K = film().cameras.Ks[0]
    columns, rows = torch.arange(100).double() + 0.5, torch.arange(60).double() + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    points = (pixels - K[:2, 2]) / K.diagonal()[:2]
    undone = points.clone()
    for _ in range(30):  # what the pinhole would have imaged where the lens images these pixels
        undone = undone - (distort_points(undone, LENS) - points)
    found = undistort_frame(picture(undone)[None], K, LENS)[0]
    # Inside, where the lens has seen everything. Bilinear sampling of waves of 12 rad per unit at
    # 90 pixels per unit: (12/90)²/8 = 0.002 of the amplitude.
    inside = (slice(6, -6), slice(8, -8))
    torch.testing.assert_close(found[inside], picture(points)[inside], rtol=0, atol=0.003)
    assert (picture(undone) - picture(points))[inside].abs().max() > 0.05


def test_a_distorted_recording_is_undistorted_when_it_is_read(tmp_path):
    folder = write_nerfstudio(film(), tmp_path / "scene")
    plain = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0))
    content = json.loads((folder / "transforms.json").read_text())
    content["k1"] = 0.3
    (folder / "transforms.json").write_text(json.dumps(content))
    bent = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(0))
    assert bent.indices == plain.indices
    torch.testing.assert_close(bent.cameras.Ks, plain.cameras.Ks)
    middle = (slice(None), slice(None), slice(14, 18), slice(22, 26))
    difference = (bent.frames.float() - plain.frames.float()).abs()
    assert difference[middle].mean() < 3
    assert difference.mean() > difference[middle].mean()


# --- damage ---------------------------------------------------------------------------------------


def replace_word(path, line: int, word: int, text: str) -> None:
    lines = path.read_text().splitlines()
    words = lines[line].split()
    words[word] = text
    lines[line] = " ".join(words)
    path.write_text("\n".join(lines) + "\n")


def check_broken(root, complaint: str) -> None:
    (source,) = find_scenes(root)
    with pytest.raises(ValueError, match=complaint):
        draw_sample(source.read(), SAMPLING, np.random.default_rng(0))


@pytest.mark.parametrize("text", ["nan", "x", ""])
def test_a_pose_that_is_no_number_is_named(tmp_path, text):
    path = write_realestate10k(film(), tmp_path)
    replace_word(path, 3, 9, text)
    check_broken(tmp_path, r"clip\.txt, line 4")


def test_a_pose_that_is_no_rotation_is_named(tmp_path):
    path = write_realestate10k(film(), tmp_path)
    replace_word(path, 1, 7, "3.0")
    check_broken(tmp_path, r"clip\.txt: .*view 1 is not a rotation")


def test_a_frame_that_cannot_be_read_is_named(tmp_path):
    write_realestate10k(film(), tmp_path)
    for path in sorted((tmp_path / "frames/train/clip").iterdir())[1:]:
        path.write_bytes(path.read_bytes()[:200])
    check_broken(tmp_path, r"frames/train/clip/\d+\.png: not a picture, or damaged")


def test_a_damaged_video_is_named(tmp_path):
    write_video_clip(film(), tmp_path)
    path = tmp_path / "videos" / "abc-DEF_123.mp4"
    path.write_bytes(path.read_bytes()[:300])
    check_broken(tmp_path, r"abc-DEF_123\.mp4: not a video, or damaged")


def test_a_time_that_the_video_does_not_have_is_named(tmp_path):
    write_video_clip(film(), tmp_path)
    replace_word(tmp_path / "train/clip.txt", 1, 0, "90000000")
    (source,) = find_scenes(tmp_path)
    with pytest.raises(ValueError, match=r"mp4: no frame at 90\.000 s"):
        source.read().frames.read(9)


def test_a_camera_that_stands_still_is_named(tmp_path):
    still = film()
    still = type(still)(still.world, still.cameras[[0] * 10], still.frames, still.depths)
    write_nerfstudio(still, tmp_path / "scene")
    check_broken(tmp_path, "scene: the camera stands still")


def test_missing_frames_are_left_out_and_named(tmp_path):
    write_realestate10k(film(), tmp_path / "a")
    write_nerfstudio(film(), tmp_path / "b" / "scene")
    write_colmap(film(), tmp_path / "c" / "scene")
    (tmp_path / "a/frames/train/clip" / f"{times(film())[2]}.png").unlink()
    (tmp_path / "b/scene/images/frame_00003.png").unlink()
    (tmp_path / "c/scene/images/003.png").unlink()
    kept = [i for i in range(10) if i != 2]
    names = (str(times(film())[2]), "images/frame_00003.png", "003.png")
    for root, name in zip("abc", names, strict=True):
        sequence = read_only_scene(tmp_path / root)
        assert sequence.missing == (name,)
        first = film().cameras.relative_to_first()
        found = sequence.cameras.relative_to_first()
        torch.testing.assert_close(found.viewmats, first.viewmats[kept], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["realestate10k", "nerfstudio", "mvimgnet"])
def test_a_scene_without_pictures_is_named(tmp_path, name):
    WRITERS[name](film(), tmp_path)
    for folder in ("frames", "scene/images", "0/00a1/images"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    check_broken(tmp_path, "neither frames nor a video|none of its 10 pictures")


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin", "points3D.bin"])
def test_a_truncated_model_is_named(tmp_path, file):
    path = write_colmap(film(), tmp_path / "scene") / "sparse/0" / file
    path.write_bytes(path.read_bytes()[:-5])
    check_broken(tmp_path, rf"{file} ends")


def test_a_fisheye_is_refused(tmp_path):
    path = write_colmap(film(), tmp_path / "scene", binary=False) / "sparse/0/cameras.txt"
    path.write_text("7 OPENCV_FISHEYE 100 60 90 90 50 30 0 0 0 0\n")
    check_broken(tmp_path, "OPENCV_FISHEYE is not one of")


def test_folders_without_scenes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        find_scenes(tmp_path / "gone")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="no scenes; expected"):
        find_scenes(tmp_path)
