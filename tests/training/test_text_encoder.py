"""Labels say what sentences state; a training at toy size runs to its end."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import TEXT_WIDTH, save_tiny_bert, save_tiny_text
from transformers import AutoTokenizer, DistilBertModel

from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
    UNMENTIONED,
)
from videorfsplat.language.choices import LISTS
from videorfsplat.language.reading import read_prompts
from videorfsplat.language.sentences import Sentence, SentenceWriter
from videorfsplat.models.prompt_reader import RELATIONS, PromptReader, PromptReaderOutput
from videorfsplat.training.run import RunConfig
from videorfsplat.training.text_encoder import (
    SINGLE,
    TextEncoderTraining,
    _Teacher,
    labels_of,
    name_marks,
    new_reader,
    reading_loss,
    train_text_encoder,
)

HELD_OUT = [{"prompt": "a bungalow at cockcrow"}, {"prompt": "my palomino"}]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return save_tiny_text(tmp_path_factory.mktemp("teacher"))


def two_steps(output, batch_size: int = 6) -> RunConfig:
    return RunConfig(
        output=str(output),
        max_steps=2,
        batch_size=batch_size,
        warmup_steps=1,
        learning_rate=1e-2,
        ema_decay=0.5,
        log_every=1,
    )


def some_sentence(text: str = "a red house", relation: str = "named", name=None, **changed):
    mentions = {**dict.fromkeys(ATTRIBUTE_VALUES, UNMENTIONED), "secondary": []}
    return Sentence(text, {**mentions, "secondary_color": [], **changed}, relation, name)


# --- a training -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(bert, teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    lines = [json.dumps(sentence) for sentence in HELD_OUT]
    paths = [folder / "one.jsonl", folder / "two.jsonl"]
    for path, line in zip(paths, lines, strict=True):
        path.write_text(line + "\n")
    settings = TextEncoderTraining(
        two_steps(folder / "run"),
        str(bert),
        teacher=str(teacher),
        held_out=",".join(map(str, paths)),
        captions=2,
        vocabulary_size=1500,
        max_length=80,
    )
    return train_text_encoder(settings)


def test_a_training_ends_with_all_its_parts(trained):
    lines = [json.loads(line) for line in (trained.parent / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    terms = {"loss", "kind", "kind_right", "accuracy", "all_right", "relation", "names", "teacher"}
    for line in lines:
        assert terms <= line.keys()
        assert all(np.isfinite(value) for value in line.values())
    weight = load_file(trained / "text_projection.safetensors")["weight"]
    assert weight.shape == (TEXT_WIDTH, 24)
    assert weight.any()


def test_what_was_exported_reads_prompts(trained):
    tokenizer = AutoTokenizer.from_pretrained(trained / "tokenizer")
    encoder = DistilBertModel.from_pretrained(trained / "text_encoder").eval()
    reader = PromptReader.from_pretrained(trained / "prompt_reader").eval()
    prompts = ["a red house", "湖 🏠", ""]
    for prompt, reading in zip(
        prompts, read_prompts(tokenizer, encoder, reader, prompts), strict=True
    ):
        assert reading.prompt == prompt
        assert reading.relation in RELATIONS
    assert len(tokenizer("lighthouse")["input_ids"]) == 2  # a word of captions, and the end
    assert len(tokenizer("red " * 200, truncation=True)["input_ids"]) == 80


def test_word_embeddings_and_first_layers_stay_and_the_rest_learns(
    trained, bert, teacher, tmp_path
):
    settings = TextEncoderTraining(
        replace(two_steps(tmp_path), max_steps=1, learning_rate=1e-9),
        str(bert),
        teacher=str(teacher),
        captions=2,
        vocabulary_size=1500,
        max_length=80,
    )
    # Almost no step at all: where it begins, but for the words that are held out.
    start = DistilBertModel.from_pretrained(train_text_encoder(settings) / "text_encoder")
    before = start.state_dict()
    after = DistilBertModel.from_pretrained(trained / "text_encoder").state_dict()
    moved = {name for name in before if (before[name] - after[name]).abs().max() > 1e-6}
    assert moved
    assert all(name.startswith("transformer.layer.2.") for name in moved), moved


def test_a_training_needs_no_teacher_and_may_have_no_captions(bert, tmp_path):
    settings = TextEncoderTraining(two_steps(tmp_path), str(bert), captions=0, vocabulary_size=1500)
    folder = train_text_encoder(settings)
    assert {path.name for path in folder.iterdir()} == {
        "tokenizer",
        "text_encoder",
        "prompt_reader",
    }
    assert "teacher" not in json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])


@pytest.mark.parametrize("captions", [-1, 7])
def test_more_captions_than_a_batch_has_are_refused(captions, tmp_path):
    with pytest.raises(ValueError, match=f"from 0 to the batch size, 6, got {captions}"):
        TextEncoderTraining(two_steps(tmp_path), "nowhere", captions=captions)


@pytest.mark.parametrize("part", ["pretrained", "held_out", "wordnet"])
def test_what_is_missing_is_named(part, bert, tmp_path):
    settings = TextEncoderTraining(two_steps(tmp_path / "run"), str(bert), captions=2)
    settings = replace(settings, **{part: str(tmp_path / "gone")})
    with pytest.raises(OSError, match="gone"):
        train_text_encoder(settings)
    assert not (tmp_path / "run").exists()


# --- labels ---------------------------------------------------------------------------------------


def test_labels_are_classes_counts_and_marks():
    kinds, colors = (ATTRIBUTE_VALUES[name] for name in LISTS)
    said = some_sentence(
        relation="near",
        kind=ATTRIBUTE_VALUES["kind"][5],
        secondary=[kinds[1]] * 3 + [kinds[0]],
        secondary_color=[colors[2], colors[2]],
    )
    labels = labels_of([said, some_sentence()])
    assert labels.choices[0, SINGLE.index("kind")] == 5
    # What is not mentioned has the class after the last.
    unsaid = [len(ATTRIBUTE_VALUES[name]) for name in SINGLE]
    assert labels.choices[1].tolist() == unsaid
    # Three of a kind count as two, the most that is told apart.
    assert labels.counts.tolist()[0] == [1, 2] + [0] * (len(kinds) - 2)
    assert labels.colors[0].tolist() == [float(index == 2) for index in range(len(colors))]
    assert labels.counts[1].sum() == labels.colors[1].sum() == 0
    assert [RELATIONS[index] for index in labels.relation] == ["near", "named"]


def test_labels_stand_in_the_order_of_the_reader_s_heads():
    reader = new_reader(24)
    assert [*SINGLE] == reader.attribute_names
    assert [head.out_features for head in reader.heads][: len(SINGLE)] == [
        len(ATTRIBUTE_VALUES[name]) + 1 for name in SINGLE
    ]


def test_name_marks_are_the_tokens_of_the_name():
    offsets = torch.tensor([[[0, 1], [2, 6], [6, 9], [10, 12], [0, 0]]] * 5)
    sentences = [
        some_sentence("a windmill at", name=(2, 9)),
        some_sentence("a windmill at", "near", (4, 8)),  # part of both pieces
        some_sentence("a windmill at"),  # described, or a caption: nobody knows
        some_sentence("a windmill at", "none"),
        some_sentence("a windmill at", "foreign"),
    ]
    assert name_marks(sentences, offsets).tolist() == [
        [0, 1, 1, 0, 0],
        [0, 1, 1, 0, 0],
        [-1] * 5,
        [0] * 5,
        [0] * 5,
    ]


def perfect(labels, names) -> PromptReaderOutput:
    """Sure of all that is right."""

    def sure(classes: torch.Tensor, size: int) -> torch.Tensor:
        return 30.0 * torch.nn.functional.one_hot(classes, size).float()

    sizes = [len(ATTRIBUTE_VALUES[name]) + 1 for name in SINGLE]
    return PromptReaderOutput(
        choices=[sure(labels.choices[:, i], size) for i, size in enumerate(sizes)],
        counts=sure(labels.counts, 3),
        colors=60.0 * labels.colors - 30.0,
        relation=sure(labels.relation, len(RELATIONS)),
        names=60.0 * names - 30.0,
    )


def test_right_answers_cost_nothing_and_every_wrong_one_does():
    writer = SentenceWriter()
    sentences = [writer.write(np.random.default_rng(seed)) for seed in range(12)]
    labels = labels_of(sentences)
    names = torch.zeros(12, 6)
    names[:, 2], names[0] = 1.0, -1.0
    mask = torch.ones(12, 6)
    mask[1, 4:] = 0
    terms = reading_loss(perfect(labels, names), labels, names, mask)
    assert float(terms["loss"]) < 1e-6
    assert terms["accuracy"] == terms["all_right"] == terms["kind_right"] == 1
    # The name of a sentence that has none to be known, and padding, cost nothing.
    read = perfect(labels, names)
    read.names[0], read.names[1, 4:] = 50.0, 50.0
    assert float(reading_loss(read, labels, names, mask)["loss"]) < 1e-6
    for index, name in enumerate(SINGLE):
        read = perfect(labels, names)
        read.choices[index] = read.choices[index].roll(1, dims=1)
        wrong = reading_loss(read, labels, names, mask)
        assert float(wrong["loss"]) > 10, name
        assert float(wrong["accuracy"]) == pytest.approx(1 - 1 / len(SINGLE))
        assert wrong["all_right"] == 0
        assert (wrong["kind_right"] == 0) == (name == "kind")
    for part in ("counts", "colors", "relation", "names"):
        read = perfect(labels, names)
        read = read._replace(**{part: -getattr(read, part)})
        assert float(reading_loss(read, labels, names, mask)["loss"]) > 10, part


def test_the_loss_is_lowest_where_its_slope_ends():
    torch.manual_seed(0)
    labels, names = labels_of([some_sentence(kind="house")]), torch.zeros(1, 4)
    reader = new_reader(24)
    read = reader(torch.randn(1, 4, 24), torch.ones(1, 4))
    reading_loss(read, labels, names, torch.ones(1, 4))["loss"].backward()
    # Every head learns.
    for head in (*reader.heads, reader.name_head):
        assert head.weight.grad is not None
        assert head.weight.grad.any()


# --- the teacher ----------------------------------------------------------------------------------


def test_each_token_has_the_teacher_s_state_of_its_word(bert, teacher, tmp_path):
    from videorfsplat.models.sentence_encoder import trim_sentence_encoder

    tokenizer, _ = trim_sentence_encoder(bert, [], ["windmill"], 150, 40)
    texts = ["a red windmill by the lake", "two trees"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt", return_offsets_mapping=True)
    source = _Teacher(str(teacher))
    taught = source.places(texts, tokens)
    # Everything but padding has a state.
    assert torch.equal(taught.places >= 0, tokens["attention_mask"] > 0)
    states = source.states(taught)
    assert states.shape == (int(tokens["attention_mask"].sum()), TEXT_WIDTH)
    found = iter(states)
    for row, text in enumerate(texts):
        theirs = source.tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        with torch.no_grad():
            wanted = source.encoder(theirs.input_ids).last_hidden_state[0]
        ends = [end for _, end in theirs["offset_mapping"][0].tolist()]
        words = text.split()
        places = [sum(len(w) + 1 for w in words[: i + 1]) - 1 for i in range(len(words))]
        for place, word in enumerate(tokens.word_ids(row)):
            if not tokens["attention_mask"][row, place]:
                continue
            # The end of the sentence has the state of the teacher's end.
            piece = len(wanted) - 1 if word is None else ends.index(places[word])
            # Other padding, another order of sums.
            torch.testing.assert_close(next(found), wanted[piece], atol=1e-5, rtol=1e-4)


def test_a_perfect_copy_has_no_error_and_the_mean_has_one(bert, teacher):
    from videorfsplat.models.sentence_encoder import trim_sentence_encoder

    tokenizer, _ = trim_sentence_encoder(bert, [], ["windmill"], 150, 40)
    texts = ["a red windmill by the lake", "two trees"]
    tokens = tokenizer(texts, padding=True, return_tensors="pt", return_offsets_mapping=True)
    source = _Teacher(str(teacher))
    taught = source.places(texts, tokens)
    states = source.states(taught)
    learned = torch.zeros(*taught.places.shape, TEXT_WIDTH)
    learned[taught.places >= 0] = states
    assert source.error(taught, learned) == 0
    mean = states.mean(0).expand_as(learned)
    # The variance of a sample of n has n - 1 below.
    wanted = 1 - 1 / len(states)
    assert float(source.error(taught, mean)) == pytest.approx(wanted, rel=1e-4)
