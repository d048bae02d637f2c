"""Suite `language`: sentences written by hand, read by the reader and drawn by the model.

Three groups: words that captions use, new words for the main object, and descriptions of it. One
half of the sentences may be looked at while a model is made (`seen`); of the other half there are
figures only.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import Figure, Terms, ratio_figure
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import Prompt, noise_seed
from videorfsplat.evaluation.scene_measures import measure_scenes
from videorfsplat.evaluation.suites import SuiteResult

SENTENCES = Path(__file__).parents[1] / "language"
HALVES = ("seen", "unseen")
GROUPS = ("known", "new", "description")


def read_sentences(half: str) -> list[dict[str, Any]]:
    """The sentences of a half: `prompt`, `group`, and `states`, a value for each attribute that the
    sentence states; of `secondary` and `secondary_color` a list without repeats."""
    lines = (SENTENCES / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """What the reader reads and what the probe finds in renders, by half and group."""
    report: dict[str, Any] = {}
    for half in HALVES:
        sentences = read_sentences(half)
        read = _read(evaluation, sentences)
        drawn = _drawn(evaluation, half, sentences)
        groups = {group: _figures(sentences, read, drawn, group) for group in GROUPS}
        whole = _figures(sentences, read, drawn, None)
        report[half] = {"sentences": len(sentences), "all": whole, **groups}
    unseen = report["unseen"]
    metrics = {
        f"{name}_kind_{group}": _value(unseen[group], f"{name}_kind")
        for name in ("read", "drawn")
        for group in GROUPS
    }
    metrics["read_others"] = _value(unseen["all"], "read_others")
    return SuiteResult(report, metrics)


def _value(figures: dict[str, Figure], name: str) -> float | None:
    """Of a figure; `None` if the model has no reader."""
    return figures[name]["value"] if name in figures else None


def _read(evaluation: Evaluation, sentences: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """The values that the model's reader finds; `None` if it has no reader."""
    readings = [evaluation.pipeline.read_prompt(s["prompt"]) for s in sentences]
    return None if None in readings else [reading.values for reading in readings]


def _drawn(
    evaluation: Evaluation, half: str, sentences: list[dict[str, Any]]
) -> list[dict[str, list[bool]]]:
    """Per sentence and attribute, what the probe sees of what is stated."""
    seed = evaluation.settings.seed
    # How many things stand beside the main one is not said in every sentence.
    prompts = [
        Prompt(index, sentence["prompt"], _countless(sentence), noise_seed(seed, index))
        for index, sentence in enumerate(sentences)
    ]
    scenes = GeneratedScenes(evaluation, f"language-{half}", prompts, evaluation.settings.sampling)
    return [record["attributes"] for record in measure_scenes(scenes).records(scenes.indices)]


def _figures(
    sentences: list[dict[str, Any]],
    read: list[dict[str, Any]] | None,
    drawn: list[dict[str, list[bool]]],
    group: str | None,
) -> dict[str, Figure]:
    """Shares of right values in a group, or in all; `read_…` are absent without a reader."""
    rows = [row for row, sentence in enumerate(sentences) if group in (None, sentence["group"])]
    figures = {
        "drawn_kind": ratio_figure([_flags(drawn[row].get("kind", [])) for row in rows]),
        "drawn_others": ratio_figure(_drawn_others([drawn[row] for row in rows])),
    }
    if read is not None:
        kinds = [_flags([_is_read(sentences[row], read[row], "kind")]) for row in rows]
        others = [_others(sentences[row], read[row]) for row in rows]
        figures |= {"read_kind": ratio_figure(kinds), "read_others": ratio_figure(others)}
    return figures


def _others(sentence: dict[str, Any], values: dict[str, Any]) -> tuple[float, float]:
    stated = [name for name in sentence["states"] if name != "kind"]
    return _flags([_is_read(sentence, values, name) for name in stated])


def _is_read(sentence: dict[str, Any], values: dict[str, Any], name: str) -> bool:
    stated, found = sentence["states"][name], values.get(name)
    if isinstance(stated, list):
        return {*stated} == {*(found or ())}
    return stated == found


def _countless(sentence: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in sentence["states"].items() if name != "secondary"}


def _drawn_others(scores: Sequence[dict[str, list[bool]]]) -> Terms:
    return [
        _flags([flag for name, flags in score.items() if name != "kind" for flag in flags])
        for score in scores
    ]


def _flags(flags: Sequence[bool]) -> tuple[float, float]:
    return float(sum(flags)), float(len(flags))
