"""The files of a scene."""

import html.parser
import shutil
import urllib.parse
from pathlib import Path

import av
import numpy as np
import plyfile
import pytest

from videorfsplat.formats.splat_formats import load_splats
from videorfsplat.formats.transforms_json import load_transforms
from videorfsplat.generation.scene import Scene
from videorfsplat.ui import downloads
from videorfsplat.ui.downloads import (
    DOWNLOADS,
    downloads_list,
    format_size,
    make_download,
    make_film,
)


class Links(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, Path] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            address = urllib.parse.unquote(str(values["href"])).removeprefix("gradio_api/file=")
            self.found[str(values["download"])] = Path(address)


@pytest.fixture(scope="module")
def made(scene_folder, tmp_path_factory) -> tuple[list[str], dict[str, Path]]:
    """Every state of the list, and the files of the last one."""
    folder = tmp_path_factory.mktemp("downloads") / "scene"
    shutil.copytree(scene_folder, folder)
    lists = list(downloads_list(folder))
    return lists, Links(lists[-1]).found


def test_the_list_grows_by_a_file_at_a_time_ply_first(made):
    lists, files = made
    assert [len(Links(one).found) for one in lists] == list(range(len(DOWNLOADS) + 1))
    assert list(Links(lists[1]).found) == ["scene.ply"]
    assert list(files) == [download.file_name for download in DOWNLOADS]


def test_sizes_stand_beside_the_names(made):
    lists, files = made
    for path in files.values():
        assert format_size(path.stat().st_size) in lists[-1]
    assert [format_size(n) for n in (999, 1500, 2_340_000)] == ["999 B", "2 kB", "2.3 MB"]


def test_every_file_can_be_read(made, scene_folder):
    _, files = made
    scene = Scene.load(scene_folder)
    count = len(scene.gaussians)
    assert len(plyfile.PlyData.read(files["scene.ply"])["vertex"]) == count
    for name in ("scene.compressed.ply", "scene.spz", "scene.sog", "scene.splat"):
        assert len(load_splats(files[name])) == count
    np.testing.assert_allclose(
        load_transforms(files["transforms.json"]).viewmats, scene.cameras.viewmats, atol=1e-6
    )
    with av.open(str(files["film.mp4"])) as film:
        assert film.streams.video[0].frames == 72
    assert "a red house" in files["scene.html"].read_text()


def test_world_axes_turn_the_files(scene_folder, tmp_path):
    folder = tmp_path / "scene"
    shutil.copytree(scene_folder, folder)
    down = plyfile.PlyData.read(make_download(folder, "scene.ply"))["vertex"]
    up = plyfile.PlyData.read(make_download(folder, "scene.ply", "opengl"))["vertex"]
    np.testing.assert_allclose(down["y"], -up["y"], atol=1e-6)


def test_one_format_that_fails_is_said_and_keeps_no_other_from_being_made(
    scene_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "scene"
    shutil.copytree(scene_folder, folder)
    make = downloads.make_download

    def failing(folder, file_name, axes):
        if file_name == "scene.spz":
            raise OSError("disk full")
        return make(folder, file_name, axes)

    monkeypatch.setattr(downloads, "make_download", failing)
    *_, last = downloads_list(folder)
    assert len(Links(last).found) == len(DOWNLOADS) - 1
    assert last.count("could not be made") == 1
    assert "preparing" not in last


def test_films_follow_a_preset(scene_folder, tmp_path):
    folder = tmp_path / "scene"
    shutil.copytree(scene_folder, folder)
    with av.open(str(make_film(folder, "spiral", seconds=1))) as film:
        assert film.streams.video[0].frames == 24
    with pytest.raises(ValueError, match="unknown trajectory"):
        make_film(folder, "../escape")


@pytest.mark.parametrize("name", ["../scene.ply", "/etc/passwd", "scene.exe", ""])
def test_makes_no_other_file(scene_folder, name):
    with pytest.raises(ValueError, match="unknown file"):
        make_download(scene_folder, name)


def test_refuses_other_axes(scene_folder):
    with pytest.raises(ValueError, match="axes must be one of opencv, opengl"):
        make_download(scene_folder, "scene.ply", "../up")  # pyright: ignore[reportArgumentType]
