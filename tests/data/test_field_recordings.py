"""Recordings as people and tools lay them out."""

import json
import shutil

import av
import numpy as np
import pytest
import torch
from PIL import Image
from recordings import film, times, write_camera_file, write_colmap, write_nerfstudio, write_video

from videorfsplat.data.readers.folders import find_scenes
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import draw_sample, fit_views
from videorfsplat.formats.colmap_reconstruction import read_reconstruction
from videorfsplat.formats.video import load_frames

SAMPLING = ViewSampling(num_views=4, height=16, width=32)


def read_only_scene(root):
    (source,) = find_scenes(root)
    return source.read()


def brightness(sequence) -> list[int]:
    """Which of the marked pictures its frames are."""
    return [int(sequence.frames.read(i)[0, 0, 0]) for i in range(len(sequence))]


def nerfstudio_of(folder, names: list[str], **values):
    """Pictures marked by their number, and a camera that moves to the right with it."""
    frames = []
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (48, 32), (i, i, i)).save(path)
        matrix = np.eye(4)
        matrix[0, 3] = i
        frames.append({"file_path": name, "transform_matrix": matrix.tolist()})
    content = {"fl_x": 40, "fl_y": 40, "cx": 24, "cy": 16, "w": 48, "h": 32, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(content | values))
    return folder


# --- order ----------------------------------------------------------------------------------------

ORDERS = {
    "unpadded": [f"images/{i + 1}.png" for i in range(12)],
    "in-the-middle": [f"images/img_{i}_left.png" for i in range(12)],
    "subfolders": [f"cam{i // 3}/{i % 3 + 8}.png" for i in range(12)],
    "no-digits": [f"images/{letter}.png" for letter in "zyxwvutsrqpo"],
}


@pytest.mark.parametrize("names", ORDERS.values(), ids=ORDERS)
def test_frames_go_in_the_order_of_their_numbers(tmp_path, names):
    nerfstudio_of(tmp_path / "scene", names)
    sequence = read_only_scene(tmp_path)
    assert brightness(sequence) == list(range(12))
    assert sequence.cameras.centers[:, 0].tolist() == list(range(12))


def test_colmap_images_go_in_the_order_of_their_numbers(tmp_path):
    folder = write_colmap(film(), tmp_path / "scene", binary=False)
    text = (folder / "sparse/0/images.txt").read_text()
    for i in range(1, 11):
        (folder / f"images/{i:03d}.png").rename(folder / f"images/{i}.png")
        text = text.replace(f" {i:03d}.png", f" {i}.png")
    (folder / "sparse/0/images.txt").write_text(text)
    sequence = read_only_scene(tmp_path)
    assert [path.name for path in sequence.frames.paths] == [f"{i}.png" for i in range(1, 11)]


def test_the_thousandth_picture_comes_after_the_others(tmp_path):
    for i in (2, 999, 1000):
        Image.new("RGB", (1, 1), (i % 256,) * 3).save(tmp_path / f"{i:03d}.png")
    assert load_frames(tmp_path)[:, 0, 0, 0].tolist() == [2, 999 % 256, 1000 % 256]


# --- names of pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelled",
    [
        *("images\\{}.png", ".\\images/{}.png", "./images/{}", "images/{}.JPG"),
        *("D:\\me\\x\\images\\{}.png", "/home/me/scene/images/{}.png"),
        "..\\scene\\images\\{}.png",
    ],
)
def test_pictures_are_found_however_their_names_are_spelled(tmp_path, spelled):
    folder = nerfstudio_of(tmp_path / "scene", [f"images/{i:03d}.png" for i in range(4)])
    content = json.loads((folder / "transforms.json").read_text())
    for i, frame in enumerate(content["frames"]):
        frame["file_path"] = spelled.format(f"{i:03d}")
    (folder / "transforms.json").write_text(json.dumps(content))
    assert brightness(read_only_scene(tmp_path)) == [0, 1, 2, 3]


