"""From the fields of the page to settings, checked before anything waits in line."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeGuard

from videorfsplat.generation.checkpoint import few_step_folder, few_step_sampling
from videorfsplat.generation.settings import MAX_SEED, GenerationSettings
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY, PRESETS
from videorfsplat.ui.sentence import chosen, chosen_json

Quality = Literal["fast", "full"]

GENERATED = "generated"
"""The choice of cameras that the model makes."""

CAMERA_CHOICES: list[tuple[str, str]] = [
    ("Automatic, from the sentence", GENERATED),
    *((label, name) for name, label in PRESETS.items()),
    ("My file or recorded path", FILE_TRAJECTORY),
]
"""Where cameras come from: labels and values."""

SEEDS_AT_ONCE = 4
"""Scenes of one sentence that the fast way makes for a visitor to choose from."""

RANGES: dict[str, tuple[float, float]] = {
    # More steps are not asked of a machine that others wait for.
    "num_inference_steps": (1, 60),
    "pose_offset": (-0.5, 0.5),
    "guidance_scale": (1, 8),
    "pose_guidance_scale": (1, 5),
    "camera_guidance_scale": (1, 5),
}
"""What the sliders go through, and programs may ask for."""

MAX_SENTENCE_CHARACTERS = 300
"""Of a visitor's sentence. Training captions end at 40 words; what comes later has little say."""

MAX_RANDOM_SEED = 2**31 - 1


class Fields(NamedTuple):
    """What the form holds, in the order of its components."""

    prompt: str
    seed: float | None
    new_seed: bool
    quality: Quality
    several: bool
    num_inference_steps: int
    pose_offset: float
    guidance_scale: float
    pose_guidance_scale: float
    camera_guidance_scale: float
    cameras: str
    camera_file: str | None
    camera_unit: float | None
    chips: str | None


class Variant(NamedTuple):
    """What the two runs of a comparison may differ in."""

    pose_offset: float
    guidance_scale: float
    pose_guidance_scale: float
    camera_guidance_scale: float


def settings_from_fields(fields: Fields, model: str) -> GenerationSettings:
    """The settings that the form asks for; a new seed is drawn if it wants one.

    Raises:
        ValueError: in words, saying what to change.
    """
    if len(fields.prompt or "") > MAX_SENTENCE_CHARACTERS:
        raise ValueError(f"Write at most {MAX_SENTENCE_CHARACTERS} characters.")
    values: dict[str, Any] = {"prompt": fields.prompt}
    if fields.quality == "fast":
        values |= {"few_step": True, **few_step_sampling(model).to_dict()}
    else:
        values["num_inference_steps"] = fields.num_inference_steps
        values |= {name: getattr(fields, name) for name in Variant._fields}
    values["choices"], kept_seed = chosen(fields.chips)
    values["seed"] = fields.seed
    if kept_seed is not None:
        values["seed"] = kept_seed
    elif fields.new_seed:
        values["seed"] = secrets.randbelow(MAX_RANDOM_SEED + 1)
    values["trajectory"] = chosen_trajectory(fields.cameras, fields.camera_file)
    if fields.cameras == FILE_TRAJECTORY:
        values["camera_unit"] = fields.camera_unit
    return _checked(values, model)


def seeds_of(fields: Fields, seed: int) -> list[int]:
    """The seeds of the scenes that the form asks for, from the first one's."""
    _, kept_seed = chosen(fields.chips)
    is_choice = fields.several and fields.quality == "fast" and kept_seed is None
    count = SEEDS_AT_ONCE if is_choice else 1
    return [(seed + index) % (MAX_SEED + 1) for index in range(count)]


def settings_from_values(values: dict[str, Any], model: str) -> GenerationSettings:
    """The settings that a program asks for; absent ones take their defaults.

    Args:
        values: settings by name; `trajectory` must be a preset, or nothing.
        model: that runs.

    Raises:
        ValueError: in words, saying what to change.
    """
    trajectory = values.get("trajectory") or None
    if trajectory not in (None, *PRESETS):
        raise ValueError(f"The trajectory must be empty or one of {', '.join(PRESETS)}.")
    return _checked({**values, "trajectory": trajectory}, model)


