"""`bench`: how fast rendering and generation are on this machine."""

import argparse
from typing import Any

from videorfsplat.commands import Command, table
from videorfsplat.generation_settings import MINI_CHECKPOINT, GenerationSettings, find_model
from videorfsplat.run_record import StageClock

_DESCRIPTION = (
    "Time the CPU rasteriser beside the plain torch reference, and one default generation by stage "
    "if the model is there."
)
_PROMPT = "a red house with two pine trees on a green meadow"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gaussians", type=int, default=73728, help="default: 73728")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default: 96)")
    parser.add_argument("--repeats", type=int, default=5, help="the best counts (default: 5)")
    parser.add_argument(
        "--model", help="generate with this folder or hub id (default: mini, if it is there)"
    )
    parser.add_argument("--device", default="auto", help="of the generation (default: auto)")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    for name, high in (("gaussians", 10_000_000), ("size", 4096), ("repeats", 1000)):
        if not 1 <= getattr(args, name) <= high:
            raise ValueError(f"{name} must lie in [1, {high}], got {getattr(args, name)}")
    model = args.model or ("mini" if MINI_CHECKPOINT.is_dir() else None)
    if model is not None:
        find_model(model)
    from videorfsplat.rendering.bench import rasterizer_benchmark

    # The generation first, so that its start is as cold as a user's.
    generation = None if model is None else _time_generation(model, args.device)
    report = rasterizer_benchmark(args.gaussians, args.size, repeats=args.repeats)
    return report | {"generation": generation}


def _time_generation(model: str, device: str) -> dict[str, Any]:
    clock = StageClock()
    from videorfsplat.generation import generate_scene, load_pipeline

    pipeline = load_pipeline(model, device)
    clock.lap("load")
    record = generate_scene(pipeline, GenerationSettings(_PROMPT, model=model)).record
    return {
        "model": model,
        "num_inference_steps": record["settings"]["num_inference_steps"],
        "load_seconds": clock.seconds()["load"],
        "seconds": record["seconds"],
        "peak_memory_mb": record["peak_memory_mb"],
    }


def _describe(report: dict[str, Any]) -> str:
    speedup = report["rasterizer_speedup_over_torch"]
    seconds = report["seconds"]["numba"]
    rows = {
        f"rasteriser {part}": f"{seconds[part] * 1000:.1f} ms, {speedup[part]:.0f}× torch"
        for part in ("forward", "backward")
    }
    generation = report["generation"]
    if generation is not None:
        stages = {"load": generation["load_seconds"]} | generation["seconds"]
        rows["generation"] = ", ".join(f"{k} {v:.1f} s" for k, v in stages.items())
    return table(rows)


main = Command("videorfsplat bench", _DESCRIPTION, _add_arguments, _run, _describe).main
