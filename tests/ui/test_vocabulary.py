"""Words that the small model never saw."""

import numpy as np
import pytest

from videorfsplat.data.worlds import sample_world
from videorfsplat.data.worlds.captions import caption
from videorfsplat.ui.layout import PROMPTS
from videorfsplat.ui.vocabulary import describe_vocabulary, marked_prompt, unknown_words


def test_no_training_caption_has_an_unknown_word():
    rng = np.random.default_rng(0)
    for seed in range(100):
        text = caption(sample_world(seed), rng)
        assert unknown_words(text) == [], text


@pytest.mark.parametrize("prompt", PROMPTS.values())
def test_the_examples_of_the_page_are_in_the_model_s_words(prompt):
    assert unknown_words(prompt) == []


def test_names_each_unknown_word_once_in_order():
    found = unknown_words("A dragon, a RED dragon and 2 дома by a kitchen-sink")
    assert found == ["dragon", "2", "дома", "kitchen-sink"]


def test_marks_words_and_nothing_else():
    html = marked_prompt("a red dragon & a <b>house</b>")
    assert "a red <mark>dragon</mark> &amp; a &lt;" in html
    assert "<mark>b</mark>" in html
    assert "<b>" not in html
    assert marked_prompt("a red house") == marked_prompt("") == ""


def test_says_what_the_model_can_draw():
    text = describe_vocabulary()
    assert all(word in text for word in ("lighthouse", "purple", "snow", "sunset", "No people"))
