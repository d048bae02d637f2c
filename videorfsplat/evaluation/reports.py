"""What is kept of an evaluation: its commit, the figures of a model, its bars and its card."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from videorfsplat.formats.files import read_json_object, write_file
from videorfsplat.generation.checkpoint import FEW_STEP_FOLDER

_PACKAGE = Path(__file__).parents[1]


class Source(TypedDict):
    """What gave a figure."""

    command: str
    """`EvaluationSettings.command`."""
    commit: str | None
    """`source_commit`."""
    weights: str
    """`Evaluation.model_fingerprint`."""


def source_commit() -> str | None:
    """Commit of the source tree, with `-dirty` if it was changed since; None outside of git."""
    words = ["git", "-C", str(_PACKAGE), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        found = subprocess.run([*words, "--exclude", "*"], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def short_commit(commit: str | None) -> str:
    """Twelve digits of what `source_commit` told, and its `-dirty`."""
    digits, dash, dirty = (commit or "unknown").partition("-")
    return digits[:12] + dash + dirty


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


class Bar(NamedTuple):
    """A limit on one of the key figures of `metrics.json`."""

    limit: float
    is_least: bool
    """Whether the figure must reach the limit; otherwise it must stay below."""


BARS: dict[str, Bar] = {
    "autoencoder_psnr": Bar(30.0, is_least=True),
    "decoder_source_psnr": Bar(25.0, is_least=True),
    "decoder_novel_psnr": Bar(25.0, is_least=True),
    "consistency_psnr": Bar(22.0, is_least=True),
    "attributes_of_ceiling": Bar(0.85, is_least=True),
    "kind": Bar(0.85, is_least=True),
    "motion_direction": Bar(0.95, is_least=True),
    "cameras_fitted": Bar(0.95, is_least=True),
    "probe_fd_ratio": Bar(3.0, is_least=False),
    "seconds_default": Bar(10.0, is_least=False),
    "seconds_few_step": Bar(5.0, is_least=False),
    "paraphrase_loss": Bar(5.0, is_least=False),
}


def check_bars(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """An entry for every figure with a bar: `name`, `value`, `at_least` or `at_most`, and `met`."""
    entries = []
    for name, bar in BARS.items():
        if name in metrics:
            value, kind = metrics[name], "at_least" if bar.is_least else "at_most"
            met = is_met(bar, value)
            entries.append({"name": name, "value": value, kind: bar.limit, "met": met})
    return entries


def is_met(bar: Bar, value: float | None) -> bool:
    """Whether a figure reaches its bar; one without value does not."""
    return value is not None and (value >= bar.limit if bar.is_least else value <= bar.limit)


HISTORY_NAME = "history.json"
METRICS_NAME = "metrics.json"

_FRONT_MATTER = """---
license: apache-2.0
pipeline_tag: text-to-3d
library_name: videorfsplat
---"""

_USE = """## Use

The pipeline's class is in the package `videorfsplat`. `DiffusionPipeline.from_pretrained` finds
classes of diffusers only, so load by the class:

```python
from videorfsplat import VideoRFSplatPipeline

pipeline = VideoRFSplatPipeline.from_pretrained("FOLDER")
```"""


def checkpoints_of(metrics: Path) -> list[Path]:
    """The checkpoints with a history whose card tells of a `metrics.json`: the one that it lies in,
    or whose few-step variant it is of."""
    folder = metrics.parent
    candidates = [folder, folder.parent] if folder.name == FEW_STEP_FOLDER else [folder]
    return [checkpoint for checkpoint in candidates if (checkpoint / HISTORY_NAME).exists()]


def write_model_card(checkpoint: Path) -> Path:
    """Write `README.md` of a checkpoint.

    Args:
        checkpoint: the folder.

    Raises:
        FileNotFoundError, ValueError: as `model_card`.
    """
    target = checkpoint / "README.md"
    write_file(target, model_card(checkpoint).encode())
    return target


def model_card(checkpoint: Path) -> str:
    """The card of a checkpoint from its `history.json` and, where there is one, `metrics.json`, its
    own and that of its few-step variant.

    The history has `title`, `summary`, `stages` (a list of objects with `part`, `what`, `data` and
    `training`) and `limits` (a list of sentences).

    Args:
        checkpoint: the folder.

    Raises:
        FileNotFoundError: if there is no history.
        ValueError: if one of the files is damaged or lacks a key.
    """
    path = checkpoint / HISTORY_NAME
    history, metrics = read_json_object(path), read_metrics(checkpoint / METRICS_NAME)
    variant = read_metrics(checkpoint / FEW_STEP_FOLDER / METRICS_NAME)
    measured = _measured(metrics)
    few_step = ["## Measured of the few-step variant", _measured(variant)] if variant else []
    try:
        parts = [
            _FRONT_MATTER,
            f"# {history['title']}",
            history["summary"],
            _USE,
            "## Training",
            _table(("part", "what", "data", "training"), history["stages"]),
            "## Measured",
            measured,
            *few_step,
            "## Limits",
            "\n".join(f"- {limit}" for limit in history["limits"]),
        ]
        return "\n\n".join(parts) + "\n"
    except KeyError as error:
        raise ValueError(f"{path}: {error.args[0]} is missing") from error
    except TypeError as error:
        raise ValueError(f"{path}: no history of a model ({error})") from error


def _measured(metrics: dict[str, Any]) -> str:
    """A row a key figure: its value, what it is meant to reach, and what gave it."""
    sources = metrics.get("sources", {})
    if not sources:
        return "Nothing yet."
    rows = []
    for name, source in sources.items():
        bar, value = BARS.get(name), metrics[name]
        row = {"figure": name, "value": "undefined" if value is None else f"{value:g}"}
        row |= {"aim": "", "met": "", "commit": short_commit(source["commit"])}
        if bar is not None:
            row["aim"] = f"{'≥' if bar.is_least else '≤'} {bar.limit:g}"
            row["met"] = "yes" if is_met(bar, value) else "**no**"
        rows.append(row)
    commands = sorted({source["command"] for source in sources.values()})
    given = "\n".join(["Given by", "", *(f"    {command}" for command in commands)])
    return f"{_table(('figure', 'value', 'aim', 'met', 'commit'), rows)}\n\n{given}"


def _table(columns: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    lines = [columns, ["---"] * len(columns)]
    lines += [[row[column] for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
