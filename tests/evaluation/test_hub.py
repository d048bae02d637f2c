"""What the suite `hub` gives to clean-fid and pyiqa: stand-ins with their signatures record it."""

import dataclasses
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.suites import hub
from videorfsplat.formats.video import load_frames, to_uint8

EXTRACTOR = object()
GPU = torch.device("cuda")


class CleanFid(types.ModuleType):
    """`cleanfid.fid` of clean-fid 0.1.35, as far as it is called."""

    def __init__(self) -> None:
        super().__init__("cleanfid.fid")
        self.extractors: list[tuple] = []
        self.calls: list[dict] = []
        self.pictures: list[np.ndarray] = []

    def build_feature_extractor(self, mode, device=GPU, use_dataparallel=True):
        self.extractors.append((mode, device, use_dataparallel))
        return EXTRACTOR

    def compute_fid(
        self,
        fdir1=None,
        fdir2=None,
        gen=None,
        mode="clean",
        model_name="inception_v3",
        num_workers=12,
        batch_size=32,
        device=GPU,
        dataset_name="FFHQ",
        dataset_res=1024,
        dataset_split="train",
        num_gen=50_000,
        z_dim=512,
        custom_feat_extractor=None,
        verbose=True,
        custom_image_tranform=None,
        custom_fn_resize=None,
        use_dataparallel=True,
    ):
        # It looks for `.zip` in them, which a path has no word for.
        assert isinstance(fdir1, str)
        assert isinstance(fdir2, str)
        self.calls.append({k: v for k, v in locals().items() if k != "self"})
        assert all(path.suffix == ".png" for path in Path(fdir1).rglob("*"))
        self.pictures.append(load_frames(fdir1))
        return np.float64(12.5)


class Pyiqa(types.ModuleType):
    """`pyiqa` 0.1.16, as far as it is called: a score is the sum of a picture."""

    def __init__(self) -> None:
        super().__init__("pyiqa")
        self.devices: dict[str, torch.device | None] = {}
        self.pictures: dict[str, list[torch.Tensor]] = {}

    def create_metric(self, metric_name, as_loss=False, device=None, **kwargs):
        assert not kwargs
        self.devices[metric_name] = device
        seen = self.pictures[metric_name] = []

        def metric(target, ref=None, **kwargs):
            assert target.dim() == 4
            assert target.shape[1] == 3
            assert target.min() > -1e-6
            assert target.max() < 1 + 1e-6
            assert (target.flatten(1).var(1) > 0).all(), "BRISQUE raises, so does NIQE"
            seen.append(target)
            scores = target.sum((1, 2, 3))
            return scores[:, None] if metric_name == "brisque" else scores.squeeze()

        return metric


@pytest.fixture
def clean_fid(monkeypatch) -> CleanFid:
    module = CleanFid()
    monkeypatch.setitem(sys.modules, "cleanfid", types.ModuleType("cleanfid"))
    monkeypatch.setitem(sys.modules, "cleanfid.fid", module)
    return module


@pytest.fixture
def pyiqa(monkeypatch) -> Pyiqa:
    """Its NIQE cuts blocks that fit into the toy model's renders."""
    module = Pyiqa()
    monkeypatch.setitem(sys.modules, "pyiqa", module)
    monkeypatch.setattr(hub, "_NIQE_BLOCK", 32)
    return module


@pytest.fixture
def real_images(tmp_path) -> Path:
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("a.png", "b.JPG"):
        (folder / name).touch()
    return folder


def with_settings(evaluation: Evaluation, **changed) -> Evaluation:
    """Without CLIP."""
    changed["clip"] = str(evaluation.output / "gone")
    settings = dataclasses.replace(evaluation.settings, **changed)
    return dataclasses.replace(evaluation, settings=settings)


def draw(monkeypatch, *renders: torch.Tensor) -> None:
    """Let these be the renders of the scenes, in turn."""
    drawn = iter(renders)
    monkeypatch.setattr(hub, "render_views", lambda gaussians, cameras: next(drawn))


def test_clean_fid_gets_every_render_and_nothing_else(evaluation, clean_fid, pyiqa, real_images):
    # The first run has more scenes than the second.
    for prompts in (3, 2):
        run = with_settings(evaluation, suites=("hub",), real_images=real_images, prompts=prompts)
        report = hub.evaluate(run).report
        assert report["clean_fid"] == 12.5
        assert report["scenes"] == prompts
        pictures = clean_fid.pictures[-1]
        assert pictures.shape == (prompts * run.num_views, run.size, run.size, 3)
        # The same renders as pyiqa's, as bytes. Two runs of threads may round one differently.
        judged = torch.cat(pyiqa.pictures["brisque"])
        np.testing.assert_allclose(pictures, to_uint8(judged.permute(0, 2, 3, 1)), rtol=0, atol=1)
    cpu = torch.device("cpu")
    assert clean_fid.extractors == [("clean", cpu, False)] * 2
    for call in clean_fid.calls:
        assert call["fdir2"] == str(real_images)
        assert (call["mode"], call["device"], call["num_workers"]) == ("clean", cpu, 0)
        assert call["custom_feat_extractor"] is EXTRACTOR
        assert not Path(call["fdir1"]).exists()


@pytest.mark.parametrize("name", ["brisque", "niqe"])
def test_picture_quality_is_the_mean_over_renders(evaluation, pyiqa, name):
    report = hub.evaluate(with_settings(evaluation)).report
    batches = pyiqa.pictures[name]
    assert pyiqa.devices[name] == torch.device("cpu")
    assert [batch.shape for batch in batches] == [(evaluation.num_views, 3, 32, 32)] * 2
    expected = torch.cat(batches).sum((1, 2, 3)).mean()
    assert report[name]["value"] == pytest.approx(float(expected), rel=1e-4)
    assert report[name]["low"] <= report[name]["value"] <= report[name]["high"]


def test_renders_of_one_colour_are_left_out(evaluation, pyiqa, monkeypatch):
    renders = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    single = renders.clone()
    single[:2] = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    black = torch.zeros(3, 3, 32, 32)
    draw(monkeypatch, *[renders, single] * 2)
    report = hub.evaluate(with_settings(evaluation)).report
    judged = torch.cat([renders, single[2:]]).sum((1, 2, 3))
    for name in ("brisque", "niqe"):
        assert report[name]["value"] == pytest.approx(float(judged.mean()), rel=1e-4)
    draw(monkeypatch, *[black] * 4)
    report = hub.evaluate(with_settings(evaluation)).report
    assert report["brisque"] == report["niqe"] == {"value": None, "low": None, "high": None}


def test_niqe_is_skipped_where_no_block_of_it_fits(evaluation, pyiqa, monkeypatch):
    monkeypatch.setattr(hub, "_NIQE_BLOCK", 33)
    report = hub.evaluate(with_settings(evaluation)).report
    assert report["niqe"] == {"skipped": "NIQE needs 33 pixels a side, the renders have 32"}
    assert report["brisque"]["value"] is not None