@pytest.mark.parametrize("spelled", ["../../outside/{}.png", "{outside}/{}.png"])
def test_pictures_outside_the_data_set_are_not_read(tmp_path, spelled):
    folder = nerfstudio_of(tmp_path / "data" / "scene", [f"{i}.png" for i in range(4)])
    (tmp_path / "outside").mkdir()
    content = json.loads((folder / "transforms.json").read_text())
    for i, frame in enumerate(content["frames"]):
        (folder / f"{i}.png").rename(tmp_path / "outside" / f"{i}.png")
        frame["file_path"] = spelled.format(i, outside=tmp_path / "outside")
    (folder / "transforms.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="none of its 4 pictures is there"):
        read_only_scene(tmp_path / "data")


# --- cameras --------------------------------------------------------------------------------------


def test_an_angle_alone_is_enough(tmp_path):
    folder = nerfstudio_of(tmp_path / "scene", [f"{i}.png" for i in range(4)])
    content = json.loads((folder / "transforms.json").read_text())
    angle = {"camera_angle_x": 2 * np.arctan(24 / 40), "frames": content["frames"]}
    (folder / "transforms.json").write_text(json.dumps(angle))
    sequence = read_only_scene(tmp_path)
    expected = torch.tensor([[40.0, 0, 24], [0, 40, 16], [0, 0, 1]]).double()
    torch.testing.assert_close(sequence.cameras.Ks, expected.expand(4, 3, 3))


def test_a_fisheye_is_refused(tmp_path):
    nerfstudio_of(tmp_path / "scene", [f"{i}.png" for i in range(4)], is_fisheye=True, k1=0.1)
    with pytest.raises(ValueError, match="is_fisheye says that it is not a pinhole camera"):
        read_only_scene(tmp_path)


def test_every_picture_is_cropped_by_its_own_camera(tmp_path):
    """Portrait among landscape, of two phones: what all show has one size in pixels afterwards."""
    cameras = []
    pictures = []
    for (width, height), focal in (((60, 40), 50.0), ((40, 60), 50.0), ((120, 80), 100.0)):
        picture = np.zeros((height, width, 3), np.uint8)
        half = round(focal * 0.1)  # a square of 0.2 at depth 1
        rows, columns = (slice(side // 2 - half, side // 2 + half) for side in (height, width))
        picture[rows, columns] = 255
        pictures.append(picture)
        cameras.append((width, height, focal))
    first = cameras[0]
    Ks = torch.stack(
        [
            torch.tensor(
                [
                    [f * first[0] / w, 0, first[0] / 2],
                    [0, f * first[1] / h, first[1] / 2],
                    [0, 0, 1],
                ]
            )
            for w, h, f in cameras
        ]
    ).double()
    from videorfsplat.geometry.cameras import Cameras

    stretched = Cameras(torch.eye(4).double().repeat(3, 1, 1), Ks, first[0], first[1])
    sizes = [(w, h) for w, h, _ in cameras]
    frames, fitted = fit_views(
        pictures, stretched, torch.zeros(3, 6).double(), (32, 32), sizes=sizes
    )
    torch.testing.assert_close(fitted.Ks, fitted.Ks[:1].expand(3, 3, 3), rtol=0.03, atol=0)
    lit = (frames[:, 0] > 127).sum(dim=(1, 2)).float()
    assert lit.min() > 0.85 * lit.max()


def write_second_camera(folder, line: str, images: list[int]) -> None:
    """Some images of the COLMAP model in text get a camera of their own."""
    sparse = folder / "sparse" / "0"
    with (sparse / "cameras.txt").open("a") as file:
        file.write(line + "\n")
    lines = (sparse / "images.txt").read_text().splitlines()
    for number in images:
        place = next(i for i, text in enumerate(lines) if text.endswith(f" 7 {number:03d}.png"))
        lines[place] = lines[place].replace(f" 7 {number:03d}.png", f" 8 {number:03d}.png")
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")


def test_a_fisheye_among_pinholes_costs_only_its_own_frames(tmp_path):
    folder = write_colmap(film(), tmp_path / "scene", binary=False)
    write_second_camera(folder, "8 OPENCV_FISHEYE 100 60 90 90 50 30 0 0 0 0", [3, 4])
    sequence = read_only_scene(tmp_path)
    assert len(sequence) == 8
    assert [text.split(":")[0] for text in sequence.left_out] == ["003.png", "004.png"]


def test_sizes_may_differ_within_a_recording(tmp_path):
    folder = write_colmap(film(), tmp_path / "scene", binary=False)
    write_second_camera(folder, "8 PINHOLE 100 62 90 90 53 28", [2])
    frame = Image.open(folder / "images/002.png").crop((0, 0, 100, 62))
    frame.save(folder / "images/002.png")
    sequence = read_only_scene(tmp_path)
    assert sequence.size(0) == (100, 60)
    assert sequence.size(1) == (100, 62)
    draw_sample(sequence, SAMPLING, np.random.default_rng(0))


def test_a_damaged_frame_costs_no_other(tmp_path, caplog):
    folder = write_nerfstudio(film(), tmp_path / "scene")
    (folder / "images/frame_00004.png").write_bytes(b"no picture")
    for seed in range(6):
        sample = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(seed))
        assert 3 not in sample.indices
    assert "left out: frame 4" in caplog.text


@pytest.mark.parametrize("scale", [1e-5, 1e5])
def test_recordings_come_in_any_unit(tmp_path, scale):
    folder = write_nerfstudio(film(), tmp_path / "scene")
    content = json.loads((folder / "transforms.json").read_text())
    usual = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(1))
    for frame in content["frames"]:
        for row in frame["transform_matrix"][:3]:
            row[3] *= scale
    (folder / "transforms.json").write_text(json.dumps(content))
    sample = draw_sample(read_only_scene(tmp_path), SAMPLING, np.random.default_rng(1))
    torch.testing.assert_close(sample.cameras.viewmats, usual.cameras.viewmats)
    assert sample.unit == pytest.approx(scale * usual.unit)


# --- COLMAP workspaces ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "pictures"),
    [
        ("dense/0/sparse", "dense/0/images"),
        ("sparse/1", "images"),
        ("distorted/sparse/0", "input"),
        ("sparse/0", "images_4"),
        ("", "images"),
    ],
)
def test_models_are_found_where_tools_put_them(tmp_path, model, pictures):
    source = write_colmap(film(), tmp_path / "source")
    scene = tmp_path / "data" / "scene"
    shutil.copytree(source / "sparse/0", scene / model, dirs_exist_ok=True)
    shutil.copytree(source / "images", scene / pictures)
    if model != "sparse/0" and model:  # a model without pictures beside it
        (scene / "sparse/0").mkdir(parents=True, exist_ok=True)
        for name in ("cameras.txt", "images.txt"):
            (scene / "sparse/0" / name).write_text("")
    assert len(read_only_scene(tmp_path / "data")) == 10


