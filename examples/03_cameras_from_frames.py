"""Cameras of given views: the model with its image clock at zero, denoising cameras alone.

    python examples/03_cameras_from_frames.py scene/frames --output cameras.json

The folder holds as many square pictures as the model has views, in order.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from videorfsplat import VideoRFSplatPipeline
from videorfsplat.formats.transforms_json import save_transforms
from videorfsplat.formats.video import load_frames
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("frames", type=Path)
    parser.add_argument("--output", type=Path, default=Path("cameras.json"))
    args = parser.parse_args()

    pipeline = VideoRFSplatPipeline.from_pretrained(MINI_CHECKPOINT)
    frames = torch.from_numpy(load_frames(args.frames)).permute(0, 3, 1, 2).float() / 255
    frames = F.interpolate(frames, pipeline.default_size, mode="bilinear", antialias=True)
    (fit,) = pipeline.estimate_cameras(frames[None], generator=torch.Generator().manual_seed(0))
    print(f"ray residual {fit.direction_residual:.4f}")
    save_transforms(fit.cameras, args.output)


if __name__ == "__main__":
    main()
