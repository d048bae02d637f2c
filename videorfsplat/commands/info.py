"""`info`: what a model is and costs. No weights are read or made."""

import argparse
from typing import TYPE_CHECKING, Any

from videorfsplat.commands import Command, table
from videorfsplat.generation.checkpoint import find_model

if TYPE_CHECKING:
    from torch import nn

_DESCRIPTION = (
    "Count the parameters of a model by part, without reading or making any weights; of the full "
    "size also operations, memory and expected seconds of a scene."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        default="mini",
        help="mini, full (Mochi and T5-XXL), or the folder of a saved pipeline (default: mini)",
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    folder = None if args.config == "full" else find_model(args.config)
    if isinstance(folder, str):
        raise ValueError(f"--config must be mini, full or a folder, got {args.config!r}")
    import torch

    from videorfsplat.generation.cost_report import full_size_report
    from videorfsplat.models.configurations import full_models, saved_models

    with torch.device("meta"):
        parts = full_models() if folder is None else saved_models(folder)
    counts = {name: _count(part) for name, part in parts.items()}
    return {
        "config": args.config,
        "parameters": counts | {"total": sum(counts.values())},
        **({"cost": full_size_report()} if folder is None else {}),
    }


def _count(part: "nn.Module") -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def _describe(report: dict[str, Any]) -> str:
    counts = table({name: f"{count:>14,}" for name, count in report["parameters"].items()})
    return f"{counts}\n\n{_describe_cost(report['cost'])}" if "cost" in report else counts


def _describe_cost(cost: dict[str, Any]) -> str:
    facts = (
        "views",
        "num_inference_steps",
        "guidance_branches",
        "tflop_per_step",
        "tflop_per_scene",
    )
    rows = {name.replace("_", " "): cost[name] for name in facts}
    for mode, peaks in cost["peak_gigabytes"].items():
        rows[f"GB, {mode}"] = ", ".join(f"{stage} {size}" for stage, size in peaks.items())
    for gpu, seconds in cost["seconds"].items():
        for mode, value in seconds.items():
            rows[f"{gpu}, {mode}"] = value if isinstance(value, str) else f"{value} s"
    return "\n".join([table(rows), "", *(f"assumed: {text}" for text in cost["assumptions"])])


main = Command("videorfsplat info", _DESCRIPTION, _add_arguments, _run, _describe).main
