"""The same sentence along several given camera paths, from the same noise.

    python examples/02_given_cameras.py "a blue teapot in the snow" --output paths

Each path gets a film of the generated splats seen along it.
"""

import argparse
from pathlib import Path

import torch

from videorfsplat import VideoRFSplatPipeline
from videorfsplat.formats.video import save_video
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT
from videorfsplat.generation.preview import preview_cameras, render_frames
from videorfsplat.geometry.trajectories import trajectory


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt")
    parser.add_argument("--paths", nargs="+", default=["orbit_left", "dolly_in", "crane_up"])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("paths"))
    args = parser.parse_args()

    pipeline = VideoRFSplatPipeline.from_pretrained(MINI_CHECKPOINT)
    height, width = pipeline.default_size
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.paths:
        cameras = trajectory(name, num_views=pipeline.num_views, width=width, height=height)
        output = pipeline(
            args.prompt,
            cameras=cameras,
            camera_unit=1,  # presets are in the model's unit
            generator=torch.Generator().manual_seed(args.seed),
        )
        film = render_frames(output.gaussians[0], preview_cameras(cameras))
        save_video(film, args.output / f"{name}.mp4")
        print(args.output / f"{name}.mp4")


if __name__ == "__main__":
    main()
