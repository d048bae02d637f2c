"""`bench`: how fast rendering and generation are on this machine."""

import argparse
from dataclasses import replace
from typing import Any

from videorfsplat.commands import Command, table
from videorfsplat.generation.checkpoint import (
    MINI_CHECKPOINT,
    few_step_settings,
    find_model,
    has_few_step,
)
from videorfsplat.generation.record import StageClock
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.sampling.settings import MAX_INFERENCE_STEPS

_DESCRIPTION = (
    "Time the CPU rasteriser beside the plain torch reference, and one default generation by stage "
    "if the model is there, with its few-step variant if it has one."
)
_PROMPT = "a red house with two pine trees on a green meadow"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gaussians", type=int, default=131072, help="default: 131072")
    parser.add_argument("--size", type=int, default=128, help="pixels a side (default: 128)")
    parser.add_argument("--repeats", type=int, default=5, help="the best counts (default: 5)")
    parser.add_argument(
        "--model", help="generate with this folder or hub id (default: mini, if it is there)"
    )
    parser.add_argument("--device", default="auto", help="of the generation (default: auto)")
    parser.add_argument(
        "--euler-steps",
        type=int,
        default=0,
        help="time the generation by so many Euler steps too; 200 are beyond doubt (default: 0)",
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    for name, high in (("gaussians", 10_000_000), ("size", 4096), ("repeats", 1000)):
        if not 1 <= getattr(args, name) <= high:
            raise ValueError(f"{name} must lie in [1, {high}], got {getattr(args, name)}")
    if not 0 <= args.euler_steps <= MAX_INFERENCE_STEPS:
        raise ValueError(
            f"euler_steps must lie in [0, {MAX_INFERENCE_STEPS}], got {args.euler_steps}"
        )
    model = args.model or ("mini" if MINI_CHECKPOINT.is_dir() else None)
    if model is not None:
        find_model(model)
    from videorfsplat.rendering.bench import rasterizer_benchmark

    # The generation first, so that its start is as cold as a user's.
    generation = None if model is None else _time_generation(model, args.device, args.euler_steps)
    report = rasterizer_benchmark(args.gaussians, args.size, repeats=args.repeats)
    return report | {"generation": generation}


def _time_generation(model: str, device: str, euler_steps: int) -> dict[str, Any]:
    """A default generation, from a sentence to its .ply file; the same by the model's few-step
    variant, and by Euler's method."""
    clock = StageClock()
    from videorfsplat.generation.generate import time_scene
    from videorfsplat.generation.loading import few_step_pipeline, load_pipeline

    pipeline = load_pipeline(model, device)
    pipeline.set_progress_bar_config(disable=True)
    clock.lap("load")
    settings = GenerationSettings(_PROMPT, model=model)
    scene, seconds = time_scene(pipeline, settings)
    report: dict[str, Any] = {
        "model": model,
        "num_inference_steps": settings.num_inference_steps,
        "load_seconds": clock.seconds()["load"],
        "seconds": seconds,
        "peak_memory_mb": scene.record["peak_memory_mb"],
    }

    def compare(name: str, pipeline: Any, settings: GenerationSettings) -> None:
        _, other = time_scene(pipeline, settings)
        report[name] = {
            "num_inference_steps": settings.num_inference_steps,
            "seconds": other,
            "times_default": round(other["total"] / seconds["total"], 3),
        }

    if has_few_step(model):
        asked = replace(settings, **few_step_settings(model))
        compare("few_step", few_step_pipeline(pipeline, model), asked)
    if euler_steps:
        pipeline.set_solver("euler")
        compare("euler", pipeline, replace(settings, num_inference_steps=euler_steps))
    return report


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
        for name, what in (("few_step", "few-step variant"), ("euler", "Euler's method")):
            if other := generation.get(name):
                rows[f"{what}, {other['num_inference_steps']} steps"] = (
                    f"{other['seconds']['total']:.1f} s, {other['times_default']:.2g}× the default"
                )
    return table(rows)


main = Command("videorfsplat bench", _DESCRIPTION, _add_arguments, _run, _describe).main
