"""`data check` says in words what is wrong, and leaves nothing out."""

import json

import pytest
from recordings import film, write_colmap, write_nerfstudio, write_realestate10k

from videorfsplat.__main__ import main
from videorfsplat.data.readers.captions import caption_line, read_captions

SMALL = ["--num-views", "4", "--height", "32", "--width", "48"]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for name in ("good", "torn"):
        write_realestate10k(film(), root / "clips", name)
    write_nerfstudio(film(), root / "room")
    write_colmap(film(), root / "vase")
    return root


def report_of(capsys, *words) -> dict:
    assert main(["data", "check", *map(str, words), *SMALL, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_sound_folder_has_no_problems(folder, capsys):
    assert report_of(capsys, folder, "--decode") == {
        "folder": str(folder),
        "scenes": 4,
        "usable": 4,
        "frames": 40,
        "formats": {"realestate10k": 2, "nerfstudio": 1, "colmap": 1},
        "problems": {},
        "remarks": {},
    }


def test_every_broken_scene_is_named_with_its_reason(folder, capsys):
    content = json.loads((folder / "room/transforms.json").read_text())
    content["frames"][0]["transform_matrix"][0][0] = float("nan")
    (folder / "room/transforms.json").write_text(json.dumps(content))
    (folder / "vase/images/004.png").unlink()
    report = report_of(capsys, folder)
    assert (report["scenes"], report["usable"]) == (4, 4)
    assert report["remarks"]["vase"] == "1 of 10 frames are missing: 004.png"
    assert report["remarks"]["room"].startswith("1 frames cannot be used: frame 1: transform_mat")
    strict = report_of(capsys, folder, "--strict")
    assert (strict["usable"], set(strict["problems"])) == (2, {"room", "vase"})
    del content["frames"]
    (folder / "room/transforms.json").write_text(json.dumps(content))
    assert main(["data", "check", str(folder), *SMALL]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("3 of 4 scenes can be trained on (2 realestate10k, 1 nerf")
    assert [line.split(":")[0] for line in printed[1:]] == ["unusable", "incomplete"]


def test_damaged_frames_are_found_by_decoding(folder, capsys):
    path = folder / "clips/frames/train/torn/1080000.png"
    path.write_bytes(path.read_bytes()[:300])
    assert report_of(capsys, folder / "clips")["problems"] == {}
    report = report_of(capsys, folder / "clips", "--decode")
    assert report["problems"] == {}
    assert f"1 frames cannot be used: {path}: not a picture" in report["remarks"]["train/torn"]
    strict = report_of(capsys, folder / "clips", "--decode", "--strict")
    assert list(strict["problems"]) == ["train/torn"]


def test_scenes_without_captions_are_named(folder, tmp_path, capsys):
    captions = tmp_path / "captions.jsonl"
    captions.write_text(caption_line("train/good", ["a red house", "ein Häuschen"]))
    assert read_captions(captions) == {"train/good": ["a red house", "ein Häuschen"]}
    report = report_of(capsys, folder / "clips", "--captions", captions)
    assert report["problems"] == {"train/torn": "train/torn: no captions"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"scene": "a"}',
        '{"scene": "a", "captions": []}',
        '{"scene": "a", "captions": [" "]}',
        '{"scene": 1, "captions": ["b"]}',
    ],
)
def test_damaged_caption_files_are_refused(folder, tmp_path, capsys, line):
    path = tmp_path / "captions.jsonl"
    path.write_text(caption_line("a", ["b"]) + line + "\n")
    with pytest.raises(ValueError, match=r"captions\.jsonl, line 2"):
        read_captions(path)
    assert main(["data", "check", str(folder), "--captions", str(path)]) == 2
    assert "line 2" in capsys.readouterr().err


def test_settings_and_folders_are_checked_first(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path), "--height", "100"]) == 2
    assert "multiples of 16" in capsys.readouterr().err
    assert main(["data", "check", str(tmp_path)]) == 2
    assert "no scenes" in capsys.readouterr().err
