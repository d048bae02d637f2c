"""`metrics.json`: the figures of a model, each with the command and commit that gave it."""

import json
from pathlib import Path
from typing import Any

from videorfsplat.formats.files import read_json_object, write_file


def read_metrics(path: Path) -> dict[str, Any]:
    """What `add_to_metrics` wrote; empty if there is no such file.

    Raises:
        ValueError: naming the file, if it holds anything else.
    """
    content = read_json_object(path) if path.exists() else {}
    for key, needed in (("sources", {"command", "commit"}), ("reports", set())):
        entries = content.get(key, {})
        if not isinstance(entries, dict):
            raise ValueError(f"{path}: {key} is no object")
        for name, entry in entries.items():
            if not isinstance(entry, dict) or not needed <= entry.keys():
                raise ValueError(f"{path}: the entry {name} of {key} is damaged")
    for name in content.get("sources", {}):
        if not isinstance(content.get(name, ""), int | float | None):
            raise ValueError(f"{path}: {name} has a source and no value")
    return content


def add_to_metrics(path: Path, report: dict[str, Any]) -> None:
    """Put the figures of a report into the file; those of other suites stay.

    Key figures are at the top level, `sources` tells the command, the commit and the weights
    (`Evaluation.model_fingerprint`) of each, `reports` holds every figure of each suite. What was
    found of other weights goes.

    Args:
        path: JSON file, made if needed.
        report: what `run_evaluation` gave.

    Raises:
        ValueError: if the file holds anything else (`read_metrics`).
    """
    before = read_metrics(path)
    source = {key: report[key] for key in ("command", "commit", "weights")}
    sources = _of_weights(source["weights"], before.get("sources", {}))
    reports = _of_weights(source["weights"], before.get("reports", {}))
    figures = {name: before[name] for name in sources}
    figures |= {k: v if v is None else float(f"{v:.4g}") for k, v in report["metrics"].items()}
    sources |= dict.fromkeys(report["metrics"], source)
    reports |= {suite: {**source, **found} for suite, found in report["suites"].items()}
    content = figures | {"sources": sources, "reports": reports}
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_file(path, text.encode())


def _of_weights(weights: str, entries: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in entries.items() if entry.get("weights") == weights}
