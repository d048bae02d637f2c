import os
import resource
import stat

import pytest
import torch
from safetensors.torch import save_file

from videorfsplat.formats.files import exporting, write_file


def test_new_file_has_ordinary_permissions_and_leaves_nothing_beside_it(tmp_path):
    write_file(tmp_path / "a" / "b.bin", b"abc")
    reference = tmp_path / "reference"
    reference.write_bytes(b"")
    assert (tmp_path / "a" / "b.bin").read_bytes() == b"abc"
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a" / "b.bin", reference)]
    assert modes[0] == modes[1]
    assert os.listdir(tmp_path / "a") == ["b.bin"]


def test_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_file(path, "text is not bytes")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_models_that_a_disk_does_not_hold_are_an_error_of_the_system(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="cannot be written"), exporting(tmp_path):
            save_file({"weight": torch.zeros(1000)}, tmp_path / "model.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with exporting(tmp_path):
        save_file({"weight": torch.zeros(1000)}, tmp_path / "model.safetensors")
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
