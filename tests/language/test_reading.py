"""What the reader's numbers say of a prompt."""

import math

import pytest
import torch
from tiny import save_tiny_bert

from videorfsplat.language.reading import Reading, Stated, read_prompts
from videorfsplat.models.prompt_reader import RELATIONS, PromptReader, PromptReaderOutput
from videorfsplat.models.sentence_encoder import trim_sentence_encoder

# Not in alphabetical order, in which the reader's heads stand.
ATTRIBUTES = {"time": ["night", "day"], "kind": ["tree", "house", "car"]}
SECONDARY, COLORS = ["rock", "bush"], ["red", "gray"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = save_tiny_bert(tmp_path_factory.mktemp("bert"))
    words = ["gingerbread", "cottage"]
    return trim_sentence_encoder(folder, ["a red house"], words, size=160, length=24)


class ToldReader(PromptReader):
    """A reader whose answer is given."""

    def tell(self, output: PromptReaderOutput) -> "ToldReader":
        self.answer = output
        return self

    def forward(self, encoder_hidden_states, encoder_attention_mask):
        return self.answer


def logits(*shares: float) -> list[float]:
    return [math.log(share) for share in shares]


def answer(length: int, **parts) -> PromptReaderOutput:
    """Nothing stated, but for what is given."""
    usual = {
        "kind": logits(0.01, 0.01, 0.01, 0.97),
        "time": logits(0.01, 0.01, 0.98),
        "counts": [logits(0.98, 0.01, 0.01)] * 2,
        "colors": [-3.0, -3.0],
        "relation": [0.0, 0.0, 3.0, 0.0],
        "names": [-3.0] * length,
    }
    row = {name: torch.tensor([parts.get(name, value)]) for name, value in usual.items()}
    choices = [row["kind"], row["time"]]  # by name
    return PromptReaderOutput(choices, row["counts"], row["colors"], row["relation"], row["names"])


@pytest.fixture
def read(encoder):
    tokenizer, model = encoder
    reader = ToldReader(ATTRIBUTES, SECONDARY, COLORS, text_embed_dim=24, num_attention_heads=2)

    def read_one(prompt: str, marked: tuple[int, ...] = (), **parts) -> Reading:
        length = len(tokenizer(prompt)["input_ids"])
        parts["names"] = [3.0 if place in marked else -3.0 for place in range(length)]
        (reading,) = read_prompts(tokenizer, model, reader.tell(answer(length, **parts)), [prompt])
        return reading

    return read_one


def test_what_is_not_stated_is_absent(read):
    reading = read("a red house")
    assert reading.stated == {}
    assert reading.values == {}
    assert reading.name == ""
    assert reading.prompt == "a red house"


def test_values_are_those_of_their_attribute_with_their_share(read):
    reading = read("a red house", kind=logits(0.1, 0.7, 0.1, 0.1), time=logits(0.8, 0.1, 0.1))
    assert reading.values == {"kind": "house", "time": "night"}
    assert reading.stated["kind"].certainty == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize(("unstated", "is_stated"), [(0.49, True), (0.51, False)])
def test_a_value_is_stated_from_even_odds_on(read, unstated, is_stated):
    # Values share the rest: the surest is meant, be it ever so unsure of the others.
    rest = 1 - unstated
    kind = logits(0.3 * rest, 0.3 * rest, 0.4 * rest, unstated)
    assert read("a red house", kind=kind).values == ({"kind": "car"} if is_stated else {})


def test_things_beside_are_as_many_as_counted(read):
    counts = [logits(0.1, 0.2, 0.7), logits(0.2, 0.6, 0.2)]
    reading = read("a red house", counts=counts, colors=[0.1, -0.1])
    assert reading.stated["secondary"].value == ("rock", "rock", "bush")
    assert reading.stated["secondary"].certainty == pytest.approx(0.6, abs=1e-5)
    assert reading.values["secondary_color"] == ("red",)
    assert reading.stated["secondary_color"].certainty == pytest.approx(0.525, abs=1e-3)


def test_colors_of_things_beside_need_a_thing(read):
    assert read("a red house", colors=[9.0, 9.0]).stated == {}


@pytest.mark.parametrize(
    ("prompt", "piece", "name"),
    [
        ("A Red COTTAGE, at night", "cottage", "cottage"),
        ("two gingerbreads by the lake", "gingerbread", "gingerbreads"),
        ("a treehouse!", "##h", "treehouse"),
    ],
)
def test_names_are_whole_words(encoder, read, prompt, piece, name):
    pieces = encoder[0].convert_ids_to_tokens(encoder[0](prompt)["input_ids"])
    assert piece in pieces
    assert read(prompt, marked=(pieces.index(piece),)).name == name


def test_names_of_several_words_are_one_run_around_the_surest(encoder, read):
    prompt = "a gingerbread cottage by a lake"
    assert read(prompt, marked=(1, 2)).name == "gingerbread cottage"
    assert read(prompt, marked=(1, 2, 5)).name in ("gingerbread cottage", "lake")
    # The end of the sentence is no word.
    end = len(encoder[0](prompt)["input_ids"]) - 1
    assert read(prompt, marked=(end,)).name == ""


@pytest.mark.parametrize(
    ("prompt", "is_foreign"),
    [
        ("", False),
        ("?! 123 🏠", False),
        ("ein Häuschen am See", False),  # left to the reader, which knows languages
        ("an ố ế ề near the big old house", False),
        ("красный дом на лугу", True),
        ("绿色草地上的一座红房子", True),
        ("بيت أحمر", True),
        ("हरे मैदान में", True),
        ("house 绿色草地上的一座红房子", True),
    ],
)
def test_other_scripts_are_foreign(read, prompt, is_foreign):
    assert (read(prompt).relation == "foreign") == is_foreign


def test_relations_come_from_the_reader(read):
    for place, relation in enumerate(RELATIONS):
        scores = [3.0 if place == index else 0.0 for index in range(len(RELATIONS))]
        assert read("a red house", relation=scores).relation == relation


def test_notes_say_what_cannot_be_drawn(read):
    named, near, none, foreign = (
        [3.0 if place == index else 0.0 for index in range(4)] for place in range(4)
    )
    house = logits(0.1, 0.7, 0.1, 0.1)
    assert read("a red house", (2,), kind=house, relation=named).notes == ()
    assert read("a red lake", (2,), kind=house, relation=near).notes == (
        "No lake in this model; nearest: house.",
    )
    (note,) = read("a red lake", relation=none).notes
    assert "names no object" in note
    (note,) = read("a red lake", kind=house, relation=foreign).notes
    assert "English" in note


def test_prompts_of_a_batch_are_read_one_by_one(encoder):
    tokenizer, model = encoder
    torch.manual_seed(0)
    reader = PromptReader(ATTRIBUTES, SECONDARY, COLORS, 24, num_attention_heads=2).eval()
    prompts = ["a red house", "", "zebra " * 60, "湖 🏠", "two green trees by the lake at night"]
    together = read_prompts(tokenizer, model, reader, prompts)
    for prompt, reading in zip(prompts, together, strict=True):
        (alone,) = read_prompts(tokenizer, model, reader, [prompt])
        assert alone.values == reading.values
        assert (alone.prompt, alone.name, alone.relation) == (
            prompt,
            reading.name,
            reading.relation,
        )
        for name, stated in alone.stated.items():
            # Padding changes the order of sums.
            assert stated.certainty == pytest.approx(reading.stated[name].certainty, abs=1e-5)
            assert isinstance(stated, Stated)
