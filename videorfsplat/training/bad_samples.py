"""Samples that turn out unreadable: a run of days does not end with one, and does not hide it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

FILE_NAME = "bad-samples.jsonl"

Sample = TypeVar("Sample")


def read_this_or_next(
    read: Callable[[int], Sample], index: int, count: int, folder: str | Path
) -> Sample:
    """The sample of an index, or the next that can be read.

    Those that cannot are logged and added to `bad-samples.jsonl`.

    Args:
        read: gives the sample of an index; a `ValueError` says why it cannot.
        index: where to begin.
        count: of all samples; after the last comes the first.
        folder: of the run.

    Raises:
        ValueError: with the last reason, if no sample can be read.
    """
    last = ""
    for place in range(index, index + count):
        try:
            return read(place % count)
        except ValueError as error:
            last = str(error)
            logger.warning("bad sample: %s", error)
            Path(folder).mkdir(parents=True, exist_ok=True)
            with (Path(folder) / FILE_NAME).open("a") as file:
                file.write(json.dumps({"sample": place % count, "error": last}) + "\n")
    raise ValueError(f"none of {count} samples can be read; the last: {last}")
