"""Measurements of scenes on disk: what a run has measured, a later one does not measure again."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import load_file, save
from torch import Tensor

from videorfsplat.formats.files import write_file

logger = logging.getLogger(__name__)

_REPORTED_EVERY = 16

Measurement = tuple[dict[str, Any], dict[str, Tensor]]
"""A record that can be written as JSON, and features [v,d] of the scene's views by name."""


def check_origin(folder: Path, origin: dict[str, Any]) -> None:
    """Make `folder`, or see that what it holds was made with the same settings and weights.

    Raises:
        ValueError: if it was not.
    """
    path = folder / "origin.json"
    # As it comes back from the file.
    origin = json.loads(json.dumps(origin))
    if path.exists():
        found = json.loads(path.read_text())
        if found != origin:
            changed = [k for k in origin.keys() | found.keys() if origin.get(k) != found.get(k)]
            raise ValueError(
                f"{folder} was made with another {', '.join(sorted(changed))}; "
                "choose another output"
            )
        return
    write_file(path, (json.dumps(origin, indent=2) + "\n").encode())


class Measurements:
    """One JSON line a scene in `records.jsonl`, its features in `features/<index>.safetensors`.

    Args:
        folder: made if needed.
        origin: settings and fingerprints that decide the values.

    Raises:
        ValueError: if the folder holds measurements of another origin.
    """

    def __init__(self, folder: Path, origin: dict[str, Any]) -> None:
        check_origin(folder, origin)
        self._folder = folder
        self._path = folder / "records.jsonl"
        self._records = self._read()

    def complete(self, indices: Sequence[int], measure: Callable[[int], Measurement]) -> None:
        """Measure the scenes among `indices` that have no record yet."""
        missing = [index for index in indices if index not in self._records]
        for done, index in enumerate(missing, 1):
            record, features = measure(index)
            if features:
                save_tensors(self._feature_path(index), features)
            self._append({"index": index, **record})
            if done % _REPORTED_EVERY == 0 or done == len(missing):
                logger.info("%s: %d of %d measured", self._folder.name, done, len(missing))

    def records(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The records of these scenes, in their order."""
        return [self._records[index] for index in indices]

    def features(self, name: str, indices: Sequence[int]) -> list[Float[Tensor, "v d"]]:
        """One kind of feature of each of these scenes, in their order."""
        return [load_file(self._feature_path(index))[name] for index in indices]

    def _feature_path(self, index: int) -> Path:
        return self._folder / "features" / f"{index:06d}.safetensors"

    def _read(self) -> dict[int, dict[str, Any]]:
        if not self._path.exists():
            return {}
        lines = self._path.read_text().splitlines(keepends=True)
        # A line without its end was being written when a run was killed.
        whole = [line for line in lines if line.endswith("\n")]
        if len(whole) < len(lines):
            write_file(self._path, "".join(whole).encode())
        records = [json.loads(line) for line in whole]
        return {record["index"]: record for record in records}

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, allow_nan=False) + "\n"
        with self._path.open("a") as file:
            file.write(line)
        self._records[record["index"]] = json.loads(line)


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file so that a kill leaves none rather than half."""
    on_cpu = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    write_file(path, save(on_cpu, metadata))
