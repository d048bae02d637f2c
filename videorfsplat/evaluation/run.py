"""An evaluation from settings to report."""

import json
import logging
from typing import Any

from videorfsplat.evaluation.bars import check_bars
from videorfsplat.evaluation.evaluation import load_evaluation
from videorfsplat.evaluation.measurements import write_text
from videorfsplat.evaluation.metrics_file import add_to_metrics, command_of, source_commit
from videorfsplat.evaluation.model_card import HISTORY_NAME, write_model_card
from videorfsplat.evaluation.settings import EvaluationSettings
from videorfsplat.evaluation.suites import run_suite
from videorfsplat.run_record import library_versions

logger = logging.getLogger(__name__)


def run_evaluation(settings: EvaluationSettings) -> dict[str, Any]:
    """Run the suites; what an earlier run in the same folder made is not made again.

    Returns:
        The report, also written to `<output>/report.json`: `suites` (a report each), `metrics` (key
        figures), `bars` (those that have one), `settings`, `command`, `commit`,
        `weights` and `versions`.

    Raises:
        FileNotFoundError: if the model is missing.
        ValueError: if a model or the folder does not fit.
    """
    evaluation = load_evaluation(settings)
    suites: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
    for suite in settings.suites:
        logger.info("suite %s", suite)
        result = run_suite(suite, evaluation)
        suites[suite] = result.report
        metrics |= result.metrics
    report = {
        "suites": suites,
        "metrics": metrics,
        "bars": check_bars(metrics),
        "settings": settings.to_dict(),
        "command": command_of(settings),
        "commit": source_commit(),
        "weights": evaluation.model_fingerprint,
        "versions": library_versions(),
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(settings.output / "report.json", text + "\n")
    if settings.metrics is not None:
        add_to_metrics(settings.metrics, report)
        if (settings.metrics.parent / HISTORY_NAME).exists():
            write_model_card(settings.metrics.parent)
    return report
