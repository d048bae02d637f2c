"""What gave a figure: the command, the commit of the code, and the weights."""

import subprocess
from pathlib import Path
from typing import TypedDict

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
