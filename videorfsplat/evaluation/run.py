"""An evaluation from settings to report."""

import json
import logging
from typing import Any

from videorfsplat.evaluation.evaluation import Evaluation, load_evaluation
from videorfsplat.evaluation.reports import (
    add_to_metrics,
    check_bars,
    checkpoints_of,
    write_model_card,
)
from videorfsplat.evaluation.settings import EvaluationSettings
from videorfsplat.evaluation.suites import SuiteResult, run_suite
from videorfsplat.formats.files import write_file
from videorfsplat.generation.record import library_versions

logger = logging.getLogger(__name__)


def run_evaluation(settings: EvaluationSettings) -> dict[str, Any]:
    """Run the suites; what an earlier run in the same folder made is not made again.

    Returns:
        The report, also written to `<output>/report.json` after each suite: `suites` (a report
        each), `metrics` (key figures), `bars` (those that have one), `settings`, `command`,
        `commit`, `weights` and `versions`.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: if a model or the folder does not fit.
    """
    evaluation = load_evaluation(settings)
    results: dict[str, SuiteResult] = {}
    report: dict[str, Any] = {}
    for suite in settings.suites:
        logger.info("suite %s", suite)
        results[suite] = run_suite(suite, evaluation)
        report = _report(evaluation, results)
        # A later suite may fail after hours.
        text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
        write_file(settings.output / "report.json", f"{text}\n".encode())
    if settings.metrics is not None:
        add_to_metrics(settings.metrics, report)
        for checkpoint in checkpoints_of(settings.metrics):
            write_model_card(checkpoint)
    return report


def _report(evaluation: Evaluation, results: dict[str, SuiteResult]) -> dict[str, Any]:
    """What the suites that are finished have found, and what gave it."""
    metrics: dict[str, float | None] = {}
    for result in results.values():
        metrics |= result.metrics
    return {
        "suites": {suite: result.report for suite, result in results.items()},
        "metrics": metrics,
        "bars": check_bars(metrics),
        "settings": evaluation.settings.to_dict(),
        **evaluation.source,
        "versions": library_versions(),
    }
