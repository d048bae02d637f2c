"""Everything that only a GPU can prove, in one run that keeps what it has when it is cut off.

Checks come in the order of what they cost and prove; each result is one line of JSON with the card
and the versions. On a CPU the same code runs at toy size, where it proves that it runs.
"""

import inspect
import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from videorfsplat.data.worlds import write_worlds
from videorfsplat.formats.ply import save_ply
from videorfsplat.generation.checkpoint import MINI_CHECKPOINT, few_step_sampling
from videorfsplat.generation.cost_report import GPUS, UTILISATION
from videorfsplat.generation.loading import load_pipeline
from videorfsplat.generation.memory import MemorySettings
from videorfsplat.generation.record import library_versions
from videorfsplat.geometry.cameras import Cameras, look_at
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.models.cost import transformer_step
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.rendering.rasterization import Backend, rasterize
from videorfsplat.training.joint import JointTraining, train_joint
from videorfsplat.training.lora import add_image_lora
from videorfsplat.training.run import RunConfig

logger = logging.getLogger(__name__)

RESULTS = "checks.jsonl"
PROMPT = "a red house with two pine trees on a green meadow"

_TOY_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 4,
    "pooled_projection_dim": 16,
    "pose_num_attention_heads": 2,
    "pose_attention_head_dim": 8,
    "pose_num_layers": 4,
    "pose_pooled_projection_dim": 8,
    "exchange_num_heads": 2,
    "exchange_head_dim": 8,
    "time_embed_dim": 16,
}
# A burst ends in rounds, so that there is a model whenever it is cut off.
_SECONDS_OF_A_ROUND = 60.0
_LARGEST_PIECE = "15MB"
"""Of an exported average: pieces that can be copied out one by one."""


@dataclass(frozen=True)
class _Run:
    """What every check is given."""

    device: torch.device
    folder: Path
    """For what a check writes."""
    deadline: float
    """On the clock of `time.monotonic`."""

    @property
    def is_toy(self) -> bool:
        """Whether this only proves that the checks run."""
        return self.device.type == "cpu"

    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()


def check_gpu(output: Path, minutes: float, device: torch.device) -> dict[str, Any]:
    """Run all checks, each as a line of `checks.jsonl` as soon as it is done.

    Args:
        output: folder to write.
        minutes: after which no further check begins.
        device: a GPU, or the CPU for a dry run at toy size.

    Returns:
        Number of results, and `errors`: what failed, by check.
    """
    output.mkdir(parents=True, exist_ok=True)
    run = _Run(device, output, time.monotonic() + 60 * minutes)
    about = _about(device)
    errors, count = {}, 0
    with (output / RESULTS).open("w", encoding="utf-8") as file:
        for name, check in CHECKS.items():
            for line in _results(name, check, run):
                count += 1
                if "error" in line:
                    errors[name] = line["error"]
                # A number that is not finite is a result, and no JSON.
                file.write(json.dumps(_plain({"check": name, **line, **about})) + "\n")
                file.flush()
                logger.info("%s: %s", name, line)
    return {"results": str(output / RESULTS), "lines": count, "errors": errors}


def missing_parts() -> dict[str, str]:
    """What the checks need and this machine lacks, with the reason."""
    parts = {
        "gsplat": (find_spec("gsplat"), "rasteriser on the GPU; built at its first use"),
        "ninja": (shutil.which("ninja") or find_spec("ninja"), "builds gsplat's kernels"),
        "nvcc": (shutil.which("nvcc"), "compiles gsplat's kernels; of the CUDA toolkit"),
        "triton": (find_spec("triton"), "what torch.compile writes GPU code in"),
        "torch with CUDA": (torch.version.cuda, "everything else"),
    }
    return {name: reason for name, (found, reason) in parts.items() if not found}


