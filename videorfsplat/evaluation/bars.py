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
