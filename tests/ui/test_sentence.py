"""Words that the small model never saw."""

import re

import numpy as np
import pytest

from videorfsplat.data.worlds import sample_world
from videorfsplat.data.worlds.captions import caption
from videorfsplat.ui.layout import PLACEHOLDER
from videorfsplat.ui.sentence import SentenceChips, unknown_words, word_note


def test_no_training_caption_has_an_unknown_word():
    rng = np.random.default_rng(0)
    for seed in range(100):
        text = caption(sample_world(seed), rng)
        assert unknown_words(text) == [], text


def test_what_the_page_proposes_is_in_the_model_s_words():
    assert unknown_words(PLACEHOLDER) == []
    for phrase in re.findall('data-phrase="([^"]*)"', SentenceChips().html_template):
        assert unknown_words(phrase) == []


def test_names_each_unknown_word_once_in_order():
    found = unknown_words("A dragon, a RED dragon and 2 дома by a kitchen-sink")
    assert found == ["dragon", "2", "дома", "kitchen-sink"]


def test_names_words_and_nothing_else():
    note = word_note("a red dragon & a <b>house</b>")
    assert "<mark>dragon</mark>" in note
    assert "<b>" not in note
    assert word_note("a red house") == word_note("") == word_note("  ") == ""
    # Long sentences do not push the buttons away.
    assert "and 14 more" in word_note("a house " + " ".join(f"wort{i}" for i in range(20)))


@pytest.mark.parametrize("prompt", ["ein rotes Auto mit Rädern", "一座红房子", "🏠🌲", "???"])
def test_a_sentence_without_any_known_word_is_called_that(prompt):
    assert "none of these words" in word_note(prompt)


def test_negations_are_not_understood():
    assert "do not understand “without”" in word_note("a house without trees")
