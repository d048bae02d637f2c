"""Captions say what is there, in words of the vocabulary, and their labels say what they said."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from videorfsplat.data.worlds import captions, tracer
from videorfsplat.data.worlds.appearance import look_of
from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
    UNMENTIONED,
)
from videorfsplat.data.worlds.captions import (
    VOCABULARY,
    attributes,
    caption_mentions,
    caption_words,
    full_caption,
    paraphrase,
    template_caption,
    write_captions,
)
from videorfsplat.data.worlds.grammar import (
    GROUNDS,
    HIDDEN_COLORS,
    TIMES,
    WEATHERS_AT,
    SecondaryObject,
    sample_world,
)
from videorfsplat.data.worlds.motions import MOTIONS
from videorfsplat.data.worlds.objects import KINDS, PALETTE, SECONDARY_KINDS, linear_color

SEEDS = range(400)


def said(seed: int):
    world = sample_world(seed)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        yield world, *caption_mentions(world, rng)


def test_every_word_is_in_the_vocabulary_and_every_length_allowed():
    lengths = []
    for seed in SEEDS:
        for _, text, _ in said(seed):
            words = caption_words(text)
            assert set(words) <= VOCABULARY
            assert " ".join(words) == re.sub(r"[,.:]", "", text)
            lengths.append(len(words))
    assert min(lengths) >= 6
    assert max(lengths) <= 40
    # Short and long forms both occur.
    assert np.percentile(lengths, 10) < 11
    assert np.percentile(lengths, 90) > 22


def test_the_vocabulary_holds_little_that_is_never_said():
    heard = set()
    for seed in range(1500):
        for _, text, _ in said(seed):
            heard.update(caption_words(text))
    plain = {word for word in VOCABULARY if "-" not in word}
    assert len(plain - heard) <= 0.02 * len(plain)


@pytest.mark.parametrize("seed", [0, 100, 200, 300])
def test_mentions_are_true(seed):
    for number in range(seed, seed + 100):
        for world, _, mentions in said(number):
            truth = attributes(world)
            assert set(mentions) == set(ATTRIBUTE_VALUES) == set(truth)
            for name, value in mentions.items():
                if isinstance(value, list):
                    assert set(value) <= set(truth[name])
                    assert set(value) <= set(ATTRIBUTE_VALUES[name])
                elif value != UNMENTIONED:
                    assert value == truth[name]
                    assert value in ATTRIBUTE_VALUES[name]


@pytest.mark.parametrize(
    ("attribute", "table"),
    [
        ("time", captions.TIME_WORDS),
        ("background", captions.BACKGROUND_WORDS),
        ("motion", captions.MOTION_WORDS),
    ],
)
def test_what_is_said_is_marked_and_what_is_marked_is_said(attribute, table):
    for seed in SEEDS:
        for _, text, mentions in said(seed):
            present = {
                value
                for value, phrases in table.items()
                if any(re.search(rf"\b{phrase}\b", text) for phrase in phrases)
            }
            if attribute == "time" and any(p in text for p in captions.NIGHT_CLEAR_WORDS):
                present.add("night")
            value = mentions[attribute]
            assert present == (set() if value == UNMENTIONED else {value}), text


def test_motion_is_said_in_about_six_of_ten():
    spoken = [m["motion"] != UNMENTIONED for seed in SEEDS for _, _, m in said(seed)]
    # 1200 draws: three standard deviations are 4 %.
    assert abs(np.mean(spoken) - 0.6) < 0.05


def test_words_of_direction_belong_to_their_motion():
    words_of = {
        "left": {"left", "leftward", "leftwards"},
        "right": {"right", "rightward", "rightwards"},
        "up": {"up", "upward", "upwards", "rises", "rising", "ascends", "climbs", "lifts"},
        "down": {"down", "downward", "downwards", "descends", "sinks", "lowers", "lowering"},
        "in": {"in", "closer", "approaches", "forward", "near", "nearer"},
        "out": {"out", "away", "back", "backward", "backwards", "retreats", "farther"},
    }
    for motion in MOTIONS:
        direction = motion.split("_")[1]
        others = set().union(*(words for name, words in words_of.items() if name != direction))
        for phrase in captions.MOTION_WORDS[motion]:
            said = set(phrase.split())
            assert said & words_of[direction], phrase
            assert not said & others, phrase


def test_hidden_colors_are_not_named():
    world = replace(sample_world(11), kind="car", main_color="gray", accent_color="blue")
    for time in ("sunset", "night"):
        assert "gray" in HIDDEN_COLORS[time]
        shaded = replace(world, time=time, weather="clear", ground="sand", secondaries=())
        for number in range(60):
            text, mentions = caption_mentions(shaded, np.random.default_rng(number))
            assert mentions["main_color"] == UNMENTIONED
            assert not {"gray", "grey", "ash"} & set(caption_words(text))
        assert "gray" not in template_caption(shaded)


@pytest.mark.parametrize("ground", GROUNDS)
def test_no_ground_phrase_names_a_hidden_color(ground):
    for time in ("sunset", "night"):
        world = replace(sample_world(3), kind="car", time=time, weather="clear", ground=ground)
        world = replace(world, main_color="red", accent_color="blue", secondaries=())
        for number in range(60):
            text, _ = caption_mentions(world, np.random.default_rng(number))
            assert not HIDDEN_COLORS[time] & set(caption_words(text)), text


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE Lab (D65) of linear RGB."""
    matrix = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = np.clip(rgb, 0, 1) @ matrix.T / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


