"""A score has a flag for every thing that a prompt states, and for nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.data.worlds.captions import attributes, caption_mentions
from videorfsplat.data.worlds.grammar import sample_world
from videorfsplat.evaluation.attributes import (
    count_right,
    count_stated,
    score_attributes,
    shares_by_attribute,
)


@given(st.integers(0, 10_000))
def test_a_perfect_probe_is_right_about_every_caption(seed):
    world = sample_world(seed)
    _, mentions = caption_mentions(world, np.random.default_rng(seed))
    score = score_attributes(mentions, attributes(world))
    assert "motion" not in score
    assert score["kind"] == [True]
    assert count_right(score) == count_stated(score) >= 1


@given(st.integers(0, 10_000))
def test_a_probe_that_sees_another_world_is_wrong_where_they_differ(seed):
    world, other = sample_world(seed), sample_world(seed + 1)
    _, mentions = caption_mentions(world, np.random.default_rng(seed))
    score = score_attributes(mentions, attributes(other))
    for name in score.keys() & {"kind", "ground", "time", "main_color"}:
        assert score[name] == [attributes(world)[name] == attributes(other)[name]]


@pytest.mark.parametrize(
    ("stated", "seen", "flags"),
    [
        (["rock", "rock"], ["rock"], [False]),
        (["rock", "rock"], ["rock", "rock"], [True]),
        (["rock"], ["rock", "rock"], [False]),
        (["rock", "bush"], ["bush", "fence"], [False, True]),
    ],
)
def test_secondary_objects_count_by_kind(stated, seen, flags):
    mentions = {"secondary": stated, "secondary_color": []}
    assert score_attributes(mentions, {"secondary": seen}) == {"secondary": flags}


def test_a_stated_secondary_color_must_be_there():
    mentions = {"secondary": [], "secondary_color": ["red", "blue"]}
    score = score_attributes(mentions, {"secondary_color": ["blue", "blue"]})
    assert score == {"secondary_color": [False, True]}


def test_shares_are_over_what_was_stated():
    scores = [{"kind": [True], "secondary": [True, False]}, {"kind": [False]}, {}]
    assert shares_by_attribute(scores) == {"kind": 0.5, "secondary": 0.5}