def _results(
    name: str, check: Callable[[_Run], Iterator[dict[str, Any]]], run: _Run
) -> Iterator[dict[str, Any]]:
    """Results of one check with their seconds; what goes wrong is one of them."""
    if run.seconds_left() <= 0:
        yield {"skipped": "the minutes are over"}
        return
    started = time.monotonic()
    try:
        for result in check(run):
            yield {**result, "seconds_taken": round(time.monotonic() - started, 3)}
            started = time.monotonic()
    # One library that fails must not cost what the others would have shown.
    except Exception as error:
        logger.debug("%s", name, exc_info=True)
        yield {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
    if run.device.type == "cuda":
        torch.cuda.empty_cache()


def _about(device: torch.device) -> dict[str, Any]:
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, toy size"
    versions = library_versions() | {"cuda": torch.version.cuda}
    return {"card": card, "versions": versions, "date": time.strftime("%Y-%m-%d")}


def _plain(value: Any) -> Any:
    """The same for JSON, which has no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# --- rasteriser -----------------------------------------------------------------------------------


def _fast_backend(run: _Run) -> Backend:
    return "numba" if run.is_toy else "gsplat"


def _scene(run: _Run, count: int, degree: int, size: int) -> tuple[Gaussians, Cameras]:
    """Gaussians around the origin and three cameras about it, their principal points off centre."""
    generator = torch.Generator().manual_seed(degree)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    gaussians = Gaussians(
        means=0.6 * normal(count, 3),
        quats=F.normalize(normal(count, 4), dim=-1),
        scales=(0.7 * normal(count, 3) - 3).exp(),
        opacities=torch.rand(count, generator=generator),
        sh=0.5 * normal(count, (degree + 1) ** 2, 3),
    )
    angles = torch.arange(3) * 0.7
    centers = 3 * torch.stack([angles.sin(), 0.1 * angles.cos(), -angles.cos()], dim=-1)
    viewmats = look_at(centers, torch.zeros_like(centers), torch.tensor([0.1, -1.0, 0.0]))
    K = torch.tensor([[1.1 * size, 0, 0.6 * size], [0, 1.2 * size, 0.45 * size], [0, 0, 1.0]])
    return gaussians.to(run.device), Cameras(viewmats, K.repeat(3, 1, 1), size, size).to(run.device)


def _rendered(
    gaussians: Gaussians, cameras: Cameras, backend: Backend
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a backend draws, and the gradients of a fixed sum of it."""
    leaves = {k: v.detach().clone().requires_grad_() for k, v in vars(gaussians).items()}
    renders, alphas, meta = rasterize(Gaussians(**leaves), cameras, backend=backend)
    ramp = torch.linspace(0.5, 1.5, renders.numel(), device=renders.device).view_as(renders)
    ((ramp * renders).sum() + alphas.sum() + meta["depths"].sum()).backward()
    images = {"renders": renders, "alphas": alphas, "depths": meta["depths"]}
    return (
        {name: image.detach() for name, image in images.items()},
        {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None},
    )


def _rasterizer_agrees(run: _Run) -> Iterator[dict[str, Any]]:
    backend = _fast_backend(run)
    count, size = (60, 24) if run.is_toy else (4000, 128)
    for degree in range(4):
        gaussians, cameras = _scene(run, count, degree, size)
        (images, gradients), (expected, true_gradients) = (
            _rendered(gaussians, cameras, name) for name in (backend, "torch")
        )
        differences = {k: float((images[k] - expected[k]).abs().max()) for k in images}
        relative = {
            k: float((gradients[k] - g).norm() / g.norm().clamp(min=1e-12))
            for k, g in true_gradients.items()
        }
        # float32 sums in another order; a pixel at a cut-off of opacity may differ by 1/255.
        agrees = differences["renders"] < 1e-2 and max(relative.values()) < 1e-2
        yield {
            "backend": backend,
            "sh_degree": degree,
            "largest_difference": differences,
            "relative_difference_of_gradients": relative,
            "agrees": agrees,
        }


def _rasterizer_speed(run: _Run) -> Iterator[dict[str, Any]]:
    count, size = (100, 16) if run.is_toy else (131072, 256)
    gaussians, cameras = _scene(run, count, 0, size)
    backends: dict[Backend, torch.device] = {"torch": run.device, "numba": torch.device("cpu")}
    if not run.is_toy:
        backends = {"gsplat": run.device, **backends}
    for backend, device in backends.items():
        placed = gaussians.to(device), cameras[:1].to(device)
        seconds = _best_seconds(lambda p=placed, b=backend: _rendered(*p, b), device, 3)
        yield {"backend": backend, "gaussians": count, "size": size, "seconds": seconds}


def _best_seconds(work: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Of one call, after one that compiles and caches."""
    times = []
    for _ in range(repeats + 1):
        _synchronize(device)
        started = time.perf_counter()
        work()
        _synchronize(device)
        times.append(time.perf_counter() - started)
    return round(min(times[1:]), 6)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- mini -----------------------------------------------------------------------------------------


def _mini(run: _Run) -> Iterator[dict[str, Any]]:
    """From a sentence to .ply files, twice: the first has what is loaded and compiled in it."""
    for few_step in (False, True):
        # A type checker does not see that the pipeline's wrapped `__call__` is bound: hence `Any`.
        pipeline: Any = load_pipeline("mini", str(run.device), few_step=few_step)
        pipeline.set_progress_bar_config(disable=True)
        sampling = few_step_sampling("mini").to_dict() if few_step else {}
        if run.is_toy:
            sampling["num_inference_steps"] = 1
        for batch in (1,) if run.is_toy else (1, 16):
            # On a CPU a second time proves nothing.
            for attempt in ("first",) if run.is_toy else ("first", "again"):
                _synchronize(run.device)
                started = time.perf_counter()
                output = pipeline(
                    [PROMPT] * batch, generator=torch.Generator().manual_seed(0), **sampling
                )
                for gaussians in output.gaussians:
                    save_ply(gaussians.to("cpu"), run.folder / "scene.ply")
                yield {
                    "few_step": few_step,
                    "batch": batch,
                    "attempt": attempt,
                    "seconds": round(time.perf_counter() - started, 3),
                }


_MEMORY = (
    MemorySettings(),
    MemorySettings(tiling=True),
    MemorySettings(offload="group"),
    MemorySettings(offload="model"),
    MemorySettings(dtype="bfloat16"),
    MemorySettings(dtype="bfloat16", fp8=True),
)


def _memory_settings(run: _Run) -> Iterator[dict[str, Any]]:
    """The same scene whichever way the weights are kept: frames against those of plain float32."""
    plain: Tensor | None = None
    for memory in _MEMORY:
        changed = {k: v for k, v in asdict(memory).items() if v != asdict(_MEMORY[0])[k]}
        try:
            pipeline: Any = load_pipeline("mini", str(run.device), memory)
        except ValueError as error:
            yield {"memory": changed, "refused": str(error)}
            continue
        pipeline.set_progress_bar_config(disable=True)
        if run.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        frames = (
            pipeline(
                PROMPT,
                generator=torch.Generator().manual_seed(0),
                num_inference_steps=1 if run.is_toy else 4,
                output_type="pt",
            )
            .frames.float()
            .cpu()
        )
        plain = frames if plain is None else plain
        yield {
            "memory": changed,
            "mean_difference_of_frames": float((frames - plain).abs().mean()),
            "is_finite": bool(frames.isfinite().all()),
            "peak_gigabytes": _peak_gigabytes(run.device),
        }
        del pipeline


def _peak_gigabytes(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated() / 1e9, 3) if device.type == "cuda" else None


# --- training -------------------------------------------------------------------------------------


def _settings(run: _Run, name: str, steps: int) -> JointTraining:
    """A small joint training on four worlds."""
    data = run.folder / "worlds"
    write_worlds(data, 0, 4, num_views=2, size=32, scenes_per_shard=4)
    return JointTraining(
        RunConfig(
            str(run.folder / name), steps, 2, warmup_steps=1, log_every=1, sheet_minutes=None
        ),
        str(data),
        str(MINI_CHECKPOINT),
        str(MINI_CHECKPOINT),
        size=32,
        num_views=2,
        caption_tokens=32,
        compile_blocks=not run.is_toy,
        model=_TOY_TRANSFORMER | {"text_embed_dim": _text_width()},
    )


def _text_width() -> int:
    return json.loads((MINI_CHECKPOINT / "transformer/config.json").read_bytes())["text_embed_dim"]


def _training(run: _Run) -> Iterator[dict[str, Any]]:
    """Steps in the card's precision, and that a run in two parts is the run in one."""
    whole = train_joint(_settings(run, "whole", 4))
    parts = _settings(run, "parts", 2)
    train_joint(parts)
    resumed = train_joint(replace(parts, run=replace(parts.run, max_steps=4)))
    one, two = (
        VideoRFSplatTransformer3DModel.from_pretrained(path).state_dict()
        for path in (whole, resumed)
    )
    record = json.loads((whole.parent / "config.json").read_bytes())
    yield {
        "mixed_precision": record["mixed_precision"],
        "compiled": record["compile_blocks"],
        "losses": _losses(whole.parent),
        "largest_difference_after_resume": max(float((one[k] - two[k]).abs().max()) for k in one),
    }


# --- full size ------------------------------------------------------------------------------------


def _full_transformer(run: _Run) -> VideoRFSplatTransformer3DModel:
    """Random weights in bfloat16, made where they are used."""
    toy = _TOY_TRANSFORMER | {"text_embed_dim": 16, "num_views": 2, "sample_size": (4, 4)}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with run.device:
            return VideoRFSplatTransformer3DModel(**toy if run.is_toy else {}).eval()
    finally:
        torch.set_default_dtype(before)


def _inputs(model: VideoRFSplatTransformer3DModel, batch: int, tokens: int = 256) -> list[Tensor]:
    config, device = model.config, model.device
    place: dict[str, Any] = {"device": device}
    dtype: dict[str, Any] = {"device": device, "dtype": torch.bfloat16}
    views, size = config["num_views"], config["sample_size"]
    return [
        torch.randn(batch, config["in_channels"], views, *size, **dtype),
        torch.randn(batch, config["pose_in_channels"], views, *size, **dtype),
        torch.randn(batch, tokens, config["text_embed_dim"], **dtype),
        torch.full((batch,), 500.0, **place),
        torch.full((batch,), 500.0, **place),
        torch.ones(batch, tokens, dtype=torch.bool, **place),
    ]


def _full_size(run: _Run) -> Iterator[dict[str, Any]]:
    """A step at 320×512 with one, two and three branches against what `info` predicts, then the
    same compiled, then a step of LoRA training."""
    model = _full_transformer(run)
    tokens = 8 if run.is_toy else 256
    names = inspect.signature(VideoRFSplatTransformer3DModel.__init__).parameters
    config = {k: v for k, v in model.config.items() if k in names}
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    # Compiling for a CPU takes minutes, and is what other tests are for.
    for compiled in (False,) if run.is_toy else (False, True):
        if compiled:
            model.compile_blocks()
        for branches in (1, 2, 3):
            if run.seconds_left() <= 0:
                return
            inputs = _inputs(model, branches, tokens)
            if run.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            with torch.no_grad():
                step = partial(model, *inputs, return_dict=False)
                seconds = _best_seconds(step, run.device, 2)
            yield {
                "what": "step",
                "compiled": compiled,
                "branches": branches,
                "seconds": seconds,
                "peak_gigabytes": _peak_gigabytes(run.device),
                **_predicted(config, branches, tokens, weights, _about(run.device)["card"]),
            }
    yield _lora_step(run, tokens)


def _predicted(
    config: dict[str, Any], branches: int, tokens: int, weights: int, card: str
) -> dict[str, Any]:
    """What the cost model says of a step: its operations, peak and, of a known card, seconds."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode():
            cost = transformer_step(config, branches, tokens)
    finally:
        torch.set_default_dtype(before)
    known = next((gpu for gpu in GPUS if gpu.name.split()[0] in card), None)
    return {
        "tflop": round(cost.flops / 1e12, 3),
        "predicted_peak_gigabytes": round((weights + cost.activation_bytes) / 1e9, 3),
        "predicted_seconds": cost.flops / (known.flops * UTILISATION) if known else None,
    }


def _lora_step(run: _Run, tokens: int) -> dict[str, Any]:
    model = _full_transformer(run)
    add_image_lora(model, 2 if run.is_toy else 16, ["to_q", "to_k", "to_v", "to_out.0"])
    model.enable_gradient_checkpointing()
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    if run.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        with torch.autocast(run.device.type, torch.bfloat16):
            velocities = model(*_inputs(model, 1, tokens), return_dict=False)
        torch.stack([v.float().square().mean() for v in velocities]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    return {
        "what": "training step by LoRA with gradient checkpointing",
        "trained_weights": sum(p.numel() for p in trained),
        "seconds": _best_seconds(step, run.device, 1),
        "peak_gigabytes": _peak_gigabytes(run.device),
    }


# --- burst ----------------------------------------------------------------------------------------


def _burst(run: _Run) -> Iterator[dict[str, Any]]:
    """Train the bundled model on for the time that is left, in rounds with an average each."""
    data = run.folder / "burst-worlds"
    config = json.loads((MINI_CHECKPOINT / "transformer/config.json").read_bytes())
    views, side = config["num_views"], 8 * config["sample_size"][0]
    scenes = 2 if run.is_toy else 512
    write_worlds(data, 10_000, scenes, num_views=views, size=side, scenes_per_shard=scenes)
    trained, (steps, batch) = 0, (1, 1) if run.is_toy else (50, 16)
    output = str(run.folder / "burst")
    settings = JointTraining(
        RunConfig(output, steps, batch, learning_rate=1e-4, log_every=1, sheet_minutes=None),
        str(data),
        str(MINI_CHECKPOINT),
        str(MINI_CHECKPOINT),
        size=side,
        num_views=views,
        caption_tokens=64,
        compile_blocks=not run.is_toy,
        init=str(MINI_CHECKPOINT),
    )
    while run.seconds_left() > (0 if run.is_toy else 1.5 * _SECONDS_OF_A_ROUND):
        started, steps = time.monotonic(), settings.run.max_steps
        model = VideoRFSplatTransformer3DModel.from_pretrained(train_joint(settings))
        target = run.folder / f"average-{steps:06d}"
        model.half().save_pretrained(target, max_shard_size=_LARGEST_PIECE)
        taken = time.monotonic() - started
        losses = _losses(run.folder / "burst")
        yield {"steps": steps, "loss": losses[-1], "average": target.name, "round": taken}
        if run.is_toy:
            return
        more = round((steps - trained) * _SECONDS_OF_A_ROUND / taken)
        trained = steps
        settings = replace(settings, run=replace(settings.run, max_steps=steps + max(1, more)))


def _losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


CHECKS: dict[str, Callable[[_Run], Iterator[dict[str, Any]]]] = {
    "rasterizer agreement": _rasterizer_agrees,
    "rasterizer speed": _rasterizer_speed,
    "mini": _mini,
    "training and resume": _training,
    "full size": _full_size,
    "memory settings": _memory_settings,
    "training burst": _burst,
}
