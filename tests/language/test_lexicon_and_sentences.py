"""Sentences state what they are said to state, and nothing that is held out is learned."""

import re
from collections import Counter

import numpy as np
import pytest

from videorfsplat.data.worlds.caption_words import (
    ACCENT_PARTS,
    ATTRIBUTE_VALUES,
    COLOR_WORDS,
    KIND_WORDS,
    ROOFED,
    SECONDARY_WORDS,
    UNMENTIONED,
)
from videorfsplat.data.worlds.captions import (
    VOCABULARY,
    attributes,
)
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.data.worlds.objects import KINDS, PALETTE
from videorfsplat.language.lexicon import (
    WordNet,
    color_names,
    content_words,
    read_lexicon,
    read_phrases,
    words_of,
)
from videorfsplat.language.sentences import Sentence, SentenceWriter
from videorfsplat.models.prompt_reader import RELATIONS

LISTS = ("secondary", "secondary_color")
SLOTS = {"main", "ground", "time", "weather", "background", "things", "motion"}

# A WordNet of four senses: a dwelling, two kinds of it (one of them described by its own name), and
# a thing that is none. Lines open with the offset, the topic, the part of speech, and the count of
# words; a pointer @ leads to what the sense is a kind of.
DATA_NOUN = """\
  1 This is the licence.
00000001 06 n 02 house 0 dwelling 0 000 | a place in which people live; "they built it"
00000002 06 n 02 igloo 0 Iglu 0 001 @ 00000001 n 0000 | a dome built of blocks of snow
00000003 06 n 01 tree_house 0 001 @ 00000001 n 0000 | a small house up there
00000004 06 n 01 rake 0 000 | a long tool with teeth for leaves
"""
INDEX_NOUN = """\
  1 This is the licence.
dwelling n 1 0 1 0 00000001
house n 1 0 1 0 00000001
igloo n 1 1 @ 1 0 00000002
rake n 1 0 1 0 00000004
tree_house n 1 1 @ 1 0 00000003
"""


@pytest.fixture(scope="module")
def writer() -> SentenceWriter:
    return SentenceWriter()


@pytest.fixture(scope="module")
def sentences(writer) -> list[Sentence]:
    return [writer.write(np.random.default_rng(seed)) for seed in range(2500)]


@pytest.fixture
def wordnet(tmp_path):
    (tmp_path / "data.noun").write_text(DATA_NOUN)
    (tmp_path / "index.noun").write_text(INDEX_NOUN)
    return tmp_path


# --- sentences ------------------------------------------------------------------------------------


def test_the_same_randomness_writes_the_same_sentence(sentences):
    again = SentenceWriter()
    for seed in range(0, 2500, 100):
        assert again.write(np.random.default_rng(seed)) == sentences[seed]
    assert len({sentence.text for sentence in sentences}) > 0.95 * len(sentences)


def test_mentions_are_values_of_the_attributes(sentences):
    for sentence in sentences:
        assert sentence.mentions.keys() == ATTRIBUTE_VALUES.keys()
        for name, value in sentence.mentions.items():
            if name in LISTS:
                assert {*value} <= {*ATTRIBUTE_VALUES[name]}
                assert len(value) <= 2
            else:
                assert value in (*ATTRIBUTE_VALUES[name], UNMENTIONED)
                assert value != "none"
        assert len(sentence.mentions["secondary_color"]) <= len(sentence.mentions["secondary"])
        assert sentence.mentions["kind"] in ACCENT_PARTS or (
            sentence.mentions["accent_color"] == UNMENTIONED
        )


def test_every_value_and_relation_is_seen(sentences):
    assert {s.relation for s in sentences} == {*RELATIONS}
    for name in ATTRIBUTE_VALUES:
        said = [s.mentions[name] for s in sentences]
        values = {v for value in said for v in ([value] if isinstance(value, str) else value)}
        assert values - {UNMENTIONED} == {*ATTRIBUTE_VALUES[name]} - {"none"}, name


