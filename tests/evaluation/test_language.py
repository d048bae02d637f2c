"""Sentences written by hand: well formed, told apart, and counted right. No test shows one."""

import json

import pytest

from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
)
from videorfsplat.data.worlds.captions import (
    VOCABULARY,
)
from videorfsplat.evaluation import figures
from videorfsplat.evaluation.suites import language
from videorfsplat.language.choices import LISTS
from videorfsplat.language.lexicon import read_lexicon, read_phrases, words_of
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.language.reading import Reading, Stated


@pytest.fixture(params=language.HALVES)
def half(request) -> str:
    return request.param


def lines_where(half: str, is_wrong) -> list[int]:
    """Numbers of the lines of a half, never their words: nobody is to look at the unseen ones."""
    return [row for row, sentence in enumerate(language.read_sentences(half)) if is_wrong(sentence)]


def test_sentences_are_well_formed(half):
    keys = {"prompt", "group", "states"}
    assert lines_where(half, lambda s: s.keys() != keys) == []
    assert lines_where(half, lambda s: s["group"] not in language.GROUPS) == []
    assert lines_where(half, lambda s: not 0 < len(s["prompt"]) <= MAX_PROMPT_CHARACTERS) == []
    assert lines_where(half, lambda s: s["prompt"] != s["prompt"].strip()) == []


def test_states_are_values_of_attributes(half):
    def is_wrong(sentence) -> bool:
        for name, value in sentence["states"].items():
            if name not in ATTRIBUTE_VALUES or isinstance(value, list) != (name in LISTS):
                return True
            parts = value if isinstance(value, list) else [value]
            if not parts or len(parts) > len({*parts}) or not {*parts} <= {*ATTRIBUTE_VALUES[name]}:
                return True
        return "kind" not in sentence["states"] or "none" in sentence["states"].values()

    assert lines_where(half, is_wrong) == []


def test_things_that_need_another_have_it(half):
    assert (
        lines_where(
            half, lambda s: "secondary_color" in s["states"] and "secondary" not in s["states"]
        )
        == []
    )
    assert (
        lines_where(
            half,
            lambda s: "ground_color" in s["states"] and s["states"].get("ground") != "flower field",
        )
        == []
    )


def test_groups_are_as_large_in_both_halves_and_speak_of_every_kind():
    counts = []
    for half in language.HALVES:
        sentences = language.read_sentences(half)
        counts.append([sum(s["group"] == group for s in sentences) for group in language.GROUPS])
        for group in language.GROUPS:
            kinds = {s["states"]["kind"] for s in sentences if s["group"] == group}
            assert kinds == {*ATTRIBUTE_VALUES["kind"]}, (half, group)
    assert counts[0] == counts[1]
    assert min(counts[0]) >= 40


def test_no_sentence_is_there_twice():
    texts = [
        " ".join(words_of(s["prompt"]))
        for half in language.HALVES
        for s in language.read_sentences(half)
    ]
    repeated = len(texts) - len({*texts})
    assert repeated == 0


def test_nothing_that_is_learned_has_a_word_of_theirs_for_the_main_object():
    prompts = [s["prompt"] for half in language.HALVES for s in language.read_sentences(half)]
    hidden = {word for prompt in prompts for word in words_of(prompt)} - VOCABULARY
    lexicon = read_lexicon(None, prompts)
    nouns = [noun for words in lexicon.values() for noun in (*words.nouns, *words.near)]
    assert sum(bool(hidden & {*words_of(noun)}) for noun in nouns) == 0
    # Without holding out there are such words: the check is one.
    every = [noun for words in read_lexicon().values() for noun in (*words.nouns, *words.near)]
    assert sum(bool(hidden & {*words_of(noun)}) for noun in every) > 0
    # Enough is left to learn from.
    assert min(len(words.nouns) for words in lexicon.values()) >= 10
    phrases = read_phrases(prompts)
    assert min(len(names) for names in phrases["color"].values()) >= 10


# --- the suite ------------------------------------------------------------------------------------

SENTENCES = [
    {"prompt": "a red house", "group": "known", "states": {"kind": "house", "main_color": "red"}},
    {
        "prompt": "a cabin by rocks",
        "group": "new",
        "states": {"kind": "house", "secondary": ["rock"]},
    },
    {"prompt": "where people live", "group": "description", "states": {"kind": "house"}},
]


@pytest.fixture
def sentences(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "RESAMPLES", 100)
    monkeypatch.setattr(language, "SENTENCES", tmp_path)
    for half in language.HALVES:
        lines = [json.dumps({**s, "prompt": f"{s['prompt']} {half}"}) for s in SENTENCES]
        (tmp_path / f"{half}.jsonl").write_text("\n".join(lines) + "\n")


def read_as(monkeypatch, evaluation, values) -> None:
    stated = {name: Stated(value, 1.0) for name, value in values.items()}
    reading = Reading("", stated, "named", "")
    monkeypatch.setattr(evaluation.pipeline, "read_prompt", lambda prompt: reading)
    # What is drawn is the prompt: this model has no reader of its own.
    monkeypatch.setattr(evaluation.pipeline, "complete_prompt", lambda *_, **__: None)


def test_the_suite_counts_what_is_read_and_drawn(evaluation, sentences, monkeypatch):
    values = {"kind": "house", "main_color": "blue", "secondary": ("rock", "rock")}
    read_as(monkeypatch, evaluation, values)
    report, metrics = language.evaluate(evaluation)
    assert report.keys() == {*language.HALVES}
    for found in report.values():
        assert found["sentences"] == 3
        assert [found[group]["read_kind"]["value"] for group in language.GROUPS] == [1.0] * 3
        # Another colour is wrong; how many rocks is not asked.
        assert found["known"]["read_others"]["value"] == 0.0
        assert found["new"]["read_others"]["value"] == 1.0
        for group in language.GROUPS:
            assert 0.0 <= found[group]["drawn_kind"]["value"] <= 1.0
    assert metrics.keys() == {
        *(f"{name}_kind_{group}" for name in ("read", "drawn") for group in language.GROUPS),
        "read_others",
    }
    assert metrics["read_others"] == 0.5
    assert metrics["read_kind_new"] == 1.0


def test_a_model_without_a_reader_has_no_figures_of_reading(evaluation, sentences):
    _, metrics = language.evaluate(evaluation)
    assert metrics["read_kind_known"] is None
    assert metrics["read_others"] is None
    assert metrics["drawn_kind_known"] is not None
