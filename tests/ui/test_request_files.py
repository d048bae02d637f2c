"""Folders of requests: private names, bounded age and size."""

import os
import time
from pathlib import Path

import pytest

from videorfsplat.ui.request_files import GRACE_SECONDS, RequestFiles


def aged(folder: Path, seconds: float, size: int = 10) -> Path:
    (folder / "file").write_bytes(b"x" * size)
    then = time.time() - seconds
    os.utime(folder, (then, then))
    return folder


def test_every_request_has_a_folder_of_its_own_that_its_name_finds(tmp_path):
    files = RequestFiles(tmp_path / "requests")
    folders = [files.new() for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(files.find(folder.name) == folder for folder in folders)


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "/etc", "short", "a" * 22 + "/.."])
def test_no_other_name_finds_anything(tmp_path, name):
    (tmp_path / "secret").mkdir()
    assert RequestFiles(tmp_path / "requests").find(name) is None


def test_old_folders_go(tmp_path):
    files = RequestFiles(tmp_path, max_age_seconds=3600)
    old, young = aged(files.new(), 3700), aged(files.new(), 3500)
    files.prune()
    assert (old.exists(), young.exists()) == (False, True)


def test_the_oldest_go_when_there_is_too_much(tmp_path):
    files = RequestFiles(tmp_path, max_bytes=250)
    ages = [GRACE_SECONDS + 10 * n for n in range(1, 5)]
    folders = [files.new() for _ in ages]
    for folder, age in zip(folders, ages, strict=True):
        aged(folder, age, size=100)
    files.prune()
    assert [folder.exists() for folder in folders] == [True, True, False, False]


def test_what_may_be_in_use_stays(tmp_path):
    files = RequestFiles(tmp_path, max_bytes=10)
    running = aged(files.new(), 1, size=1000)
    files.prune()
    assert running.exists()


def test_other_files_in_the_root_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    files = RequestFiles(tmp_path, max_bytes=0, max_age_seconds=0)
    files.prune()
    assert (tmp_path / "notes.txt").exists()


def test_uploads_are_bounded_alike(tmp_path):
    uploads = tmp_path / "uploads"
    files = RequestFiles(tmp_path / "requests", max_bytes=150, uploads=uploads)
    # Gradio makes the folder with the first upload.
    files.prune()
    ages = {"young": GRACE_SECONDS + 10, "older": GRACE_SECONDS + 20, "oldest": 2 * 24 * 3600}
    for name, age in ages.items():
        (uploads / name).mkdir(parents=True)
        aged(uploads / name, age, size=100)
    files.prune()
    assert [folder.name for folder in uploads.iterdir()] == ["young"]