@pytest.mark.parametrize("time", TIMES)
def test_colors_that_are_named_stay_apart_under_the_light(time):
    """20 in Lab is a clear difference; the closest named pair is blue and purple on a dull day."""
    named = [color for color in PALETTE if color not in HIDDEN_COLORS[time]]
    for weather in set(WEATHERS_AT[time]):
        look = look_of(replace(sample_world(0), time=time, weather=weather))
        for direct in (0.3, 0.6, 1.0):
            light = direct * np.array(look.light_color) + 0.5 * (
                np.array(look.ambient_high) + np.array(look.ambient_low)
            )
            seen = lab(np.array([linear_color(color) for color in named]) * light)
            apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
            apart += 1e3 * np.eye(len(named))
            assert apart.min() > 20, (weather, direct)


def test_everything_is_said_in_at_least_three_ways():
    assert set(captions.KIND_WORDS) == set(KINDS)
    assert set(captions.COLOR_WORDS) == set(PALETTE)
    assert set(captions.GROUND_WORDS) == set(GROUNDS)
    assert set(captions.SECONDARY_WORDS) == set(SECONDARY_KINDS)
    assert set(captions.MOTION_WORDS) == set(MOTIONS)
    assert set(captions.ACCENT_PARTS) == {kind for kind in KINDS if KINDS[kind].accent_colors}
    tables = [captions.KIND_WORDS, captions.COLOR_WORDS, captions.GROUND_WORDS, captions.TIME_WORDS]
    tables += [captions.WEATHER_WORDS, captions.MOTION_WORDS, captions.SECONDARY_WORDS]
    tables += [captions.ACCENT_PARTS, captions.SIZE_WORDS, captions.BACKGROUND_WORDS]
    for table in tables:
        for name, values in table.items():
            assert len(set(values)) >= 3, name


def test_no_wording_means_two_things():
    """A word for one kind, colour or secondary object is not a word for another."""
    for table in (captions.COLOR_WORDS, captions.KIND_WORDS, captions.MOTION_WORDS):
        everything = [word for values in table.values() for word in values]
        assert len(everything) == len(set(everything))


