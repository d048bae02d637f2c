"""The tokenizer takes any text; labels say what a caption states."""

import json

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from videorfsplat.data.worlds.captions import ATTRIBUTE_VALUES, UNMENTIONED
from videorfsplat.training.text_encoder import (
    AttributeReader,
    _labels,
    _loss_terms,
    train_tokenizer,
    write_captions,
)

CAPTIONS = ["A red house by a lake at sunset.", "a tall green tree on a hill", "Two blue houses"]
TOKENIZER = train_tokenizer(CAPTIONS, vocabulary_size=300, max_length=16)


@settings(max_examples=50)
@given(st.text(max_size=40))
@example("")
@example("ein Häuschen 🏠 am See 湖のそばの家")
@example("👩‍👩‍👧‍👦 zalgo z̴̡͑")
@example("\x00\n\t  ")
def test_any_text_has_tokens_and_comes_back(text):
    assume("</s>" not in text.lower())
    assume("<pad>" not in text.lower())
    ids = TOKENIZER(text)["input_ids"]
    assert ids[-1] == TOKENIZER.eos_token_id
    assert None not in ids
    said = TOKENIZER.backend_tokenizer.normalizer.normalize_str(text)
    found = TOKENIZER.decode(ids[:-1], clean_up_tokenization_spaces=False)
    assert found in (said, f" {said}")


def test_words_of_the_captions_take_one_token_in_any_case():
    tokenizer = train_tokenizer(CAPTIONS * 10, vocabulary_size=400, max_length=16)
    assert len(tokenizer("house")["input_ids"]) == 2
    assert tokenizer("HOUSE")["input_ids"] == tokenizer("house")["input_ids"]


def test_long_texts_are_cut_and_end_alike():
    ids = TOKENIZER("red " * 200, truncation=True)["input_ids"]
    assert len(ids) == 16
    assert ids[-1] == TOKENIZER.eos_token_id


def test_the_tokenizer_is_read_as_it_was_written(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    texts = [*CAPTIONS, "湖 🏠", ""]
    arguments = {"padding": "max_length", "truncation": True}
    assert dict(loaded(texts, **arguments)) == dict(TOKENIZER(texts, **arguments))


def test_captions_are_written_with_what_they_state(tmp_path):
    write_captions(tmp_path / "captions.jsonl", 3, 2, 3)
    lines = (tmp_path / "captions.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for line in lines:
        text, mentions = json.loads(line)
        assert text
        assert mentions.keys() == ATTRIBUTE_VALUES.keys()
        _labels(mentions)
    write_captions(tmp_path / "again.jsonl", 3, 2, 3)
    assert (tmp_path / "again.jsonl").read_text().splitlines() == lines
    write_captions(tmp_path / "prompts.txt", 3, 2, 3)
    prompts = (tmp_path / "prompts.txt").read_text().splitlines()
    assert prompts == [json.loads(line)[0] for line in lines]


def some_mentions(**changed):
    mentions = dict.fromkeys(ATTRIBUTE_VALUES, UNMENTIONED)
    return {**mentions, "secondary": [], "secondary_color": [], **changed}


def test_labels_are_classes_counts_and_marks():
    kinds, colors = ATTRIBUTE_VALUES["secondary"], ATTRIBUTE_VALUES["secondary_color"]
    single = len(ATTRIBUTE_VALUES) - 2
    said = some_mentions(
        kind=ATTRIBUTE_VALUES["kind"][5],
        secondary=[kinds[1]] * 3 + [kinds[0]],
        secondary_color=[colors[2], colors[2]],
    )
    labels = _labels(said)
    assert len(labels) == single + len(kinds) + len(colors)
    assert labels[list(ATTRIBUTE_VALUES).index("kind")] == 5
    # What is not mentioned has the class after the last.
    place = list(ATTRIBUTE_VALUES).index("motion")
    assert labels[place] == len(ATTRIBUTE_VALUES["motion"])
    # Three of a kind count as two, the most that is told apart.
    assert labels[single : single + len(kinds)] == [1, 2] + [0] * (len(kinds) - 2)
    assert labels[single + len(kinds) :] == [int(i == 2) for i in range(len(colors))]


def test_right_logits_are_counted_as_right():
    said = [some_mentions(), some_mentions(secondary_color=[ATTRIBUTE_VALUES["main_color"][0]])]
    labels = torch.tensor([_labels(mentions) for mentions in said])
    reader = AttributeReader(dim=8, num_heads=2)
    sizes = [head.out_features for head in reader.heads]
    choices = [
        20.0 * torch.nn.functional.one_hot(labels[:, i], size).float()
        for i, size in enumerate(sizes[:-1])
    ]
    marks = 40.0 * labels[:, len(choices) :].float() - 20
    terms = _loss_terms([*choices, marks], labels)
    assert float(terms["loss"]) < 1e-6
    assert terms["accuracy"] == terms["all_right"] == 1
    choices[0] = choices[0].roll(1, dims=1)
    terms = _loss_terms([*choices, marks], labels)
    assert float(terms["accuracy"]) == pytest.approx(1 - 1 / len(choices))
    assert terms["all_right"] == 0
    assert float(terms["loss"]) > 0.5


def test_the_reader_does_not_see_padding():
    torch.manual_seed(0)
    reader = AttributeReader(dim=8, num_heads=2)
    embeddings = torch.randn(2, 5, 8)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    changed = embeddings.clone()
    changed[1, 3:] = 100.0
    for one, two in zip(reader(embeddings, mask), reader(changed, mask), strict=True):
        torch.testing.assert_close(one, two)
