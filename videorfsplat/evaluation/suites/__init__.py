"""The suites, a module each: `evaluate(evaluation)` gives a report and the figures it decides."""

import importlib
from typing import Any, NamedTuple


class SuiteResult(NamedTuple):
    """What a suite found."""

    report: dict[str, Any]
    """Everything, ready for JSON."""
    metrics: dict[str, float | None]
    """Key figures by the names of `metrics.json`."""


def run_suite(name: str, evaluation: Any) -> SuiteResult:
    """Run the suite of this name, one of `settings.SUITES`."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return module.evaluate(evaluation)
