"""What every test shares: checked shapes, no network, no deadlines, GPU tests if there is one."""

import importlib.util
import os
import pkgutil
from collections.abc import Generator
from typing import Any

# Read by huggingface_hub at its first import.
os.environ["HF_HUB_OFFLINE"] = "1"

import jaxtyping
import pytest
import torch
from hypothesis import settings

# Every annotation of the package holds at run time. The page is left out: it has hardly a tensor,
# and its tests hand it visitors' requests that are less than Gradio's.
_package = importlib.util.find_spec("videorfsplat")
assert _package is not None
_modules = pkgutil.iter_modules(_package.submodule_search_locations)
jaxtyping.install_import_hook(
    [f"videorfsplat.{module.name}" for module in _modules if module.name != "ui"],
    "type_checks.check",
)

# The first example pays for torch's warm-up, and machines are shared: time is no law here.
settings.register_profile("videorfsplat", deadline=None)
settings.load_profile("videorfsplat")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """In CI nothing is skipped but what needs a GPU."""
    report = yield
    is_expected = item.get_closest_marker("gpu") or hasattr(report, "wasxfail")
    if os.environ.get("CI") and report.skipped and not is_expected:
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report


@pytest.fixture
def unchecked_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is compiled as one graph: the checks of annotations cannot be traced."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def worlds_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Four scenes of three views and two novel ones at 32×32; to be read only."""
    from videorfsplat.data.worlds import write_worlds

    folder = tmp_path_factory.mktemp("worlds-of-the-session")
    write_worlds(folder, 0, 4, num_views=3, size=32, extra_views=2, scenes_per_shard=2)
    return str(folder)
