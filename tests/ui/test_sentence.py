"""Chips under the sentence: what they offer, what they write and what they hold."""

import html
import json
import re

import pytest

from videorfsplat.data.worlds.captions import ATTRIBUTE_VALUES, VOCABULARY
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT
from videorfsplat.language.choices import LISTS
from videorfsplat.language.reading import Reading, Stated
from videorfsplat.ui.layout import PLACEHOLDER
from videorfsplat.ui.sentence import (
    LABELS,
    PHRASES,
    SentenceChips,
    chosen,
    chosen_json,
    reader_attributes,
    words_note,
)


def test_chips_offer_the_values_of_the_worlds_and_no_other():
    attributes = reader_attributes(MINI_CHECKPOINT)
    assert attributes.keys() == LABELS.keys() == ATTRIBUTE_VALUES.keys()
    for name, values in attributes.items():
        assert set(values) == set(ATTRIBUTE_VALUES[name]), name


def test_each_option_is_a_choice_that_the_page_takes():
    markup = SentenceChips({"kind": ["house"], "secondary": ["tree"]}).html_template
    values = [html.unescape(value) for value in re.findall('option value="([^"]+)"', markup)]
    assert values == ["house", '["tree"]']
    assert json.loads(values[1]) == ["tree"]
    assert "secondary" in LISTS


def test_what_chips_write_is_in_the_words_of_the_captions():
    phrases = [phrase for table in PHRASES.values() for phrase in table.values()]
    for text in (PLACEHOLDER, *phrases):
        assert set(re.findall(r"\w+", text)) <= VOCABULARY, text


def test_a_model_without_a_reader_has_no_chips(tmp_path):
    assert reader_attributes(tmp_path) == {}
    assert not SentenceChips({}).visible


def test_the_value_of_the_chips_comes_back_and_nothing_else_is_taken():
    assert chosen(None) == chosen(chosen_json()) == ({}, None)
    choices = {"kind": "castle", "secondary": ["tree"], "time": None}
    assert chosen(chosen_json(choices)) == (choices, None)
    assert chosen('{"choices": {}, "seed": 7}') == ({}, 7)
    for wrong in ("", "[]", "{}", 7, "[" * 5000, {"choices": 1}):
        with pytest.raises(ValueError, match="chips must hold"):
            chosen(wrong)


def test_the_note_carries_the_reading_and_no_markup_of_the_visitor():
    stated = {"kind": Stated("horse", 0.9)}
    note = words_note(Reading('a <b>dragon</b> "here"', stated, "near", "<b>dragon"))
    assert "<b>" not in note
    assert "nearest: horse" in note
    data = re.search('data-reading="([^"]*)"', note)
    assert data is not None
    assert json.loads(html.unescape(data[1]))["stated"] == {"kind": "horse"}
    quiet = words_note(Reading("a house", {"kind": Stated("house", 0.9)}, "named", "house"))
    assert quiet.endswith("></p>")


@pytest.mark.parametrize(
    ("prompt", "is_told"),
    [
        ("a house without trees", True),
        ("a tower, no trees", True),
        ("a house under a sky without a cloud", False),
        ("a house no taller than a child", False),
        ("a notable house", False),
    ],
)
def test_what_a_sentence_rules_out_is_told_not_to_be_understood(prompt, is_told):
    notes = Reading(prompt, {"kind": Stated("house", 0.9)}, "named", "house").notes
    assert any("not understood" in note for note in notes) == is_told
