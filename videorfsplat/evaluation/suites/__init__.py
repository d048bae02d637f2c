"""The suites: `evaluate(evaluation)` gives a report and the figures it decides."""

import importlib
from typing import Any, NamedTuple

# Of suites that share a module with others; the rest are `evaluate` in a module of their name.
_PLACES = {
    "autoencoder": ("known_worlds", "evaluate_autoencoder"),
    "decoder": ("known_worlds", "evaluate_decoder"),
    "given-cameras": ("known_worlds", "evaluate_given_cameras"),
    "generation": ("generation", "evaluate_generation"),
    "paraphrase": ("generation", "evaluate_paraphrase"),
    "speed": ("generation", "evaluate_speed"),
}


class SuiteResult(NamedTuple):
    """What a suite found."""

    report: dict[str, Any]
    """Everything, ready for JSON."""
    metrics: dict[str, float | None]
    """Key figures by the names of `metrics.json`."""


def run_suite(name: str, evaluation: Any) -> SuiteResult:
    """Run the suite of this name, one of `settings.SUITES`."""
    module, function = _PLACES.get(name, (name, "evaluate"))
    return getattr(importlib.import_module(f"{__name__}.{module}"), function)(evaluation)
