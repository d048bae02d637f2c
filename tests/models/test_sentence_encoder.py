"""A trimmed sentence encoder computes what the pretrained one does, for all that is written."""

import string

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny import BERT_WORDS, save_tiny_bert
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertModel,
    PreTrainedTokenizerFast,
)

from videorfsplat.models.sentence_encoder import to_distilbert, trim_sentence_encoder

TEXTS = ["a red house by the lake", "Wooden hill, at night!"]
# One of the old vocabulary that no text has, one spelled in two pieces, one in letters.
WHOLE = ["zebra", "toadstool", "windmill", "house"]
SIZE, LENGTH = 200, 40


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def trimmed(pretrained):
    return trim_sentence_encoder(pretrained, TEXTS, WHOLE, SIZE, LENGTH)


@pytest.fixture(scope="module")
def old(pretrained) -> tuple[PreTrainedTokenizerFast, BertModel]:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(pretrained / "tokenizer.json"))
    return tokenizer, BertModel.from_pretrained(pretrained).eval()


@settings(max_examples=150)
@given(st.text(alphabet=string.printable, max_size=60))
@example("")
@example("x" * 100)
@example(string.punctuation)
@example("Don't stop—now… it's “great”")
def test_anything_in_ascii_has_pieces(trimmed, text):
    tokenizer, _ = trimmed
    ids = tokenizer(text)["input_ids"]
    assert ids[-1] == tokenizer.sep_token_id
    signs = {sign for sign in text if sign.isascii()}
    assert tokenizer.unk_token_id not in ids or not signs >= {*text}
    assert len(ids) > 1 or not text.strip()
    # Only the end is no part of the text, and what is read is the text.
    told = "".join(piece.removeprefix("##") for piece in tokenizer.convert_ids_to_tokens(ids[:-1]))
    if signs >= {*text}:
        visible = "".join(text.split())
        assert told == "".join(sign for sign in visible.lower() if sign.isprintable())


def test_what_is_too_long_for_a_word_is_cheap(trimmed):
    tokenizer, _ = trimmed
    # To spell it would take the square of its length.
    assert tokenizer("x" * 2000)["input_ids"] == [tokenizer.unk_token_id, tokenizer.sep_token_id]


def test_whole_words_are_one_token_each(trimmed, old):
    tokenizer, model = trimmed
    theirs, bert = old
    rows = model.get_input_embeddings().weight
    old_rows = bert.get_input_embeddings().weight
    for word in WHOLE:
        (number, _) = tokenizer(word.upper())["input_ids"]
        spelled = theirs(word, add_special_tokens=False)["input_ids"]
        torch.testing.assert_close(rows[number], old_rows[spelled].mean(0))


def test_kept_pieces_keep_their_embeddings_and_order(trimmed, old):
    (tokenizer, model), (theirs, bert) = trimmed, old
    vocabulary, before = tokenizer.get_vocab(), theirs.get_vocab()
    rows = model.get_input_embeddings().weight
    assert len(vocabulary) == len(rows) == model.config.vocab_size <= SIZE
    kept = sorted(vocabulary.keys() & before.keys(), key=vocabulary.__getitem__)
    assert {"[PAD]", "[UNK]", "[SEP]", "red", "house", "##en", *string.digits} <= {*kept}
    assert not {"[CLS]", "[MASK]", "[unused0]", "é"} & {*kept}
    for piece in kept:
        assert torch.equal(
            rows[vocabulary[piece]], bert.get_input_embeddings().weight[before[piece]]
        )
    assert kept[:3] == ["[PAD]", "[UNK]", "[SEP]"]
    assert kept[3:] == sorted(kept[3:], key=before.__getitem__)
    assert model.config.pad_token_id == vocabulary["[PAD]"] == 0


def test_texts_have_the_states_of_the_pretrained_encoder(trimmed, old):
    (tokenizer, model), (theirs, bert) = trimmed, old
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids = [
        [theirs.convert_tokens_to_ids(piece) for piece in tokenizer.convert_ids_to_tokens(row)]
        for row in tokens["input_ids"].tolist()
    ]
    mask = tokens["attention_mask"]
    with torch.no_grad():
        found = model(tokens["input_ids"], attention_mask=mask).last_hidden_state
        # Words stand where they were pretrained: after the place of [CLS].
        places = torch.arange(1, mask.shape[1] + 1)[None]
        wanted = bert(torch.tensor(ids), attention_mask=mask, position_ids=places).last_hidden_state
    # The same sums in another order: a few roundings of states near one.
    torch.testing.assert_close(found[mask > 0], wanted[mask > 0], atol=1e-5, rtol=1e-5)


def test_tokens_know_their_place_and_long_texts_are_cut(trimmed):
    tokenizer, model = trimmed
    text = "A RED  toadstool"
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end in offsets] == ["A", "RED", "toadstool", ""]
    ids = tokenizer("red " * 300, truncation=True)["input_ids"]
    assert len(ids) == LENGTH == model.config.max_position_embeddings
    assert ids[-1] == tokenizer.sep_token_id


def test_it_is_read_as_it_was_written(trimmed, tmp_path):
    tokenizer, model = trimmed
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    model.save_pretrained(tmp_path / "text_encoder")
    again = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    arguments = {"padding": True, "truncation": True, "return_tensors": "pt"}
    texts = [*TEXTS, "toadstool " * 90, "湖 🏠", ""]
    tokens, expected = again(texts, **arguments), tokenizer(texts, **arguments)
    assert torch.equal(tokens["input_ids"], expected["input_ids"])
    assert torch.equal(tokens["attention_mask"], expected["attention_mask"])
    loaded = DistilBertModel.from_pretrained(tmp_path / "text_encoder").eval()
    chosen = {name: tokens[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found, wanted = (m(**chosen).last_hidden_state for m in (loaded, model))
    assert torch.equal(found, wanted)


def test_a_vocabulary_that_is_too_small_is_refused(pretrained):
    with pytest.raises(ValueError, match="pieces are needed, more than"):
        trim_sentence_encoder(pretrained, TEXTS, WHOLE, 50, LENGTH)


def test_room_is_filled_with_frequent_words_first(pretrained):
    tokenizer, _ = trim_sentence_encoder(pretrained, [], [], 115, LENGTH)
    # The old vocabulary is sorted by how often a piece is used.
    present = [word in tokenizer.get_vocab() for word in BERT_WORDS]
    assert 1 < sum(present) < len(present)
    assert present == sorted(present, reverse=True)


def test_another_bert_is_refused():
    config = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config |= {"intermediate_size": 8, "vocab_size": 10}
    with pytest.raises(ValueError, match="only a BERT with gelu"):
        to_distilbert(BertModel(BertConfig(**config, hidden_act="relu")))
