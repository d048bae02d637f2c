"""`metrics.json`: the figures of a model, each with the command and commit that gave it."""

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

from videorfsplat.evaluation.measurements import write_text
from videorfsplat.evaluation.settings import DEFAULT_SUITES, MINI_PROBE, EvaluationSettings
from videorfsplat.formats.files import read_json_object

_PACKAGE = Path(__file__).parents[1]


def add_to_metrics(path: Path, report: dict[str, Any]) -> None:
    """Put the figures of a report into the file; those of other suites stay.

    Key figures are at the top level, `sources` tells the command, the commit and the weights
    (`Evaluation.model_fingerprint`) of each, `reports` holds every figure of each suite. What was
    found of other weights goes.

    Args:
        path: JSON file, made if needed.
        report: what `run_evaluation` gave.

    Raises:
        ValueError: if the file is no JSON object.
    """
    before = read_json_object(path) if path.exists() else {}
    source = {key: report[key] for key in ("command", "commit", "weights")}
    sources = _of_weights(source["weights"], before.get("sources", {}))
    reports = _of_weights(source["weights"], before.get("reports", {}))
    figures = {name: before[name] for name in sources}
    figures |= {k: v if v is None else float(f"{v:.4g}") for k, v in report["metrics"].items()}
    sources |= dict.fromkeys(report["metrics"], source)
    reports |= {suite: {**source, **found} for suite, found in report["suites"].items()}
    content = figures | {"sources": sources, "reports": reports}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _of_weights(weights: str, entries: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry.get("weights") == weights}


def command_of(settings: EvaluationSettings) -> str:
    """The command that gives the same figures anywhere."""
    words = ["python", "-m", "videorfsplat", "evaluate"]
    if settings.suites != DEFAULT_SUITES:
        words += ["--suite", *settings.suites]
    words += ["--prompts", str(settings.prompts), "--seed", str(settings.seed)]
    words += ["--model", settings.model]
    if settings.probe != MINI_PROBE:
        words += ["--probe", str(settings.probe)]
    if settings.dtype != EvaluationSettings.dtype:
        words += ["--dtype", settings.dtype]
    if settings.compile:
        words.append("--compile")
    if "hub" in settings.suites:
        words += ["--clip", settings.clip]
        for option, path in (
            ("--prompt-file", settings.prompt_file),
            ("--real-images", settings.real_images),
        ):
            words += [] if path is None else [option, str(path)]
    return shlex.join([*words, "--output", "evaluation"])


def source_commit() -> str | None:
    """Commit of the source tree, with `-dirty` if it was changed since; None outside of git."""
    words = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run([*words, "--exclude", "*"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
