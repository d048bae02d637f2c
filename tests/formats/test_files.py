import os
import stat

import pytest

from videorfsplat.formats.files import write_file


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
