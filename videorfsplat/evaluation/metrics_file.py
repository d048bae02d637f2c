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

    Key figures are at the top level, `sources` tells the command and commit of each, `reports`
    holds every figure of each suite.

    Args:
        path: JSON file, made if needed.
        report: what `run_evaluation` gave.

    Raises:
        ValueError: if the file is no JSON object.
    """
    content = read_json_object(path) if path.exists() else {}
    source = {"command": report["command"], "commit": report["commit"]}
    sources = content.pop("sources", {}) | dict.fromkeys(report["metrics"], source)
    reports = content.pop("reports", {})
    for suite, found in report["suites"].items():
        reports[suite] = {**source, **found}
    figures = {k: v if v is None else float(f"{v:.4g}") for k, v in report["metrics"].items()}
    content |= figures
    content |= {"sources": sources, "reports": reports}
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


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
    return shlex.join([*words, "--output", "evaluation"])


def source_commit() -> str | None:
    """Commit of the source tree, with `-dirty` if it was changed since; None outside of git."""
    words = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run([*words, "--exclude", "*"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