def test_relations_say_whether_there_is_a_main_object(sentences):
    for sentence in sentences:
        named = sentence.mentions["kind"] != UNMENTIONED
        assert named == (sentence.relation in ("named", "near")), sentence.text
        if sentence.relation == "foreign":
            assert all(v in (UNMENTIONED, []) for v in sentence.mentions.values())


def test_texts_are_texts(sentences):
    for sentence in sentences:
        assert sentence.text.strip(), sentence
        assert not re.search(r"[{}\x02\x03]|\bunmentioned\b", sentence.text), sentence.text


def test_the_name_is_where_the_span_points(writer, sentences):
    near = {noun for words in writer.lexicon.values() for noun in words.near}
    exact = Counter()
    for sentence in sentences:
        if sentence.relation == "near":
            assert sentence.name
        if sentence.name is None:
            continue
        start, end = sentence.name
        name = sentence.text[start:end]
        assert name
        assert name == name.strip()
        # The span has whole words.
        assert not sentence.text[start - 1 : start].isalpha()
        assert not sentence.text[end : end + 1].isalpha()
        kind = sentence.mentions["kind"]
        nouns = {*writer.lexicon[kind].nouns, *KIND_WORDS[kind]}
        wanted = near if sentence.relation == "near" else nouns
        exact[name.lower() in {noun.lower() for noun in wanted}] += 1
    # One in seventeen sentences has one letter mistyped, which is seldom in its noun.
    assert exact[False] < 0.04 * exact.total()


def test_accents_stand_before_the_noun_only_as_one_word(sentences):
    compounds = {*ROOFED.values()}
    seen = 0
    for sentence in sentences:
        if sentence.name is None:
            continue
        before = sentence.text[: sentence.name[0]].lower().split()
        # "a house whose roof is red", never "a whose roof is red house".
        assert "whose" not in before, sentence.text
        seen += any(word.split("-")[-1] in compounds for word in before)
    assert seen > 5


def test_sentences_about_a_world_are_true_of_it(writer):
    for seed in range(250):
        world = attributes(sample_world(seed))
        sentence = writer.write_about(world, np.random.default_rng(seed))
        assert sentence.text.strip()
        assert sentence.relation in ("named", "near")
        for name, value in sentence.mentions.items():
            if isinstance(value, list):
                assert {*value} <= {*world[name]}
                assert name != "secondary" or value in ([], world[name])
            else:
                assert value in (UNMENTIONED, world[name])
        assert sentence.mentions["kind"] == world["kind"]


# --- words that are held out ----------------------------------------------------------------------

HELD_OUT = [
    "A bungalow painted navy, with a spruce beside it, on a sunny afternoon.",
    "my cappuccino palomino by the lakeside at cockcrow",
]


def test_held_out_words_are_in_no_noun_and_no_color():
    lexicon, hidden = read_lexicon(None, HELD_OUT), content_words(HELD_OUT)
    assert {"bungalow", "palomino", "navy"} <= hidden
    # Words of captions are known anyway.
    assert not hidden & {"painted", "a", "lake"} & VOCABULARY
    for kind, words in lexicon.items():
        for noun in (*words.nouns, *words.rare_nouns, *words.near):
            assert not hidden & {*words_of(noun)}, kind
    everything = read_lexicon()
    assert "bungalow" in everything["house"].nouns
    assert "cabin" in lexicon["house"].nouns
    colors = [name for names in read_phrases(HELD_OUT)["color"].values() for name in names]
    assert "navy" in read_phrases()["color"]["blue"]
    assert not hidden & {*colors}
    assert not any(hidden & {*words_of(n)} for ns in color_names(HELD_OUT).values() for n in ns)


def test_held_out_phrases_are_left_out_wherever_they_are():
    shown, every = read_phrases(HELD_OUT), read_phrases()
    assert {*every["time"]["dawn"]} - {*shown["time"]["dawn"]} >= {"at cockcrow"}
    pairs = shown["secondary"]["pine tree"]
    assert ["a spruce", "spruces"] in every["secondary"]["pine tree"]
    assert not any("a spruce" in pair for pair in pairs)
    assert all(len(pair) == 2 for pairs in shown["secondary"].values() for pair in pairs)
    weather = [phrase for phrase, _, _ in shown["weather_time"]]
    assert "on a sunny afternoon" in [phrase for phrase, _, _ in every["weather_time"]]
    assert "on a sunny afternoon" not in weather
    assert "in bright sunshine" in weather


