"""Folders of requests: private names, bounded age and size."""

import errno
import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest

from videorfsplat.ui import request_files
from videorfsplat.ui.request_files import RequestFiles


def made(files: RequestFiles, age: float, size: int = 100) -> Path:
    """A folder of a request that has ended, last used `age` seconds ago."""
    with files.new() as folder:
        (folder / "file").write_bytes(b"x" * size)
    return aged(folder, age)


def aged(path: Path, age: float) -> Path:
    then = time.time() - age
    for one in (path, path.with_name(f"{path.name}.lock")):
        if one.exists():
            os.utime(one, (then, then))
    return path


def folders_in(root: Path) -> set[Path]:
    return {path for path in root.iterdir() if path.is_dir()}


def test_every_request_has_a_folder_of_its_own_that_its_name_finds(tmp_path):
    files = RequestFiles(tmp_path / "requests")
    folders = [made(files, 0) for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(files.find(folder.name) == folder for folder in folders)


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "/etc", "short", "a" * 22 + "/.."])
def test_no_other_name_finds_anything(tmp_path, name):
    (tmp_path / "secret").mkdir()
    assert RequestFiles(tmp_path / "requests").find(name) is None


def test_old_folders_go(tmp_path):
    files = RequestFiles(tmp_path, max_age_seconds=3600)
    old, young = made(files, 3700), made(files, 3500)
    files.prune()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_oldest_go_as_soon_as_there_is_too_much(tmp_path):
    files = RequestFiles(tmp_path, max_bytes=250)
    folders = [made(files, age) for age in (40, 30, 20, 10)]
    assert [folder.exists() for folder in folders] == [False, False, True, True]
    # Before the next one is written, room is made for one as large as these.
    with files.new():
        assert folders_in(tmp_path) >= {folders[3]}
        assert not folders[2].exists()


def test_whoever_opens_a_scene_makes_it_young(tmp_path):
    files = RequestFiles(tmp_path, max_bytes=250)
    first, second = made(files, 40), made(files, 30)
    assert files.find(first.name) == first
    made(files, 0)
    assert (first.exists(), second.exists()) == (True, False)


def test_what_is_in_use_stays_whatever_its_size_and_whatever_the_clock_says(tmp_path):
    files = RequestFiles(tmp_path, max_bytes=10)
    with files.new() as folder:
        (folder / "file").write_bytes(b"x" * 1000)
        aged(folder, 25 * 3600)
        files.prune()
        # Another page of this machine on the same folder.
        RequestFiles(tmp_path, max_bytes=10).prune()
        assert folder.exists()
    assert not folder.exists()


def _use_until_killed(root: Path, ready: "multiprocessing.Queue[str]") -> None:
    with RequestFiles(root).new() as folder:
        (folder / "file").write_bytes(b"x" * 1000)
        # As a scene that is being saved.
        (folder.with_name(f".{folder.name}.abcd1234") / "scene").mkdir(parents=True)
        ready.put(folder.name)
        time.sleep(600)


def test_what_a_killed_process_left_behind_goes(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    process = context.Process(target=_use_until_killed, args=(tmp_path, ready))
    process.start()
    folder = tmp_path / ready.get(timeout=120)
    files = RequestFiles(tmp_path, max_bytes=10)
    files.prune()
    assert folder.exists()
    process.kill()
    process.join()
    files.prune()
    assert list(tmp_path.iterdir()) == []


def test_a_request_without_result_leaves_no_folder(tmp_path):
    files = RequestFiles(tmp_path)
    with files.new() as folder:
        pass
    assert not folder.exists()


def test_other_files_in_the_root_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / ".hidden").mkdir()
    files = RequestFiles(tmp_path, max_bytes=0, max_age_seconds=0)
    files.prune()
    assert (tmp_path / "notes.txt").exists()
    assert (tmp_path / ".hidden").exists()


def test_own_old_scenes_go_when_the_disk_is_full(tmp_path, monkeypatch):
    """A disk of 1,000 bytes, of which others use some."""
    others = 0

    def disk_usage(_: Path) -> "shutil._ntuple_diskusage":
        used = others + sum(p.stat().st_size for p in tmp_path.rglob("file"))
        return shutil._ntuple_diskusage(1000, used, 1000 - used)

    monkeypatch.setattr(request_files.shutil, "disk_usage", disk_usage)
    files = RequestFiles(tmp_path)
    folders = [made(files, 100 - n) for n in range(9)]
    assert all(folder.exists() for folder in folders)
    others = 300
    newest = made(files, 0)
    assert newest.exists()
    assert not folders[0].exists()
    assert folders[-1].exists()
    others = 990
    with pytest.raises(OSError, match="disk of this page is full"), files.new():
        pass
    assert folders_in(tmp_path) == set()


def test_uploads_have_a_limit_when_one_comes(tmp_path):
    uploads = tmp_path / "uploads"
    files = RequestFiles(tmp_path / "requests", uploads=uploads, max_uploads_bytes=250)
    for index in range(10):
        files.make_room_for_upload(100)
        (uploads / f"sha{index}").mkdir()
        (uploads / f"sha{index}" / "file").write_bytes(b"x" * 100)
        aged(uploads / f"sha{index}", 100 - index)
        assert sum(p.stat().st_size for p in uploads.rglob("file")) <= 250
    # What an upload that broke off left behind is no folder.
    (uploads / "tmp1234").write_bytes(b"x" * 100)
    os.utime(uploads / "tmp1234", (0, 0))
    files.prune()
    assert sorted(path.name for path in uploads.iterdir()) == ["sha8", "sha9"]


def test_a_root_that_cannot_be_made_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/requests cannot be made: Not a directory"):
        RequestFiles(tmp_path / "file" / "requests")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ValueError, match="cannot be made: Read-only file system"):
        RequestFiles(tmp_path / "requests")
