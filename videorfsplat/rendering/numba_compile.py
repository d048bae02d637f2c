"""The decorator of the numba kernels."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compile_kernel(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with the options that all kernels share: cached on disk, NumPy's division.

    Compiles the function itself even where a run-time type checker has wrapped it.
    """
    decorator = numba.njit(cache=True, error_model="numpy", **options)
    return lambda function: decorator(inspect.unwrap(function))
