"""Suite `hub`: the paper's own metrics, by libraries and weights that come from elsewhere.

CLIP score (transformers), CleanFID (clean-fid), BRISQUE and NIQE (pyiqa). None of their weights
comes with this package; a metric whose library or weights are not at hand, or that cannot judge
renders of the model's size, is skipped, and the report says why.
"""

import importlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPProcessor

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import Figure, ratio_figure
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import Prompt, held_out_prompts, noise_seed
from videorfsplat.evaluation.scene_measures import render_views
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.formats.video import save_frames, to_uint8
from videorfsplat.generation.prompt_list import read_prompt_lines

Measure = Callable[["RenderedScenes"], Figure | float]

_NIQE_BLOCK = 96
"""Pixels along each side of the blocks that NIQE cuts pictures into."""


class _Unmeasurable(Exception):
    """Why a metric cannot be taken, though its library and weights may be at hand."""


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
        "niqe": lambda: _niqe(evaluation.size),
    }
    for name, make in makers.items():
        try:
            measures[name] = make()
        # A library that is not installed, and weights that cannot be reached.
        except (ImportError, OSError, _Unmeasurable) as error:
            report[name] = {"skipped": " ".join(str(error).split())}
    if measures:
        prompts, name = _prompts(evaluation)
        scenes = RenderedScenes(GeneratedScenes(evaluation, name, prompts, settings.sampling))
        report |= {"scenes": len(prompts)}
        report |= {name: measure(scenes) for name, measure in measures.items()}
    return SuiteResult(report, {})


def _prompts(evaluation: Evaluation) -> tuple[list[Prompt], str]:
    """Prompts of a file, one a line, or held-out captions; and a name for their scenes."""
    settings = evaluation.settings
    if settings.prompt_file is None:
        return held_out_prompts(settings.prompts, settings.seed), "captions"
    texts = read_prompt_lines(settings.prompt_file)[: settings.prompts]
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
        raise _Unmeasurable("no folder of real pictures is given (--real-images)")
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


def _niqe(size: int) -> Measure:
    """NIQE of pictures with so many pixels a side."""
    if size < _NIQE_BLOCK:
        raise _Unmeasurable(f"NIQE needs {_NIQE_BLOCK} pixels a side, the renders have {size}")
    return _picture_quality("niqe")


def _picture_quality(name: str) -> Measure:
    """BRISQUE or NIQE by pyiqa, with its weights from the hub, mean over renders; lower is better.

    Renders of one colour have no value and are left out.
    """
    metric = importlib.import_module("pyiqa").create_metric(name, device=torch.device("cpu"))

    def measure(scenes: RenderedScenes) -> Figure:
        terms = []
        for _, renders in scenes:
            judged = renders[_is_varied(renders)]
            terms.append((float(metric(judged).sum()) if len(judged) else 0.0, len(judged)))
        return ratio_figure(terms)

    return measure


def _is_varied(pictures: Float[Tensor, "n 3 H W"]) -> Bool[Tensor, " n"]:
    """Whether a picture in [0, 1] still has more than one colour in bytes."""
    colors = pictures.mul(255).round().flatten(2)
    return (colors.amax(2) > colors.amin(2)).any(1)
