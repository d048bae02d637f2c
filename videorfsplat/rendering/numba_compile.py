"""The decorator of the numba kernels, and the folder where they are cached."""

import inspect
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba


def compile_kernel(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with the options that all kernels share: cached on disk, NumPy's division.

    Compiles the function itself even where a run-time type checker has wrapped it. Where neither
    the package nor the home can be written the cache is a private folder for temporary files, and
    where there is none either, each process compiles for itself. A damaged cache is made anew.
    """
    options = {"error_model": "numpy", **options}
    return lambda function: _compiled(inspect.unwrap(function), options)


def _compiled(function: Callable, options: dict[str, Any]) -> Any:
    try:
        return _mending_its_cache(numba.njit(cache=True, **options)(function))
    except RuntimeError:
        # Numba's word for "no place to write to".
        folder = private_folder(Path(tempfile.gettempdir()))
    if folder is None:
        return numba.njit(**options)(function)
    # Of the environment, so that the process that compiles beside this one finds it too.
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    numba.config.reload_config()  # pyright: ignore[reportAttributeAccessIssue]
    return _mending_its_cache(numba.njit(cache=True, **options)(function))


def private_folder(parent: Path) -> Path | None:
    """A folder of this user in a place where all may write; `None` if there is none.

    What is cached is code, so nobody else may write to it.
    """
    folder = parent / f"videorfsplat-kernels-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    is_private = not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if is_ours and is_private and os.access(folder, os.W_OK) else None


def _mending_its_cache(kernel: Any) -> Any:
    """The kernel, which is compiled again where what was cached of it cannot be read."""
    cache = kernel._cache
    load = cache.load_overload

    def load_or_forget(*signature: Any) -> Any:
        try:
            return load(*signature)
        except Exception:
            # A file cut off by a power failure may raise anything that unpickling raises.
            cache.flush()
            return None

    cache.load_overload = load_or_forget
    return kernel