def test_no_held_out_noun_is_written():
    writer, hidden = SentenceWriter(held_out=HELD_OUT), {"bungalow", "palomino"}
    for seed in range(600):
        text = writer.write(np.random.default_rng(seed)).text
        assert not hidden & {*words_of(text)}, text


# --- the lexicon ----------------------------------------------------------------------------------


def test_every_kind_and_value_has_words():
    lexicon, phrases = read_lexicon(), read_phrases()
    assert lexicon.keys() == KINDS.keys()
    for kind, words in lexicon.items():
        assert len(words.nouns) >= 20, kind
        assert len(words.descriptions) >= 20, kind
    for name in ("ground", "time", "weather", "size", "motion", "secondary", "ground_color"):
        values = {*ATTRIBUTE_VALUES[name]} - {"none"}
        assert phrases[name].keys() == values, name
    assert phrases["color"].keys() == phrases["color_phrases"].keys() == PALETTE.keys()
    assert phrases["accent"].keys() == ACCENT_PARTS.keys()
    for phrase, weather, time in phrases["weather_time"]:
        assert weather in ATTRIBUTE_VALUES["weather"], phrase
        assert time in ATTRIBUTE_VALUES["time"], phrase
    for templates in phrases["accent"].values():
        assert all(template.count("{color}") == 1 for template in templates)
    for frame in (*phrases["frames"], *phrases["frames_plain"], *phrases["frames_tags"]):
        slots = re.findall(r"\{(\w+)\}", frame)
        assert "main" in slots, frame
        assert {*slots} <= SLOTS, frame


def test_no_noun_means_two_kinds():
    owners: dict[str, set[str]] = {}
    for kind, words in read_lexicon().items():
        for noun in (*words.nouns, *KIND_WORDS[kind]):
            owners.setdefault(noun, set()).add(kind)
    assert {noun: kinds for noun, kinds in owners.items() if len(kinds) > 1} == {}


def test_no_color_word_means_two_colors():
    owners: dict[str, set[str]] = {}
    for table in (read_phrases()["color"], COLOR_WORDS):
        for color, words in table.items():
            for word in words:
                owners.setdefault(word, set()).add(color)
    assert {word: colors for word, colors in owners.items() if len(colors) > 1} == {}


def test_wordnet_adds_kinds_of_a_thing_and_what_they_are(wordnet):
    words = read_lexicon(wordnet)["house"]
    assert {"igloo", "tree house"} & {*words.rare_nouns, *words.nouns}
    assert "rake" not in words.rare_nouns
    assert "a dome built of blocks of snow" in words.glosses
    # A gloss that names the thing would give it away; one word too.
    assert not any("house" in gloss for gloss in words.glosses)
    found = {s.lemmas for s in WordNet(wordnet).kinds_of("house/0", set())}
    # Names, which have capitals, are left out.
    assert found == {("house", "dwelling"), ("igloo",), ("tree house",)}
    assert [*WordNet(wordnet).kinds_of("castle/0", set())] == []


def test_a_folder_without_wordnet_is_refused(tmp_path):
    with pytest.raises(OSError, match=r"data\.noun"):
        read_lexicon(tmp_path)


def test_names_of_colors_stand_under_what_they_look_like():
    names = color_names()
    assert names.keys() == PALETTE.keys()
    flat = [name for values in names.values() for name in values]
    assert len(flat) == len({*flat})
    for color, values in names.items():
        others = PALETTE.keys() - {color}
        for name in values:
            words = {word.replace("grey", "gray") for word in words_of(name)}
            assert not words & others, (name, color)


def test_things_beside_have_a_singular_with_article_and_a_plural():
    for kind, pairs in read_phrases()["secondary"].items():
        for singular, plural in (*pairs,):
            assert re.match(r"an? ", singular), (kind, singular)
            assert not re.match(r"an? ", plural), (kind, plural)
    assert read_phrases()["secondary"].keys() == SECONDARY_WORDS.keys()
