"""Links reproduce settings, and nothing that a stranger writes into one reaches a file."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.generation.settings import MAX_SEED, GenerationSettings
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY, PRESETS
from videorfsplat.ui.share_link import SCENE_KEY, settings_from_query, share_query

settings = st.builds(
    GenerationSettings,
    prompt=st.text(min_size=1, max_size=80).filter(str.strip),
    seed=st.integers(0, MAX_SEED),
    num_inference_steps=st.integers(1, 60),
    pose_offset=st.floats(-0.5, 0.5),
    guidance_scale=st.floats(1, 8),
    pose_guidance_scale=st.floats(1, 8),
    camera_guidance_scale=st.floats(1, 8),
    trajectory=st.sampled_from([None, *PRESETS]),
    few_step=st.booleans(),
)


def query_of(text: str) -> dict[str, str]:
    return dict(parse_qsl(text, keep_blank_values=True))


@given(settings)
def test_a_link_gives_back_every_setting(given_settings):
    assert settings_from_query(query_of(share_query(given_settings))) == given_settings


def test_a_link_names_the_kept_scene_but_no_model_and_no_file():
    shared = GenerationSettings("a house", trajectory="/tmp/uploads/mine.json", model="/models/a")
    query = query_of(share_query(shared, "the-name"))
    assert query[SCENE_KEY] == "the-name"
    assert "model" not in query
    assert query["trajectory"] == FILE_TRAJECTORY
    assert settings_from_query(query) == replace(shared, trajectory=FILE_TRAJECTORY, model="mini")


def test_an_address_without_settings_has_none():
    assert settings_from_query({"__theme": "dark"}) is None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", "many", "seed must be a number"),
        ("seed", "-1", "seed must be a whole number"),
        ("num_inference_steps", "0", "num_inference_steps must be"),
        ("pose_offset", "1.5", "pose_offset must lie"),
        ("guidance_scale", "nan", "guidance_scale must be a finite number"),
        ("few_step", "yes", "few_step must be True or False"),
        ("trajectory", "/etc/passwd", "trajectory must be one of"),
        ("prompt", " ", "prompt must not be empty"),
    ],
)
def test_refuses_broken_links_by_the_name_of_the_setting(key, value, words):
    with pytest.raises(ValueError, match=words):
        settings_from_query({"prompt": "a house", key: value})
