"""`evaluate`: measure a model on held-out worlds."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, table
from videorfsplat.evaluation.settings import DEFAULT_SUITES, DTYPES, SUITES, EvaluationSettings
from videorfsplat.generation.checkpoint import find_model

_DESCRIPTION = (
    "Measure a model on held-out worlds. Scenes and measurements stay in the output folder, and a "
    "run that was stopped goes on when called again. Suites: "
    + "; ".join(f"{name}: {text}" for name, text in SUITES.items())
    + "."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    default = {field.name: field.default for field in fields(EvaluationSettings)}

    def option(name: str, kind: type, text: str) -> None:
        setting = name.replace("-", "_")
        metavar = name.split("-")[-1].upper()
        parser.add_argument(
            f"--{name}", type=kind, default=default[setting], metavar=metavar, help=text
        )

    parser.add_argument("--output", required=True, type=Path, help="folder to write or go on in")
    parser.add_argument(
        "--suite",
        dest="suites",
        nargs="+",
        choices=tuple(SUITES),
        default=DEFAULT_SUITES,
        metavar="SUITE",
        help=f"what to measure (default: {' '.join(DEFAULT_SUITES)})",
    )
    option("prompts", int, "held-out worlds and their captions (default: 256)")
    option("seed", int, "of the worlds and the noise (default: 0)")
    option("batch-size", int, "scenes generated at once (default: 8)")
    option("model", str, "mini, the folder of a saved pipeline, or a hub id (default: mini)")
    parser.add_argument(
        "--few-step", action="store_true", help="measure the model's few-step variant"
    )
    parser.add_argument(
        "--no-completion",
        action="store_false",
        dest="complete",
        help="draw the prompts as they are: the seed fills in nothing that they leave open",
    )
    option("probe", Path, "folder of an attribute probe (default: the bundled one)")
    option("device", str, "torch device (default: auto)")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=default["dtype"],
        help="of the transformer (default: float32)",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile the transformer's blocks: pays for hundreds of scenes",
    )
    option("figures", Path, "folder of the ablation's plots and tables (default: in the output)")
    option(
        "metrics",
        Path,
        "metrics.json that gets the figures with their command and commit; the model card beside "
        "it is written anew, if there is a history.json",
    )
    option("prompt-file", Path, "hub: prompts, one a line (default: held-out captions)")
    option("clip", str, f"hub: CLIP's folder or hub id (default: {default['clip']})")
    option("real-images", Path, "hub: folder of pictures that CleanFID compares with")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    values = {field.name: getattr(args, field.name) for field in fields(EvaluationSettings)}
    values["suites"] = tuple(args.suites)
    settings = EvaluationSettings(**values)
    find_model(settings.model)
    from videorfsplat.evaluation.run import run_evaluation

    return run_evaluation(settings)


def _describe(report: dict[str, Any]) -> str:
    bars = {bar["name"]: bar for bar in report["bars"]}
    rows = {name: _line(value, bars.get(name)) for name, value in report["metrics"].items()}
    for suite, found in report["suites"].items():
        for name, value in found.items():
            if isinstance(value, dict) and "skipped" in value:
                rows[f"{suite} {name}"] = f"skipped: {value['skipped']}"
    return table(rows | {"report": f"{report['settings']['output']}/report.json"})


def _line(value: float | None, bar: dict[str, Any] | None) -> str:
    text = "undefined" if value is None else f"{value:.4g}"
    if bar is None:
        return text
    limit = f"≥ {bar['at_least']:g}" if "at_least" in bar else f"≤ {bar['at_most']:g}"
    return f"{text:<10} {limit:<7} {'met' if bar['met'] else 'missed'}"


main = Command("videorfsplat evaluate", _DESCRIPTION, _add_arguments, _run, _describe).main
