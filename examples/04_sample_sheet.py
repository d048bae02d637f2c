"""A sheet of held-out prompts: a row of views a sentence, each bordered in its view's colour.

    python examples/04_sample_sheet.py --output samples.png
    python examples/04_sample_sheet.py --output splats.png --splats

Prompts and noise are fixed, so sheets of two models show the same sentences from the same start.
"""

import argparse
from pathlib import Path

import torch

from videorfsplat import VideoRFSplatPipeline
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.scene_measures import render_views
from videorfsplat.evaluation.suites.ablation import draw_scenes
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT
from videorfsplat.generation.settings import GenerationSettings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("samples.png"))
    parser.add_argument("--model", type=Path, default=MINI_CHECKPOINT)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--steps", type=int, default=GenerationSettings.num_inference_steps)
    parser.add_argument("--splats", action="store_true", help="renders instead of decoded views")
    args = parser.parse_args()

    pipeline = VideoRFSplatPipeline.from_pretrained(args.model)
    rows = []
    for prompt in held_out_prompts(args.prompts, seed=0):
        generator = torch.Generator().manual_seed(prompt.noise_seed)
        output = pipeline(prompt.text, num_inference_steps=args.steps, generator=generator)
        views = output.frames[0]
        if args.splats:
            views = render_views(output.gaussians[0], output.cameras[0])
        rows.append((prompt.text, views))
        print(prompt.text)
    draw_scenes(rows, args.output)


if __name__ == "__main__":
    main()
