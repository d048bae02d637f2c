"""Completed prompts say what is stated, what is chosen, and what the seed adds."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from videorfsplat.data.worlds.caption_words import (
    ATTRIBUTE_VALUES,
    BACKGROUND_WORDS,
    COLOR_WORDS,
    KIND_WORDS,
    MOTION_WORDS,
    SECONDARY_WORDS,
    SIZE_WORDS,
    TIME_WORDS,
)
from videorfsplat.language.completion import complete_reading
from videorfsplat.language.reading import Reading, Stated

LISTS = ("secondary", "secondary_color")
WORDINGS = {
    "kind": KIND_WORDS,
    "main_color": COLOR_WORDS,
    "accent_color": COLOR_WORDS,
    "ground_color": COLOR_WORDS,
    "size": SIZE_WORDS,
    "time": TIME_WORDS,
    "background": BACKGROUND_WORDS,
    "motion": MOTION_WORDS,
}
"""A completed prompt has the first wording of each list."""


def reading(relation: str = "named", name: str = "", **values) -> Reading:
    stated = {attribute: Stated(value, 0.9) for attribute, value in values.items()}
    return Reading("as it was written", stated, relation, name)


def says(caption: str, phrase: str) -> bool:
    return re.search(rf"\b{re.escape(phrase)}\b", caption) is not None


statements = st.fixed_dictionaries(
    {},
    optional={
        **{
            name: st.sampled_from(values)
            for name, values in ATTRIBUTE_VALUES.items()
            if name not in LISTS
        },
        "secondary": st.lists(st.sampled_from(ATTRIBUTE_VALUES["secondary"]), max_size=3).map(
            tuple
        ),
        "secondary_color": st.lists(
            st.sampled_from(ATTRIBUTE_VALUES["secondary_color"]), max_size=2, unique=True
        ).map(tuple),
    },
)


@settings(max_examples=50)
@given(st.integers(0, 2**31), statements)
@example(1, {"main_color": "red", "accent_color": "red"})
@example(2, {"kind": "duck", "accent_color": "red"})
@example(3, {"kind": "sailboat", "ground_color": "pink"})
@example(4, {"secondary": ("tree", "tree"), "secondary_color": ("blue", "red")})
@example(5, {"kind": "car", "time": "night", "main_color": "gray", "ground_color": "none"})
def test_what_is_stated_is_said(seed, values):
    done = complete_reading(reading(**values), seed)
    kept = {name: value for name, value in values.items() if done.stated.get(name) == value}
    # What is left out is told.
    assert len(done.notes) >= len(values.keys() - kept.keys() - {"secondary_color"})
    for name, table in WORDINGS.items():
        if name in kept and kept[name] != "none":
            assert says(done.caption, table[kept[name]][0]), (name, done.caption)
    for kind in done.stated.get("secondary", ()):
        forms = SECONDARY_WORDS[kind][0]
        assert any(says(done.caption, form) for form in forms), done.caption
    colors = done.stated.get("secondary_color", ())
    for color in colors[: len(done.stated.get("secondary", ()))]:
        assert says(done.caption, COLOR_WORDS[color][0]), done.caption


@settings(max_examples=25)
@given(st.integers(0, 2**31), statements)
def test_stated_and_filled_are_the_whole_caption(seed, values):
    done = complete_reading(reading(**values), seed)
    assert not done.stated.keys() & done.filled.keys()
    both = {**done.filled, **done.stated}
    assert {"kind", "size", "ground", "time", "weather", "motion"} <= both.keys()
    assert done.prompt == "as it was written"
    for name, value in both.items():
        parts = value if isinstance(value, tuple) else (value,)
        assert {*parts} <= {*ATTRIBUTE_VALUES[name]}
        assert isinstance(value, tuple) == (name in LISTS)
    assert complete_reading(reading(**values), seed) == done


def test_other_seeds_fill_in_otherwise():
    captions = {complete_reading(reading(kind="house"), seed).caption for seed in range(8)}
    assert len(captions) == 8
    assert all(says(caption, "house") for caption in captions)


def test_choices_override_what_was_read():
    read = reading(kind="house", main_color="red", secondary=("tree",))
    done = complete_reading(read, 3, {"main_color": "blue", "secondary": ["rock", "rock"]})
    assert done.stated["kind"] == "house"
    assert done.stated["main_color"] == "blue"
    assert done.stated["secondary"] == ("rock", "rock")
    assert says(done.caption, "blue")
    assert says(done.caption, "two")
    assert says(done.caption, SECONDARY_WORDS["rock"][0][1])
    assert not says(done.caption, "tree")
    # The reading stays as it is.
    assert read.values["main_color"] == "red"


def test_no_things_beside_may_be_chosen():
    for seed in range(6):
        done = complete_reading(reading(kind="house"), seed, {"secondary": []})
        assert done.stated["secondary"] == ()
        words = [form for pairs in SECONDARY_WORDS.values() for form in pairs[0]]
        assert not any(says(done.caption, word) for word in words), done.caption


def test_none_leaves_a_value_to_the_seed():
    read = reading(kind="car", main_color="red", time="night")
    free = complete_reading(reading(kind="car", time="night"), 11)
    done = complete_reading(read, 11, {"main_color": None})
    assert done.caption == free.caption
    assert "main_color" not in done.stated
    # What was never stated may be left to the seed, too.
    assert complete_reading(read, 11, {"size": None}) == complete_reading(read, 11)


def test_a_choice_changes_what_it_speaks_of():
    read = reading(kind="house", ground="meadow")
    before = complete_reading(read, 21)
    size = next(s for s in ATTRIBUTE_VALUES["size"] if s != before.filled["size"])
    after = complete_reading(read, 21, {"size": size})
    changed = {n for n in before.filled if n != "size" and after.filled.get(n) != before.filled[n]}
    # The larger the main object, the less room there is beside it.
    assert changed <= {"secondary", "secondary_color"}
    assert after.stated["size"] == size


def test_given_cameras_are_not_spoken_of():
    phrases = [phrase for wordings in MOTION_WORDS.values() for phrase in wordings]
    for seed in range(12):
        read = reading(kind="castle", motion="pan_left")
        done = complete_reading(read, seed, with_motion=False)
        assert "motion" not in {**done.stated, **done.filled}
        assert not any(says(done.caption, phrase) for phrase in phrases), done.caption
        said = complete_reading(read, seed)
        assert said.stated["motion"] == "pan_left"
        assert says(said.caption, MOTION_WORDS["pan_left"][0])


# --- what cannot be drawn -------------------------------------------------------------------------


def test_notes_of_the_reading_hold_until_the_kind_is_chosen():
    near = reading("near", "dragon", kind="horse")
    assert complete_reading(near, 0).notes == ("No dragon in this model; nearest: horse.",)
    assert complete_reading(near, 0, {"kind": "castle"}).notes == ()
    assert complete_reading(near, 0, {"size": "small"}).notes == complete_reading(near, 0).notes


@pytest.mark.parametrize(
    ("values", "gone", "note"),
    [
        ({"kind": "duck", "accent_color": "red"}, "accent_color", "A duck has one colour"),
        ({"ground": "snow", "ground_color": "red"}, "ground_color", "in a flower field only"),
        ({"kind": "car", "secondary_color": ("red",)}, "secondary_color", "Nothing was named"),
    ],
)
def test_what_worlds_have_no_place_for_is_left_out_and_told(values, gone, note):
    done = complete_reading(reading(**values), 0)
    assert gone not in done.stated
    assert any(note in told for told in done.notes), done.notes


def test_two_things_are_the_most():
    done = complete_reading(reading(secondary=("rock", "bush", "fence"), kind="house"), 0)
    assert done.stated["secondary"] == ("rock", "bush")
    assert any("At most two" in note for note in done.notes)


def test_flowers_bring_their_field_and_none_brings_nothing():
    done = complete_reading(reading(kind="house", ground_color="purple"), 0)
    assert done.stated["ground"] == "flower field"
    assert says(done.caption, "purple")
    grounds = {
        {**done.filled, **done.stated}["ground"]
        for done in (
            complete_reading(reading(kind="house", ground_color="none"), seed) for seed in range(8)
        )
    }
    assert "flower field" not in grounds
    assert len(grounds) > 1


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"kind": "dragon"}, "kind must be one of"),
        ({"wheels": "four"}, "no attributes"),
        ({"secondary": ["sword"]}, "secondary must be one of"),
    ],
)
def test_choices_that_do_not_exist_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        complete_reading(reading(kind="house"), 0, choices)
