"""Samples of the joint model in training, on fixed prompts from fixed noise."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from videorfsplat.data.worlds.captions import (
    template_caption,
)
from videorfsplat.data.worlds.dataset import HELD_OUT_SEED
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.training.joint_batches import CachedScenes, JointScenes, pad_texts
from videorfsplat.training.sheets import save_sheet

_STEPS = 16
_WORLD_PROMPTS = 16
_CACHED_PROMPTS = 4


# A type checker does not see that the pipeline's wrapped `__call__` is bound: hence `Any`.
def draw_sheet(pipeline: Any, scenes: JointScenes, num_views: int, path: Path) -> None:
    """Draw a row a prompt (single views: one grid), and write the prompts beside the sheet."""
    if isinstance(scenes, CachedScenes):
        prompts, frames = _from_cache(pipeline, scenes)
    else:
        prompts, frames = _from_worlds(pipeline)
    frames = frames * 2 - 1
    if num_views == 1 and len(frames) % 8 == 0:
        frames = frames[:, 0].unflatten(0, (-1, 8))
    save_sheet(list(frames), path)
    path.with_suffix(".txt").write_text("\n".join(prompts) + "\n")


def _from_worlds(pipeline: Any) -> tuple[list[str], Tensor]:
    """Held-out prompts."""
    prompts = [template_caption(sample_world(HELD_OUT_SEED + i)) for i in range(_WORLD_PROMPTS)]
    output = pipeline(prompts, **_settings())
    return prompts, output.frames


def _from_cache(pipeline: Any, scenes: CachedScenes) -> tuple[list[str], Tensor]:
    """Captions of evenly spaced samples, one after the other to spare memory."""
    rows = torch.linspace(0, len(scenes.cache) - 1, _CACHED_PROMPTS).long().unique().tolist()
    prompts, frames = [], []
    for row in rows:
        sample = scenes.cache.sample(row)
        embeds, mask = pad_texts(sample.texts[:1])
        output = pipeline(
            prompt_embeds=embeds,
            prompt_attention_mask=mask.bool(),
            negative_prompt_embeds=torch.zeros_like(embeds),
            negative_prompt_attention_mask=torch.zeros_like(mask).bool(),
            **_settings(),
        )
        prompts.append(sample.captions[0])
        frames.append(output.frames.cpu())
    return prompts, torch.cat(frames)


def _settings() -> dict[str, Any]:
    return {
        "num_inference_steps": _STEPS,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "pt",
    }
