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
from videorfsplat.ui.downloads import (
    DOWNLOADS,
    FILM_SIDE,
    LARGE,
    downloads_list,
    format_size,
    make_download,
    make_film,
)


class Links(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, Path] = {}
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "a":
            address = urllib.parse.unquote(str(values["href"])).removeprefix("gradio_api/file=")
            self.found[str(values["data-file"])] = Path(address)
            self.names.append(str(values["download"]))


@pytest.fixture(scope="module")
def made(scene_folder, tmp_path_factory) -> tuple[str, dict[str, Path]]:
    """The list before anything was asked for, and all files."""
    folder = tmp_path_factory.mktemp("downloads") / "scene"
    shutil.copytree(scene_folder, folder)
    before = downloads_list(folder)
    for download in DOWNLOADS:
        make_download(folder, download.file_name)
    return before, Links(downloads_list(folder)).found


def test_files_are_made_when_they_are_asked_for(made):
    before, files = made
    # What the scene is kept as is there at once.
    assert set(Links(before).found) == {"scene.ply", "scene.compressed.ply", "scene.json"}
    assert set(files) == {download.file_name for download in DOWNLOADS}
    large, others = before.split("<details")
    assert [name for name in LARGE if f'data-file="{name}"' in large] == list(LARGE)
    assert "scene.spz" in others


def test_names_say_which_scene_and_sizes_stand_beside_them(made, scene_folder):
    _, files = made
    links = Links(downloads_list(files["scene.ply"].parent))
    stem = "red-house-seed0"
    wanted = [f"{stem}.ply", f"{stem}.html", f"{stem}.mp4", f"{stem}.compressed.ply"]
    assert set(wanted) <= set(links.names)
    assert f"{stem}-transforms.json" in links.names
    listed = downloads_list(files["scene.ply"].parent)
    for path in files.values():
        assert format_size(path.stat().st_size) in listed
    assert [format_size(n) for n in (999, 1500, 2_340_000)] == ["999 B", "2 kB", "2.3 MB"]


def test_a_file_that_is_being_made_or_failed_says_so(scene_folder):
    assert "making…" in downloads_list(scene_folder, making="scene.spz")
    assert "could not be made" in downloads_list(scene_folder, failed="scene.spz")
    assert "<details open>" in downloads_list(scene_folder, making="scene.spz")
    assert "data-start" in downloads_list(scene_folder, start="scene.ply")


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
        assert max(film.streams.video[0].width, film.streams.video[0].height) >= FILM_SIDE
    assert "a red house" in files["scene.html"].read_text()


def test_world_axes_turn_the_files(scene_folder, tmp_path):
    folder = tmp_path / "scene"
    shutil.copytree(scene_folder, folder)
    down = plyfile.PlyData.read(make_download(folder, "scene.ply"))["vertex"]
    up = plyfile.PlyData.read(make_download(folder, "scene.ply", "opengl"))["vertex"]
    np.testing.assert_allclose(down["y"], -up["y"], atol=1e-6)


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