def test_paraphrases_use_other_sentences():
    assert not set(captions.TEMPLATES) & set(captions.HELD_OUT_TEMPLATES)
    for template in captions.TEMPLATES + captions.HELD_OUT_TEMPLATES:
        slots = set(re.findall(r"\{(\w+)\}", template))
        assert slots >= {"main", "ground", "time", "weather", "background", "motion"}, template
        assert len(slots & {"secondary", "things"}) == 1, template
    openings = set()
    for seed in range(100):
        text, mentions = paraphrase(sample_world(seed), np.random.default_rng(seed))
        assert mentions["kind"] == sample_world(seed).kind
        openings.add(text.split()[0])
    assert {"imagine", "there"} <= openings
    assert "imagine" not in VOCABULARY


def test_the_canonical_caption_is_stable_and_complete():
    world = replace(
        sample_world(0),
        kind="house",
        main_color="white",
        accent_color="red",
        ground="lake",
        time="sunset",
        weather="clear",
        background="none",
        secondaries=(),
    )
    assert template_caption(world).startswith(
        "a white house with a red roof by a lake at sunset, under a clear sky, the camera "
    )


def test_a_typical_wish_uses_known_words():
    wish = "a red-roofed white house by a lake at sunset, two pine trees"
    assert set(caption_words(wish)) <= VOCABULARY


def test_captions_repeat_for_the_same_seed():
    world = sample_world(9)
    texts = [captions.caption(world, np.random.default_rng(4)) for _ in range(2)]
    assert texts[0] == texts[1]


def test_articles_fit_their_word():
    for seed in SEEDS:
        for _, text, _ in said(seed):
            assert not re.search(r"\ba [aeio]", text), text
            assert not re.search(r"\ban [^aeio]", text), text


def test_light_and_disc_directions_are_unit_vectors():
    look = look_of(sample_world(4))
    for direction in (look.light_direction, look.disc_direction):
        assert math.isclose(math.hypot(*direction), 1.0, rel_tol=1e-9)
    assert look.ground_pattern in range(tracer.RIPPLES + 1)


# --- captions that say everything -----------------------------------------------------------------


def full_captions(seeds=range(150)):
    """Each world's full caption in the first wording and in others."""
    for seed in seeds:
        world = sample_world(seed)
        for rng in (None, np.random.default_rng(seed), np.random.default_rng(seed + 9999)):
            yield world, *full_caption(world, rng)


def test_a_full_caption_says_everything_but_hidden_colors():
    for world, text, mentions in full_captions():
        truth, hidden = attributes(world), HIDDEN_COLORS[world.time]
        for name, value in mentions.items():
            if name == "secondary_color":
                # Two alike share one word of colour.
                assert {*value} == {*truth[name]} - hidden, text
            elif isinstance(value, list):
                assert value == truth[name], text
            elif truth[name] in hidden or truth[name] == "none":
                assert value == UNMENTIONED, text
            else:
                assert value == truth[name], text


def test_what_a_full_caption_mentions_is_in_its_words():
    tables = {
        "main_color": captions.COLOR_WORDS,
        "accent_color": captions.COLOR_WORDS,
        "size": captions.SIZE_WORDS,
        "time": captions.TIME_WORDS,
        "background": captions.BACKGROUND_WORDS,
        "motion": captions.MOTION_WORDS,
        "kind": captions.KIND_WORDS,
    }
    for _, text, mentions in full_captions(range(80)):
        for name, table in tables.items():
            if mentions[name] == UNMENTIONED:
                continue
            phrases = list(table[mentions[name]])
            phrases += captions.NIGHT_CLEAR_WORDS if mentions[name] == "night" else ()
            assert any(re.search(rf"\b{phrase}\b", text) for phrase in phrases), (name, text)
        for kind in mentions["secondary"]:
            forms = [form for pair in captions.SECONDARY_WORDS[kind] for form in pair]
            assert any(re.search(rf"\b{form}\b", text) for form in forms), text


