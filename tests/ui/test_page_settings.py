"""From fields to settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui.page_settings import (
    Fields,
    Variant,
    field_values,
    settings_from_fields,
    settings_from_values,
    with_variant,
)

FIELDS = Fields(
    "a red house", 7, False, "full", False, 12, 0.2, 3, 1.5, 2, "generated", None, None, None
)


def test_fields_become_settings_of_exact_types():
    settings = settings_from_fields(FIELDS._replace(seed=7.0, num_inference_steps=12), "mini")
    assert settings == GenerationSettings(
        "a red house",
        7,
        num_inference_steps=12,
        pose_offset=0.2,
        guidance_scale=3.0,
        pose_guidance_scale=1.5,
        camera_guidance_scale=2.0,
        trajectory=None,
        model="mini",
    )
    assert isinstance(settings.seed, int)
    assert isinstance(settings.guidance_scale, float)


def test_a_new_seed_is_drawn_only_when_asked_for():
    drawn = {settings_from_fields(FIELDS._replace(new_seed=True), "mini").seed for _ in range(8)}
    # Eight draws of 2³¹ agree by chance once in a hundred million times.
    assert len(drawn) == 8
    assert settings_from_fields(FIELDS, "mini").seed == 7


@given(st.integers(0, 2**53), st.integers(1, 60), st.floats(-0.5, 0.5))
def test_the_form_can_be_filled_with_what_it_gave(seed, steps, pose_offset):
    fields = FIELDS._replace(seed=seed, num_inference_steps=steps, pose_offset=pose_offset)
    settings = settings_from_fields(fields, "mini")
    assert settings_from_fields(Fields(**field_values(settings)), "mini") == settings


def test_few_steps_need_a_model_that_has_them(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(ValueError, match="has no few-step variant"):
        settings_from_fields(FIELDS._replace(quality="fast"), str(tmp_path))


def test_presets_and_files_give_the_cameras():
    preset = FIELDS._replace(cameras="spiral")
    assert settings_from_fields(preset, "mini").trajectory == "spiral"
    file = FIELDS._replace(cameras="file", camera_file="/uploads/mine.json")
    assert settings_from_fields(file, "mini").trajectory == "/uploads/mine.json"
    # A file cannot be filled into the form again, but asked for.
    values = field_values(settings_from_fields(file, "mini"))
    assert (values["cameras"], values["camera_file"]) == ("file", None)


def test_a_variant_changes_what_it_says_and_nothing_else():
    settings = settings_from_fields(FIELDS, "mini")
    other = with_variant(settings, Variant(-0.1, 4, 2, 1))
    assert other == GenerationSettings(
        "a red house",
        7,
        num_inference_steps=12,
        pose_offset=-0.1,
        guidance_scale=4.0,
        pose_guidance_scale=2.0,
        camera_guidance_scale=1.0,
        trajectory=None,
        model="mini",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "  "}, "Write a sentence"),
        ({"prompt": None}, "Write a sentence"),
        ({"prompt": "a" * 301}, "at most 300 characters"),
        ({"seed": None}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": -1}, "whole number"),
        ({"num_inference_steps": 0}, "between 1 and 60"),
        ({"num_inference_steps": 61}, "between 1 and 60"),
        ({"pose_offset": 0.7}, "must lie between"),
        ({"cameras": "file"}, "Upload a transforms.json"),
        ({"cameras": "/etc/passwd"}, "must be one of orbit_left"),
    ],
)
def test_says_what_to_change(change, words):
    with pytest.raises(ValueError, match=words):
        settings_from_fields(FIELDS._replace(**change), "mini")


def test_programs_may_name_presets_but_no_files():
    values = {"prompt": "a house", "seed": 0, "num_inference_steps": 4}
    assert settings_from_values(values, "mini").trajectory is None
    assert settings_from_values({**values, "trajectory": "walk"}, "mini").trajectory == "walk"
    with pytest.raises(ValueError, match="must be empty or one of"):
        settings_from_values({**values, "trajectory": "/etc/passwd"}, "mini")


def test_the_unit_of_a_file_goes_with_the_file():
    fields = FIELDS._replace(cameras="file", camera_file="mine.json", camera_unit=4)
    unit = settings_from_fields(fields, "mini").camera_unit
    assert (unit, type(unit)) == (4.0, float)
    assert settings_from_fields(fields._replace(cameras="spiral"), "mini").camera_unit is None
    for wrong in (-1, "x", [1], float("nan")):
        with pytest.raises(ValueError, match=r"distance to the subject|camera_unit"):
            settings_from_fields(fields._replace(camera_unit=wrong), "mini")