def test_models_of_unused_cameras_and_other_suffixes_do_no_harm(tmp_path):
    folder = write_colmap(film(), tmp_path / "scene", binary=False)
    with (folder / "sparse/0/cameras.txt").open("a") as file:
        file.write("8 SIMPLE_DIVISION 100 60 90 50 30 0.1\n9 EQUIRECTANGULAR 100 60 1 2\n")
    for path in (folder / "images").glob("*.png"):
        Image.open(path).save(path.with_suffix(".JPG"), quality=95)
        path.unlink()
    sequence = read_only_scene(tmp_path)
    assert len(sequence) == 10
    import pycolmap

    sparse = folder / "sparse/0"
    pycolmap.Reconstruction(str(sparse)).write_binary(str(sparse))
    models = {camera.model for camera in read_reconstruction(sparse).cameras.values()}
    assert models == {"SIMPLE_RADIAL", "SIMPLE_DIVISION", "EQUIRECTANGULAR"}


# --- RealEstate10K --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    ["dataset/train/clip", "frames/train/clip", "frames/abc-DEF_123", "train/clip", "out/clip"],
)
def test_frames_of_downloaders_are_found(tmp_path, place):
    recording = film()
    write_camera_file(recording, tmp_path / "RealEstate10K/train/clip.txt")
    folder = tmp_path / place
    folder.mkdir(parents=True)
    for time, frame in zip(times(recording), recording.frames, strict=True):
        Image.fromarray(frame).save(folder / f"{time}.png")
    assert len(read_only_scene(tmp_path)) == 10


def test_the_message_names_where_frames_were_looked_for(tmp_path):
    write_camera_file(film(), tmp_path / "train/clip.txt")
    with pytest.raises(
        ValueError, match=r"looked for train/clip, .*frames/train/clip, .*clip\.mp4"
    ):
        read_only_scene(tmp_path)


def write_marked_video(path, count: int) -> None:
    """Frame i has the brightness 10 i."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "g": "5"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        for i in range(count):
            frame = np.full((32, 48, 3), 10 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("start", [0, 158_000_000])
@pytest.mark.parametrize("place", ["train/clip.mp4", "video_clips/abc-DEF_123/clip.mp4"])
def test_a_clip_of_its_own_frames_is_read_by_number(tmp_path, start, place):
    """Whatever its times, which are those of the long video: early ones named other frames."""
    path = write_camera_file(film(), tmp_path / "train/clip.txt")
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines[1:]):
        words = line.split()
        # Frames 0.08 s apart in the long video, and two of one time.
        words[0] = str(start + 80_000 * min(i, 8))
        lines[i + 1] = " ".join(words)
    path.write_text("\n".join(lines))
    write_marked_video(tmp_path / place, 10)
    sequence = read_only_scene(tmp_path)
    # The nearest value of the video's 8 bits
    np.testing.assert_allclose(brightness(sequence), [10 * i for i in range(10)], atol=3)


def test_a_clip_with_a_margin_is_refused_in_words(tmp_path):
    path = write_camera_file(film(), tmp_path / "train/clip.txt")
    text = path.read_text().replace("\n1", "\n901")
    path.write_text(text)
    write_marked_video(tmp_path / "train/clip.mp4", 14)
    with pytest.raises(ValueError, match=r"14 frames .* for 10 cameras .* cut it to just"):
        read_only_scene(tmp_path)


def test_a_whole_video_beside_the_camera_file_is_read_by_time(tmp_path):
    write_camera_file(film(), tmp_path / "train/clip.txt")
    write_video(film(), tmp_path / "train/clip.mp4")
    sequence = read_only_scene(tmp_path)
    difference = sequence.frames.read(3).astype(float) - film().frames[3]
    assert np.abs(difference).mean() < 3


def test_of_lines_with_one_time_the_first_counts(tmp_path):
    recording = film()
    path = write_camera_file(recording, tmp_path / "train/clip.txt")
    lines = path.read_text().splitlines()
    path.write_text("\ufeff" + "\n".join([*lines, lines[3]]), encoding="utf-8")
    folder = tmp_path / "frames/train/clip"
    folder.mkdir(parents=True)
    for time, frame in zip(times(recording), recording.frames, strict=True):
        Image.fromarray(frame).save(folder / f"{time}.png")
    sequence = read_only_scene(tmp_path)
    assert len(sequence) == 10
    assert sequence.missing == (str(times(recording)[2]),)