def test_full_captions_fit_the_small_text_encoder():
    for _, text, _ in full_captions():
        assert {*caption_words(text)} <= VOCABULARY
        # One token for each word, each part of a hyphenated one, each mark, and the end: of 96.
        assert len(re.findall(r"\w+|[^\w\s]", text)) + 1 <= 96
        assert text == text.strip(" ,.;:")
        assert not re.search(r"\{|[,.;:] ?[,.;:]|  ", text), text


def test_stated_colors_are_named_where_the_light_hides_them():
    rock = SecondaryObject("rock", "gray", 2.0, 0.0, 1.0, 0.0)
    world = replace(
        sample_world(3),
        kind="car",
        main_color="gray",
        accent_color="brown",
        ground="flower field",
        ground_color="purple",
        time="night",
        secondaries=(rock,),
    )
    colors = {"main_color": "gray", "accent_color": "brown", "ground_color": "purple"}
    text, mentions = full_caption(world)
    assert not {"gray", "brown", "purple"} & {*caption_words(text)}
    for name, color in colors.items():
        text, mentions = full_caption(world, stated=[name])
        assert color in caption_words(text)
        named = {other for other in colors if mentions[other] != UNMENTIONED}
        assert named == {name}
    text, mentions = full_caption(world, stated=["secondary_color"])
    assert mentions["secondary_color"] == ["gray"]
    assert "gray" in caption_words(text)


def test_a_full_caption_without_the_camera_says_nothing_of_it():
    views = {"camera", "view", "orbit", "pan", "zoom", "shot"}
    for seed in range(60):
        world = sample_world(seed)
        for rng in (None, np.random.default_rng(seed)):
            text, mentions = full_caption(world, rng, said={*ATTRIBUTE_VALUES} - {"motion"})
            assert mentions["motion"] == UNMENTIONED
            phrases = [p for wordings in captions.MOTION_WORDS.values() for p in wordings]
            assert not any(re.search(rf"\b{phrase}\b", text) for phrase in phrases), text
            # "a view of a house" opens some captions.
            assert not views & {*caption_words(text.removeprefix("a view of"))}, text
            assert len(caption_words(text)) >= captions.MINIMUM_WORDS


def test_two_things_of_one_kind_in_two_colors_are_said_one_by_one():
    trees = [SecondaryObject("tree", c, x, 0.0, 1.0, 0.0) for c, x in (("red", 2.0), ("green", -2))]
    world = replace(sample_world(0), kind="house", time="day", secondaries=tuple(trees))
    text, mentions = full_caption(world)
    assert "a red tree and a green tree" in text
    assert mentions["secondary_color"] == ["red", "green"]


def test_captions_stay_true_of_worlds_that_the_grammar_never_makes():
    world = replace(sample_world(0), kind="duck", accent_color="blue", ground="snow", time="day")
    text, mentions = full_caption(replace(world, ground_color="red", secondaries=()))
    assert mentions["accent_color"] == mentions["ground_color"] == UNMENTIONED
    assert mentions["ground"] == "snow"
    assert "flower" not in text


def test_captions_are_written_with_what_they_state(tmp_path):
    write_captions(tmp_path / "captions.jsonl", 3, 2, 3)
    lines = (tmp_path / "captions.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for number, line in enumerate(lines):
        text, mentions = json.loads(line)
        truth = attributes(sample_world(3 + number // 3))
        assert mentions.keys() == ATTRIBUTE_VALUES.keys()
        assert mentions["kind"] == truth["kind"]
        assert {*caption_words(text)} <= VOCABULARY
    write_captions(tmp_path / "again.jsonl", 3, 2, 3)
    assert (tmp_path / "again.jsonl").read_text().splitlines() == lines
    write_captions(tmp_path / "prompts.txt", 3, 2, 3)
    prompts = (tmp_path / "prompts.txt").read_text().splitlines()
    assert prompts == [json.loads(line)[0] for line in lines]
    # Nothing unfinished stays.
    assert len([*tmp_path.iterdir()]) == 3
