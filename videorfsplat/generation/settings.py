"""What a generation is asked for: plain data, checked before any model is loaded."""

from dataclasses import dataclass, field, fields
from typing import Any

from videorfsplat.language.choices import check_choices
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.sampling.settings import Sampling, check_number, check_whole

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class GenerationSettings(Sampling):
    """Everything that decides what is generated.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """

    prompt: str
    seed: int = 0
    """Of the noise."""
    trajectory: str | None = None
    """Name of a preset path or a file of cameras; `None` generates the cameras."""
    camera_unit: float | None = None
    """The distance from view 1 to the subject in the unit of the trajectory's file; `None` is
    estimated from the path. The scene has the unit of the file."""
    model: str = "mini"
    """`mini`, the folder of a saved pipeline, or its id on the hub."""
    few_step: bool = False
    """Use the model's few-step variant, which is made for few steps and no guidance
    (`checkpoint.few_step_sampling`)."""
    complete: bool = True
    """Read the prompt and let the seed fill in what it leaves open, if the model can."""
    choices: dict[str, str | list[str] | None] = field(default_factory=dict)
    """What shall be otherwise than the prompt says or the seed would have it: attribute → value,
    or `None` to leave it to the seed."""

    def __post_init__(self) -> None:
        for name in ("prompt", "model"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty")
        if len(self.prompt) > MAX_PROMPT_CHARACTERS:
            raise ValueError(
                f"prompt must have at most {MAX_PROMPT_CHARACTERS} characters, "
                f"got {len(self.prompt)}"
            )
        if self.trajectory is not None and not isinstance(self.trajectory, str):
            raise ValueError(f"trajectory must be a name or a file, got {self.trajectory!r:.40}")
        for name in ("few_step", "complete"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        check_choices(self.choices)
        if self.camera_unit is not None:
            check_number("camera_unit", self.camera_unit)
            if self.camera_unit <= 0:
                raise ValueError(f"camera_unit must be positive, got {self.camera_unit}")
        check_whole("seed", self.seed, 0, MAX_SEED)
        super().__post_init__()

    @property
    def sampling(self) -> Sampling:
        """How it is sampled, without what is made."""
        return Sampling(**{f.name: getattr(self, f.name) for f in fields(Sampling)})

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "GenerationSettings":
        """The settings that `to_dict` gave; absent ones take their defaults.

        Raises:
            ValueError: if a key is unknown, the prompt is missing or a value is out of range.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        if "prompt" not in values:
            raise ValueError("prompt is missing")
        return cls(**values)
