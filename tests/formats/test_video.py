import contextlib
import struct
import tracemalloc
import zlib

import av
import numpy as np
import pytest
import torch
from PIL import Image

from videorfsplat.formats.video import (
    check_frames_folder,
    load_frames,
    load_picture,
    save_frames,
    save_video,
    to_uint8,
)


def gradient_frames(num: int = 12, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth colours that change with time, so that frames can be told apart after coding."""
    y, x = np.mgrid[:height, :width]
    frames = [
        np.stack([255 * x / width, 255 * y / height, np.full_like(x, 20 * t)], axis=-1)
        for t in range(num)
    ]
    return np.stack(frames).astype(np.uint8)


def test_a_shorter_sequence_does_not_mix_with_a_longer_one(tmp_path):
    frames = gradient_frames(4)
    save_frames(frames, tmp_path)
    check_frames_folder(tmp_path, 4)
    with pytest.raises(ValueError, match=r"003\.png is of another sequence, longer than 3"):
        check_frames_folder(tmp_path, 3)
    check_frames_folder(tmp_path / "new", 1)


def read_video(path) -> tuple[np.ndarray, float]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), float(stream.average_rate)


@pytest.mark.parametrize(("fps", "expected"), [(24, 24), (7.5, 7.5), (29.97, 30000 / 1001)])
def test_film_holds_the_frames_at_the_rate(tmp_path, fps, expected):
    frames = gradient_frames()
    save_video(frames, tmp_path / "new" / "film.mp4", fps)
    found, rate = read_video(tmp_path / "new" / "film.mp4")
    assert found.shape == frames.shape
    assert rate == pytest.approx(expected, rel=1e-3)
    # Colours at half resolution and constant quality 16: a mean of 3 levels, while frames that
    # follow one another differ by 7.
    assert np.abs(found.astype(int) - frames).mean() < 3


def test_odd_sizes_grow_by_a_repeated_line(tmp_path):
    frames = gradient_frames(height=33, width=47)
    save_video(frames, tmp_path / "film.mp4")
    found, _ = read_video(tmp_path / "film.mp4")
    assert found.shape == (12, 34, 48, 3)
    assert np.abs(found[:, 33, :47].astype(int) - frames[:, 32]).mean() < 5


def test_index_stands_in_front_for_the_web(tmp_path):
    save_video(gradient_frames(), tmp_path / "film.mp4")
    content = (tmp_path / "film.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"fps": 0}, "fps"), ({"fps": float("nan")}, "fps"), ({"crf": 99}, "crf")],
)
def test_rejects_bad_settings(tmp_path, options, reason):
    with pytest.raises(ValueError, match=reason):
        save_video(gradient_frames(2), tmp_path / "film.mp4", **options)
    with pytest.raises(ValueError, match="needs frames"):
        save_video(gradient_frames(2)[:0], tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_pictures_round_trip_in_order(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (11, 5, 7, 3), dtype=np.uint8)
    paths = save_frames(frames, tmp_path / "frames")
    assert [p.name for p in paths][::10] == ["000.png", "010.png"]
    np.testing.assert_array_equal(load_frames(tmp_path / "frames"), frames)


def test_names_the_damaged_picture(tmp_path):
    frames = gradient_frames(3)
    save_frames(frames, tmp_path)
    good = (tmp_path / "001.png").read_bytes()
    for bad in (b"", b"no picture", good[: len(good) // 2]):
        (tmp_path / "001.png").write_bytes(bad)
        with pytest.raises(ValueError, match=r"001\.png: not a picture"):
            load_frames(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "001.png")
    with pytest.raises(ValueError, match=r"001\.png: size \(9, 9, 3\), expected \(48, 64, 3\)"):
        load_frames(tmp_path)
    with pytest.raises(ValueError, match="no PNG"):
        load_frames(tmp_path / "empty")


def test_names_a_picture_whose_header_speaks_of_too_many_pixels(tmp_path):
    path = tmp_path / "frame.png"
    Image.new("RGB", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    # Signature 8 bytes, length 4, then IHDR: width, height, five more, and the chunk's checksum.
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"frame\.png: not a picture, or damaged"):
        load_picture(path)


def test_bytes_are_rounded_and_clamped():
    renders = torch.tensor([-0.5, 0.0, 0.5, 0.499 / 255, 1.0, 2.0]).reshape(1, 2, 1, 3)
    assert to_uint8(renders).flatten().tolist() == [0, 0, 128, 0, 255, 255]


def test_a_chunk_that_claims_gigabytes_takes_no_memory(tmp_path):
    """Of a file, Pillow asks for as many bytes as the chunk says."""
    path = tmp_path / "frame.png"
    Image.new("RGB", (8, 8)).save(path)
    start, data = path.read_bytes().split(b"IDAT")
    claimed = (2**31 - 1).to_bytes(4, "big") + b"tEXt"
    path.write_bytes(start[:-4] + claimed + start[-4:] + b"IDAT" + data)
    tracemalloc.start()
    with contextlib.suppress(ValueError):
        load_picture(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
