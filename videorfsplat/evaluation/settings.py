"""What an evaluation is asked for: plain data, checked before any model is loaded."""

import glob
import itertools
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videorfsplat.evaluation.reports import checkpoints_of, model_card, read_metrics
from videorfsplat.formats.files import check_can_write
from videorfsplat.generation.checkpoint import few_step_sampling
from videorfsplat.generation.prompt_list import read_prompt_lines
from videorfsplat.sampling.settings import Sampling, check_whole

MINI_PROBE = Path(__file__).parents[1] / "checkpoints" / "mini-probe"
"""The bundled attribute probe, which judges the bundled model."""

SUITES: dict[str, str] = {
    "autoencoder": "views through the autoencoder and back",
    "decoder": "Gaussians from real latents, with true and with recovered cameras",
    "generation": "scenes from captions: text, realism, 3D, cameras",
    "speed": "seconds that a generation takes here",
    "given-cameras": "scenes along given cameras, which are then estimated back",
    "paraphrase": "the same worlds in sentences that no caption uses",
    "ablation": "timetable, guidance and steps, paired by seed",
    "language": "sentences by hand, read by the reader and drawn",
    "hub": "CLIP score, CleanFID, BRISQUE and NIQE, where their weights are at hand",
}
DEFAULT_SUITES = ("autoencoder", "decoder", "generation", "speed")

DTYPES = ("float32", "bfloat16")
"""Precisions in which the transformer may generate the scenes."""

# Far below the distance between the seeds of prompts and of reference scenes (`prompts`).
MAX_PROMPTS = 100_000
MAX_SEED = 1_000

# What clean-fid takes for pictures, and what a covariance needs.
_PICTURE_SUFFIXES = (".bmp", ".jpg", ".jpeg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_LEAST_PICTURES = 2


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of `evaluate`.

    Raises:
        FileNotFoundError: if a file or folder of the suite `hub` is missing.
        ValueError: naming the setting, what it is and what it may be; or the file or folder that
            cannot be used, and what to do.
    """

    output: Path
    """Folder of scenes, measurements, plots and `report.json`; a second run goes on in it."""
    suites: tuple[str, ...] = DEFAULT_SUITES
    prompts: int = 256
    """Held-out worlds; the ablation's axes other than δ take a quarter of them."""
    seed: int = 0
    """Of the worlds and of the noise."""
    batch_size: int = 8
    """Scenes generated at once; it does not change what is measured."""
    model: str = "mini"
    """`mini`, the folder of a saved pipeline, or its id on the hub."""
    few_step: bool = False
    """Measure the model's few-step variant, by its own sampling."""
    complete: bool = True
    """Complete the prompts, as `generate` does, where the model can."""
    probe: Path = MINI_PROBE
    """Folder of a saved attribute probe."""
    device: str = "auto"
    """Torch's name of it."""
    dtype: str = "float32"
    """Of the transformer; bfloat16 is faster where the processor multiplies in it."""
    compile: bool = False
    """Compile the transformer's blocks: pays for hundreds of scenes, changes their rounding."""
    figures: Path | None = None
    """Folder of the ablation's plots and tables; `<output>/figures` if absent."""
    metrics: Path | None = None
    """A `metrics.json` that gets the figures, each with the command and commit that gave it."""
    prompt_file: Path | None = None
    """Prompts of the suite `hub`, one a line (T3Bench's form); held-out captions if absent."""
    clip: str = "openai/clip-vit-base-patch16"
    """Folder or hub id of the CLIP model of the suite `hub`."""
    real_images: Path | None = None
    """Folder of pictures that CleanFID compares with; without it CleanFID is skipped."""

    def __post_init__(self) -> None:
        unknown = [suite for suite in self.suites if suite not in SUITES]
        if unknown or not self.suites:
            raise ValueError(f"suites must be among {', '.join(SUITES)}, got {self.suites}")
        check_whole("prompts", self.prompts, 2, MAX_PROMPTS)
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("batch_size", self.batch_size, 1, 4096)
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be {' or '.join(DTYPES)}, got {self.dtype!r}")
        check_can_write(self.output)
        if self.figures is not None:
            check_can_write(self.figures)
        if self.metrics is not None:
            check_can_write(self.metrics.parent)
            _check_metrics(self.metrics)
        if "hub" in self.suites:
            if self.prompt_file is not None:
                read_prompt_lines(self.prompt_file)
            if self.real_images is not None:
                _check_pictures(self.real_images)
        if self.few_step:
            few_step_sampling(self.model)
            if "ablation" in self.suites:
                raise ValueError("the ablation varies the model's own sampling: leave out few_step")
        if not (self.probe / "config.json").is_file():
            raise ValueError(f"{self.probe} holds no attribute probe: config.json is missing")

    @property
    def sampling(self) -> Sampling:
        """How scenes are sampled, where a suite does not vary it."""
        return few_step_sampling(self.model) if self.few_step else Sampling()

    @property
    def command(self) -> str:
        """The command that gives the same figures anywhere."""
        words = ["python", "-m", "videorfsplat", "evaluate"]
        if self.suites != DEFAULT_SUITES:
            words += ["--suite", *self.suites]
        words += ["--prompts", str(self.prompts), "--seed", str(self.seed), "--model", self.model]
        if self.few_step:
            words.append("--few-step")
        if not self.complete:
            words.append("--no-completion")
        if self.probe != MINI_PROBE:
            words += ["--probe", str(self.probe)]
        if self.dtype != EvaluationSettings.dtype:
            words += ["--dtype", self.dtype]
        if self.compile:
            words.append("--compile")
        if "hub" in self.suites:
            words += ["--clip", self.clip]
            for option, path in (
                ("--prompt-file", self.prompt_file),
                ("--real-images", self.real_images),
            ):
                words += [] if path is None else [option, str(path)]
        return shlex.join([*words, "--output", "evaluation"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, ready for JSON."""
        values = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self).items()}
        return values | {"suites": list(self.suites)}


def _check_pictures(folder: Path) -> None:
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file, expected a folder of real images; choose one")
    # As clean-fid looks for them, in the folders below too.
    paths = glob.iglob("**/*", root_dir=folder, recursive=True)
    pictures = (path for path in paths if path.lower().endswith(_PICTURE_SUFFIXES))
    found = len(list(itertools.islice(pictures, _LEAST_PICTURES)))
    if found < _LEAST_PICTURES:
        raise ValueError(
            f"{folder} holds {found} pictures, expected at least {_LEAST_PICTURES} real images "
            f"({', '.join(_PICTURE_SUFFIXES)}); choose another folder"
        )


def _check_metrics(path: Path) -> None:
    """That figures can be added to the file, and the card beside it written."""
    try:
        read_metrics(path)
        for checkpoint in checkpoints_of(path):
            model_card(checkpoint)
    except (OSError, ValueError) as error:
        raise ValueError(f"{error}; mend or delete that file, or choose another metrics") from error
