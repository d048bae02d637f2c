"""Where kernels are cached, and what a cache that cannot be used costs: time, and nothing else."""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest

from videorfsplat.rendering.numba_compile import private_folder

KERNEL = """
from videorfsplat.rendering.numba_compile import compile_kernel


@compile_kernel()
def double(number):
    return 2 * number
"""

reload_config = getattr(numba.config, "reload_config")  # noqa: B009  numba makes it at run time


@pytest.fixture
def kernel(tmp_path, monkeypatch) -> Iterator[Any]:
    """Calls a kernel as a new process would, with these variables of the environment; how often it
    was in the cache, and where that is."""
    path = tmp_path / "kernel.py"
    path.write_text(KERNEL)

    def call(**environment: str) -> tuple[int, Path]:
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        reload_config()
        spec = importlib.util.spec_from_file_location("kernel", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.double(21) == 42
        stats = module.double.stats
        return sum(stats.cache_hits.values()), Path(stats.cache_path or "")

    yield call
    monkeypatch.undo()
    reload_config()


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_damaged_cache_is_made_anew(kernel, tmp_path, suffix, share):
    folder = str(tmp_path / "cache")
    assert kernel(NUMBA_CACHE_DIR=folder)[0] == 0
    assert kernel(NUMBA_CACHE_DIR=folder)[0] == 1
    [path] = (tmp_path / "cache").rglob(f"*.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    assert kernel(NUMBA_CACHE_DIR=folder)[0] == 0
    assert kernel(NUMBA_CACHE_DIR=folder)[0] == 1


def test_where_neither_package_nor_home_can_be_written_the_cache_is_a_private_one(
    kernel, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # As root all can be written, so numba is told to know no place of its own.
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    hits, folder = kernel(**nowhere)
    own = tmp_path / f"videorfsplat-kernels-{os.getuid()}"
    assert hits == 0
    assert folder.is_relative_to(own)
    assert own.stat().st_mode & 0o077 == 0
    assert kernel(**nowhere)[0] == 1
    # Without any place each process compiles for itself.
    own.chmod(0o777)
    assert kernel(**nowhere)[0] == 0


def test_code_of_others_is_not_run(tmp_path):
    folder = private_folder(tmp_path)
    assert folder is not None
    folder.chmod(0o777)
    assert private_folder(tmp_path) is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert private_folder(tmp_path) is None
    assert private_folder(tmp_path / "nowhere") is None
