"""Suite `hub`: the paper's own metrics, by libraries and weights that come from elsewhere.

CLIP score (transformers), CleanFID (clean-fid), BRISQUE and NIQE (pyiqa). None of their weights
comes with this package; a metric whose library or weights are not at hand is skipped, and the
report says why.
"""

import importlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from videorfsplat.evaluation.bootstrap import Figure, ratio_figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import Prompt, held_out_prompts, noise_seed
from videorfsplat.evaluation.scene_measures import render_views
from videorfsplat.evaluation.settings import Sampling
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.formats.video import save_frames, to_uint8

Measure = Callable[["RenderedScenes"], Figure | float]


class RenderedScenes:
    """Generated scenes with their renders."""

    def __init__(self, scenes: GeneratedScenes) -> None:
        self._scenes = scenes

    def __iter__(self) -> Iterator[tuple[str, Float[Tensor, "v 3 H W"]]]:
        """The prompt of each scene and its renders at its own cameras, in [0, 1], on the CPU."""
        for index in self._scenes.indices:
            cameras = self._scenes.cameras(index)
            (gaussians,) = self._scenes.evaluation.pipeline.decode_gaussians(
                self._scenes.latents(index), [cameras]
            )
            yield self._scenes.prompts[index].text, render_views(gaussians, cameras).cpu()

    def save_pictures(self, folder: Path) -> None:
        """Write every render into the folder as a PNG file."""
        pictures = [to_uint8(renders.permute(0, 2, 3, 1)) for _, renders in self]
        save_frames(np.concatenate(pictures), folder)


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Every metric that is at hand, on the renders of generated scenes."""
    settings = evaluation.settings
    report: dict[str, Any] = {}
    measures: dict[str, Measure] = {}
    makers: dict[str, Callable[[], Measure]] = {
        "clip_score": lambda: _clip_score(settings.clip),
        "clean_fid": lambda: _clean_fid(settings.real_images),
        "brisque": lambda: _picture_quality("brisque"),
        "niqe": lambda: _picture_quality("niqe"),
    }
    for name, make in makers.items():
        try:
            measures[name] = make()
        # A library that is not installed, and weights that cannot be reached.
        except (ImportError, OSError) as error:
            report[name] = {"skipped": " ".join(str(error).split())}
    if measures:
        prompts, name = _prompts(evaluation)
        scenes = RenderedScenes(GeneratedScenes(evaluation, name, prompts, Sampling()))
        report |= {"scenes": len(prompts)}
        report |= {name: measure(scenes) for name, measure in measures.items()}
    return SuiteResult(report, {})


def _prompts(evaluation: Evaluation) -> tuple[list[Prompt], str]:
    """Prompts of a file, one a line, or held-out captions; and a name for their scenes."""
    settings = evaluation.settings
    if settings.prompt_file is None:
        return held_out_prompts(settings.prompts, settings.seed), "captions"
    lines = settings.prompt_file.read_text(encoding="utf-8").splitlines()
    texts = [line.strip() for line in lines if line.strip()][: settings.prompts]
    if not texts:
        raise ValueError(f"{settings.prompt_file} holds no prompt")
    prompts = [
        Prompt(index, text, {}, noise_seed(settings.seed, index))
        for index, text in enumerate(texts)
    ]
    return prompts, settings.prompt_file.stem


def _clip_score(model_name: str) -> Measure:
    """100 × the cosine between the embeddings of a render and its prompt, mean over renders."""
    model = CLIPModel.from_pretrained(model_name).eval()
    processor: Any = CLIPProcessor.from_pretrained(model_name)

    @torch.no_grad()
    def measure(scenes: RenderedScenes) -> Figure:
        terms = []
        for text, renders in scenes:
            pictures = [Image.fromarray(x) for x in to_uint8(renders.permute(0, 2, 3, 1))]
            inputs = processor(
                text=[text], images=pictures, return_tensors="pt", padding=True, truncation=True
            )
            output = model(**inputs)
            cosines = output.image_embeds @ output.text_embeds.T
            terms.append((100 * float(cosines.sum()), len(pictures)))
        return ratio_figure(terms)

    return measure


def _clean_fid(real_images: Path | None) -> Measure:
    """FID by clean-fid, with Inception's weights from the hub, against a folder of pictures."""
    if real_images is None:
        raise FileNotFoundError("no folder of real pictures is given (--real-images)")
    fid = importlib.import_module("cleanfid.fid")
    device = torch.device("cpu")
    model = fid.build_feature_extractor("clean", device, use_dataparallel=False)

    def measure(scenes: RenderedScenes) -> float:
        with tempfile.TemporaryDirectory() as made:
            scenes.save_pictures(Path(made))
            distance = fid.compute_fid(
                made, str(real_images), device=device, custom_feat_extractor=model, num_workers=0
            )
        return float(distance)

    return measure


def _picture_quality(name: str) -> Measure:
    """BRISQUE or NIQE by pyiqa, with its weights from the hub; lower is better."""
    metric = importlib.import_module("pyiqa").create_metric(name, device=torch.device("cpu"))

    def measure(scenes: RenderedScenes) -> Figure:
        return ratio_figure([(float(metric(r).sum()), len(r)) for _, r in scenes])

    return measure
