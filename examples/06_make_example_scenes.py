"""Make the scenes that the page opens with, before any sampling: `examples/scenes/`.

    python examples/06_make_example_scenes.py
    python examples/06_make_example_scenes.py --only 1-lighthouse --seed 12

The first by name is what a visitor sees first. A scene of 131,072 Gaussians takes about 2.3 MB.
"""

import argparse
import tempfile
from pathlib import Path

from videorfsplat.generation.loading import load_pipeline
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui.packed_scene import pack_scene
from videorfsplat.ui.sampling import sample

SCENES = Path(__file__).resolve().parent / "scenes"

PROMPTS = {
    "1-lighthouse": (
        1,
        "a white lighthouse with red stripes on a green meadow in daylight, the camera rises",
    ),
    "2-mushroom": (
        1,
        "a red mushroom with white spots on a green meadow in daylight, "
        "the camera slides to the right",
    ),
    "3-pine-tree": (
        1,
        "a green pine tree in the snow at dawn, with mountains in the distance, the camera rises",
    ),
    "4-castle": (
        1,
        "a pink castle with blue roofs in the snow at dawn, the camera orbits to the left",
    ),
}
"""Seed and sentence by the name of the folder."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="mini")
    parser.add_argument("--steps", type=int, default=GenerationSettings.num_inference_steps)
    parser.add_argument("--only", choices=PROMPTS, help="make this one")
    parser.add_argument("--seed", type=int, help="instead of the one in this file")
    parser.add_argument("--output", type=Path, default=SCENES)
    args = parser.parse_args()

    pipeline = load_pipeline(args.model)
    pipeline.set_progress_bar_config(disable=True)
    for name in [args.only] if args.only else PROMPTS:
        seed, prompt = PROMPTS[name]
        settings = GenerationSettings(
            prompt,
            seed=seed if args.seed is None else args.seed,
            num_inference_steps=args.steps,
            model=args.model,
        )
        with tempfile.TemporaryDirectory() as folder:
            list(sample(pipeline, settings, Path(folder)))
            pack_scene(Path(folder), args.output / name)
        files = [path for path in (args.output / name).rglob("*") if path.is_file()]
        print(f"{args.output / name}: {sum(path.stat().st_size for path in files) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
