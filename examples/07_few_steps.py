"""Held-out prompts by the model and, below, by its few-step variant, from the same noise.

python examples/07_few_steps.py --output few-steps.jpg
"""

import argparse
import time
from pathlib import Path

import torch

from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.suites.ablation import draw_scenes
from videorfsplat.generation.checkpoint import few_step_sampling
from videorfsplat.generation.loading import few_step_pipeline, load_pipeline


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("few-steps.jpg"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--prompts", type=int, default=4)
    args = parser.parse_args()

    pipeline = load_pipeline(args.model)
    few, sampling = few_step_pipeline(pipeline, args.model), few_step_sampling(args.model)
    rows = []
    for prompt in held_out_prompts(args.prompts, seed=0):
        for name, model, settings in (
            ("twelve steps, three branches", pipeline, {}),
            (f"{sampling.num_inference_steps} steps, one branch", few, sampling.to_dict()),
        ):
            generator = torch.Generator().manual_seed(prompt.noise_seed)
            start = time.perf_counter()
            output = model(prompt.text, generator=generator, output_type="pt", **settings)
            print(f"{time.perf_counter() - start:.2f} s, {name}: {prompt.text}")
            rows.append((f"{name}: {prompt.text}", output.frames[0]))
    draw_scenes(rows, args.output)


if __name__ == "__main__":
    main()
