"""GPUs that are lent by the call."""

import sys
from types import ModuleType

from videorfsplat.ui import zero_gpu


def test_without_the_library_nothing_changes(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert zero_gpu.with_gpu(print, lambda: 1) is print


def test_with_it_the_duration_follows_the_steps(monkeypatch):
    calls = []

    def gpu(duration):
        return lambda function: calls.append(duration) or function

    spaces = ModuleType("spaces")
    spaces.__spec__ = sys.__spec__
    monkeypatch.setattr(spaces, "GPU", gpu, raising=False)
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    zero_gpu.with_gpu(print, lambda steps: zero_gpu.gpu_seconds(steps))
    [duration] = calls
    assert duration(60) > duration(24) > duration(1) > 0


def test_knows_the_space_by_its_environment(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert not zero_gpu.on_zero_gpu()
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert zero_gpu.on_zero_gpu()


def test_whoever_waits_is_told_what_it_costs_where_it_does(monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    assert "GPU" not in zero_gpu.wait_in_words(24)
    monkeypatch.setenv("SPACES_ZERO_GPU", "1")
    assert f"at most {zero_gpu.gpu_seconds(24)} s of your GPU" in zero_gpu.wait_in_words(24)
    assert f"at most {2 * zero_gpu.gpu_seconds(24)} s" in zero_gpu.wait_in_words(24, runs=2)