def chosen_trajectory(cameras: str, camera_file: str | None) -> str | None:
    """Name of the preset or path of the file that gives the cameras; `None` if none does.

    Raises:
        ValueError: if a file is to give them, but there is none, or the path is unknown.
    """
    if cameras == GENERATED:
        return None
    if cameras == FILE_TRAJECTORY:
        if not isinstance(camera_file, str) or not camera_file:
            raise ValueError(
                "Upload a transforms.json or record a path, or let the cameras be automatic."
            )
        return camera_file
    # Of what a program sends, anything may come, lists as well.
    if cameras not in list(PRESETS):
        raise ValueError(f"The camera path must be one of {', '.join(PRESETS)}.")
    return cameras


def check_ranges(values: Mapping[str, Any]) -> None:
    """Raise a `ValueError` naming a setting beyond what a visitor may ask for, of those given."""
    for name, (low, high) in RANGES.items():
        value = values.get(name, low)
        if not _is_number(value) or not low <= value <= high:
            raise ValueError(f"{name} must lie between {low} and {high}, got {value!r:.40}")


def with_variant(settings: GenerationSettings, variant: Variant) -> GenerationSettings:
    """The same settings but for what a variant says."""
    return replace(settings, **{key: float(value) for key, value in variant._asdict().items()})


def field_values(settings: GenerationSettings) -> dict[str, Any]:
    """Values of the form that reproduce settings, but for a file of cameras: it is asked for."""
    trajectory = settings.trajectory
    values = Fields(
        prompt=settings.prompt,
        seed=settings.seed,
        new_seed=False,
        quality="fast" if settings.few_step else "full",
        several=False,
        num_inference_steps=settings.num_inference_steps,
        pose_offset=settings.pose_offset,
        guidance_scale=settings.guidance_scale,
        pose_guidance_scale=settings.pose_guidance_scale,
        camera_guidance_scale=settings.camera_guidance_scale,
        cameras=GENERATED
        if trajectory is None
        else (trajectory if trajectory in PRESETS else FILE_TRAJECTORY),
        camera_file=None,
        camera_unit=settings.camera_unit,
        chips=chosen_json(settings.choices),
    )
    return values._asdict()


def check_prompt(prompt: str | None) -> None:
    """Raise a `ValueError` in words if there is nothing to draw, or too much of it."""
    if not isinstance(prompt or "", str):
        raise ValueError("The sentence must be a text.")
    if not prompt or not prompt.strip():
        raise ValueError("Write a sentence first.")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ValueError(f"Write at most {MAX_PROMPT_CHARACTERS} characters.")


def check_seed(seed: float | None) -> None:
    """Raise a `ValueError` in words if this is no seed."""
    if not _is_number(seed) or not 0 <= seed <= MAX_SEED or seed != int(seed):
        raise ValueError(f"The seed must be a whole number from 0 to {MAX_SEED:,}.")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked(values: dict[str, Any], model: str) -> GenerationSettings:
    check_prompt(values["prompt"])
    check_seed(values["seed"])
    check_ranges(values)
    if not _is_number(values.get("camera_unit", 1.0) or 1.0):
        raise ValueError("The distance to the subject must be a number.")
    # Sliders and JSON do not tell 3 from 3.0.
    given = [name for name in (*Variant._fields, "camera_unit") if values.get(name) is not None]
    exact: dict[str, Any] = {name: float(values[name]) for name in given}
    exact |= {name: int(values[name]) for name in ("seed", "num_inference_steps")}
    prompt = " ".join(values["prompt"].split())
    if values.get("few_step"):
        few_step_folder(model)
    return GenerationSettings(**{**values, **exact, "prompt": prompt, "model": model})
