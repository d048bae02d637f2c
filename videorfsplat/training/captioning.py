"""Captions of recorded scenes by a vision-language model."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from videorfsplat.data.readers.captions import caption_line, read_captions
from videorfsplat.data.readers.folders import SceneSource
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.data.readers.views import draw_sample

logger = logging.getLogger(__name__)

INSTRUCTIONS = (
    "These are views of one place. Say in one short sentence what it shows.",
    "These are views of one place. Describe it in one or two sentences: what is there, its colours "
    "and materials, and the light. Do not mention views, pictures or the camera.",
    "These are views of one place. Name its kind, the main objects and where they are, in at most "
    "thirty words. Do not mention views, pictures or the camera.",
)
"""One caption each: several captions of different length for every scene."""


class Captioner:
    """A vision-language model with a chat template.

    Args:
        model: folder or hub id.
        device: to run on.
        dtype: of the weights.
    """

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype) -> None:
        self.processor: Any = AutoProcessor.from_pretrained(model)
        # The class is found at run time only.
        self.model: Any = AutoModelForImageTextToText.from_pretrained(model, dtype=dtype)
        self.model.to(device).eval()

    @torch.no_grad()
    def describe(
        self, images: Sequence[Image.Image], instruction: str, max_tokens: int = 120
    ) -> str:
        """The model's answer, on one line."""
        content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": instruction}]}]
        inputs = self.processor.apply_chat_template(
            messages,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self.model.device, self.model.dtype)
        tokens = self.model.generate(**inputs, max_new_tokens=max_tokens, do_sample=False)
        answer = tokens[:, inputs["input_ids"].shape[1] :]
        (text,) = self.processor.batch_decode(answer, skip_special_tokens=True)
        return " ".join(text.split())


def caption_scenes(
    output: str | Path,
    scenes: Sequence[SceneSource],
    sampling: ViewSampling,
    captioner: Captioner,
    *,
    instructions: Sequence[str] = INSTRUCTIONS,
    process_index: int = 0,
    num_processes: int = 1,
) -> dict[str, str]:
    """Add a line to a caption file for every scene of this process's share that has none.

    Args:
        output: .jsonl file, which several processes may append to at once.
        scenes: to describe.
        sampling: which views the model is shown.
        captioner: the model.
        instructions: what it is asked, one caption each.
        process_index: of this process.
        num_processes: that share the scenes.

    Returns:
        Why scenes were left out, by name.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    done = read_captions(output) if output.exists() else {}
    left_out = {}
    for scene in scenes[process_index::num_processes]:
        if scene.name in done:
            continue
        try:
            sample = draw_sample(scene.read(), sampling, np.random.default_rng(0))
            images = [Image.fromarray(f) for f in sample.frames.permute(0, 2, 3, 1).numpy()]
            captions = [captioner.describe(images, text) for text in instructions]
            if not all(captions):
                raise ValueError(f"{scene.name}: the model said nothing")
        except ValueError as error:
            logger.warning("left out: %s", error)
            left_out[scene.name] = str(error)
            continue
        with FileLock(f"{output}.lock"), output.open("a", encoding="utf-8") as file:
            file.write(caption_line(scene.name, captions))
    return left_out
