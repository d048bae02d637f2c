"""The README of a checkpoint: how it was trained (`history.json`) and what was measured of it."""

from pathlib import Path
from typing import Any

from videorfsplat.evaluation.bars import BARS, is_met
from videorfsplat.evaluation.metrics_file import read_metrics
from videorfsplat.evaluation.source import short_commit
from videorfsplat.formats.files import read_json_object, write_file
from videorfsplat.generation.checkpoint import FEW_STEP_FOLDER

HISTORY_NAME = "history.json"
METRICS_NAME = "metrics.json"

_FRONT_MATTER = """---
license: apache-2.0
pipeline_tag: text-to-3d
library_name: diffusers
---"""


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
    few_step = ["## Measured of the few-step variant", _measured(variant)] if variant else []
    try:
        parts = [
            _FRONT_MATTER,
            f"# {history['title']}",
            history["summary"],
            "## Training",
            _table(("part", "what", "data", "training"), history["stages"]),
            "## Measured",
            _measured(metrics),
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
