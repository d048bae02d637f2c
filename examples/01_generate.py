"""A sentence becomes a scene: its Gaussians, its views, its cameras, and files of them.

python examples/01_generate.py "a red lighthouse by a lake at sunset" --output scene
"""

import argparse
from pathlib import Path

import torch

from videorfsplat import Scene, VideoRFSplatPipeline
from videorfsplat.formats.splat_formats import save_splats
from videorfsplat.formats.video import to_uint8
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("prompt")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("scene"))
    args = parser.parse_args()

    pipeline = VideoRFSplatPipeline.from_pretrained(MINI_CHECKPOINT)
    output = pipeline(
        args.prompt,
        pose_offset=0.2,  # δ: cameras are denoised ahead of images
        guidance_scale=5.0,  # text → images
        pose_guidance_scale=1.5,  # text → cameras
        camera_guidance_scale=1.5,  # cameras → images
        generator=torch.Generator().manual_seed(args.seed),
    )
    gaussians, cameras = output.gaussians[0], output.cameras[0]
    print(f"{len(gaussians):,} Gaussians, ray residual {output.camera_residuals[0]:.4f}")

    frames = to_uint8(output.frames[0].permute(0, 2, 3, 1))
    Scene(gaussians, cameras, frames).save(args.output)
    save_splats(gaussians, args.output / "scene.spz")


if __name__ == "__main__":
    main()
