"""Memory that tensors free stays with the process."""

import subprocess
import sys

import pytest

# 64 MB, twice what glibc keeps by itself at most: 16,384 pages of 4 kB.
_ALLOCATE_AGAIN_AND_AGAIN = """
import resource, sys
import torch
from videorfsplat.generation.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def allocate():
    for _ in range(10):
        torch.ones(2**24)
allocate()  # Small objects come to lie between the first large ones.
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
allocate()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_freed_memory_is_used_again():
    given_back, kept = (_page_faults(word) for word in ("default", "keep"))
    # Few: what the interpreter itself touches. Pages of 2 MB, where the system deals them out by
    # itself, still make 320 faults of the others.
    assert kept < given_back / 10


def _page_faults(word: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _ALLOCATE_AGAIN_AND_AGAIN, word],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)
