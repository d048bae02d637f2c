"""What the bundled model is meant to reach."""

from collections.abc import Mapping
from typing import Any, NamedTuple


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
    "paraphrase_loss": Bar(5.0, is_least=False),
}


def check_bars(metrics: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """One entry for every figure that has a bar: `name`, `value`, `at_least` or `at_most`, `met`.

    A figure without value has not met its bar.
    """
    entries = []
    for name, bar in BARS.items():
        if name in metrics:
            value = metrics[name]
            met = value is not None and (value >= bar.limit if bar.is_least else value <= bar.limit)
            kind = "at_least" if bar.is_least else "at_most"
            entries.append({"name": name, "value": value, kind: bar.limit, "met": met})
    return entries
