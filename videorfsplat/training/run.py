"""One training run: the loop that every entry point shares, on accelerate.

Everything random in a step is drawn from a generator seeded by (run seed, step), so a run is fully
described by its configuration and its step number, and a run that was killed continues exactly.
"""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedType, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import parse_flag_from_env
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from videorfsplat.formats.files import write_file
from videorfsplat.training.precision import resolve_precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunConfig:
    """What every training entry point is told."""

    output: str
    """Folder of the run: `log.jsonl`, `config.json`, `state-*`, sheets, the exported model."""
    max_steps: int
    batch_size: int
    """Over all processes together."""
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    decay_steps: int = 0
    """Length of the final linear decay of the learning rate to zero; 0 = constant."""
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    max_grad_norm: float = 1.0
    mixed_precision: str = "auto"
    """bf16, no, or auto: bf16 where the device has instructions for it."""
    seed: int = 0
    log_every: int = 20
    save_minutes: float = 5.0
    sheet_minutes: float = 20.0
    accumulation_steps: int = 1
    """Parts of a process's share of the batch, one after the other."""
    tracker: str | None = None
    """Also send the log to this tracker of accelerate's, such as tensorboard or trackio."""

    def __post_init__(self) -> None:
        if self.max_steps < 1 or self.batch_size < 1:
            raise ValueError(
                "max_steps and batch_size must be at least 1, "
                f"got {self.max_steps} and {self.batch_size}"
            )
        if self.accumulation_steps < 1:
            raise ValueError(
                f"accumulation_steps must be at least 1, got {self.accumulation_steps}"
            )
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


@dataclass(frozen=True)
class StepRandomness:
    """The randomness of one step: the same on every process, each taking its share of the batch.

    With accumulation every part of a step draws the whole batch anew and takes its own share, as if
    it were a process.
    """

    generator: torch.Generator
    process_index: int
    num_processes: int

    def whole(self) -> "StepRandomness":
        """The same source, from which the whole batch is returned."""
        return replace(self, process_index=0, num_processes=1)

    def share(self, values: Tensor) -> Tensor:
        """This process's rows of a tensor drawn for the whole batch."""
        return values[self.process_index :: self.num_processes]

    def randn(self, *shape: int) -> Tensor:
        """Standard normal values; the first axis is the whole batch, of which the share returns."""
        return self.share(torch.randn(*shape, generator=self.generator))

    def rand(self, *shape: int) -> Tensor:
        """Uniform values in [0, 1); shares as `randn`."""
        return self.share(torch.rand(*shape, generator=self.generator))

    def indices(self, high: int, batch_size: int) -> list[int]:
        """Uniform integers in [0, high); shares as `randn`."""
        return self.share(torch.randint(high, (batch_size,), generator=self.generator)).tolist()

    def generators(self, batch_size: int) -> list[torch.Generator]:
        """A generator for each row of the share: a row draws the same on whichever process."""
        return [torch.Generator().manual_seed(s) for s in self.indices(2**62, batch_size)]


class _Progress:
    """The step counter, in the form that accelerate saves and loads."""

    def __init__(self) -> None:
        self.step = 0
        self.seconds = 0.0
        self.totals: dict[str, float] = {}
        """Sums of the loss terms since the last log line."""

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class TrainingRun:
    """Steps, logging, averaging, checkpoints and exact resumption of one model.

    Args:
        config: settings of the run.
        model: trained in place; its average over steps is `ema_model`.
        optimizers: all are stepped, with the same schedule factor on their learning rates.
        details: further settings that `config.json` records.
        defaults: what those of them are that an older run's `config.json` does not have.

    Raises:
        ValueError: if the folder holds a run with other settings, the batch does not divide among
            the processes, or the tracker is not installed.
    """

    def __init__(
        self,
        config: RunConfig,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        details: dict[str, Any] | None = None,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        check_run(config, details, defaults)
        self.config = config
        self.folder = Path(config.output)
        self.accelerator = Accelerator(
            mixed_precision=resolve_precision(config.mixed_precision),
            log_with=config.tracker,
            project_dir=config.output,
        )
        settings = _recorded(config, details)
        self._record_config(settings)
        if config.tracker is not None:
            self.accelerator.init_trackers("videorfsplat", {k: str(v) for k, v in settings.items()})
        self._base_rates = [[g["lr"] for g in o.param_groups] for o in optimizers]
        self.model, *self.optimizers = self.accelerator.prepare(model, *optimizers)
        self.is_sharded = self.accelerator.distributed_type == DistributedType.FSDP
        """Whether every process holds a part of the weights only."""
        self.ema = EMAModel(
            self.local_parameters(),
            decay=config.ema_decay,
            use_ema_warmup=True,
            power=0.75,
            foreach=True,
        )
        self.progress = _Progress()
        self.accelerator.register_for_checkpointing(self.progress)
        if not self.is_sharded:
            self.accelerator.register_for_checkpointing(self.ema)
        self._resume()

    @property
    def step(self) -> int:
        """Steps finished so far."""
        return self.progress.step

    @property
    def bare_model(self) -> Any:
        """The model without accelerate's wrapping."""
        return self.accelerator.unwrap_model(self.model)

    def train(
        self,
        loss: Callable[[StepRandomness], dict[str, Tensor]],
        sheet: Callable[[Path], None] | None = None,
    ) -> None:
        """Run to `max_steps`.

        Args:
            loss: terms of one step; the term `loss` is minimised, all are logged. Mixed precision
                is inside the forward pass of `model` (accelerate wraps it), not around the loss.
            sheet: draws samples of the averaged model into the given file.
        """
        started = last_save = last_sheet = time.monotonic()
        seconds_before = self.progress.seconds
        self.model.train()
        while self.progress.step < self.config.max_steps:
            totals = self.progress.totals
            for name, value in self._one_step(loss).items():
                totals[name] = totals.get(name, 0.0) + value
            now = time.monotonic()
            self.progress.seconds = seconds_before + now - started
            if self.progress.step % self.config.log_every == 0:
                self._log({k: v / self.config.log_every for k, v in totals.items()})
                self.progress.totals = {}
            if now - last_save > 60 * self.config.save_minutes:
                self.save()
                last_save = now
            if sheet is not None and now - last_sheet > 60 * self.config.sheet_minutes:
                self.draw(sheet)
                last_sheet = time.monotonic()
        self.save()
        if sheet is not None:
            self.draw(sheet)
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _one_step(self, loss: Callable[[StepRandomness], dict[str, Tensor]]) -> dict[str, float]:
        factor = self._rate_factor(self.progress.step)
        for optimizer, rates in zip(self.optimizers, self._base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        terms = self._accumulate(loss)
        norm = self.accelerator.clip_grad_norm_(self._parameters(), self.config.max_grad_norm)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.ema.step(self.local_parameters())
        self.progress.step += 1
        terms["grad_norm"] = (
            norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm)
        )
        mean = self.accelerator.reduce({k: v.detach().float() for k, v in terms.items()}, "mean")
        return {name: float(value) for name, value in mean.items()}

    def _accumulate(self, loss: Callable[[StepRandomness], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Gradients of one step; returns the mean of its parts' terms, without their graphs."""
        parts = self.config.accumulation_steps
        means: dict[str, Tensor] = {}
        for part in range(parts):
            # Gradients travel between processes with the last part only.
            is_last = part == parts - 1
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                terms = loss(self._randomness(self.progress.step, part))
                if not torch.isfinite(terms["loss"]):
                    raise FloatingPointError(f"the loss of step {self.progress.step} is not finite")
                self.accelerator.backward(terms["loss"] / parts if parts > 1 else terms["loss"])
            for name, value in terms.items():
                means[name] = means.get(name, torch.zeros(())).to(value) + value.detach() / parts
        return means

    def _rate_factor(self, step: int) -> float:
        config = self.config
        warmup = min((step + 1) / max(config.warmup_steps, 1), 1.0)
        if not config.decay_steps:
            return warmup
        return warmup * min((config.max_steps - step) / config.decay_steps, 1.0)

    def _randomness(self, step: int, part: int) -> StepRandomness:
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)
        index, count = self.accelerator.process_index, self.accelerator.num_processes
        parts = self.config.accumulation_steps
        return StepRandomness(generator, index + part * count, count * parts)

    def _parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]

    def local_parameters(self) -> list[Any]:
        """The trained weights, or this process's parts of them, which share their memory."""
        parameters = self._parameters()
        if not self.is_sharded:
            return parameters
        parts = [p.detach() for p in parameters]
        return [p.to_local().requires_grad_() if isinstance(p, DTensor) else p for p in parts]

    def reshard(self) -> None:
        """Let go of whole weights that a forward pass without a backward pass has left behind."""
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def draw(self, sheet: Callable[[Path], None]) -> None:
        """Draw a sample sheet of the averaged model."""
        with tempfile.TemporaryDirectory() as elsewhere:
            is_main = self.accelerator.is_main_process
            # A model in parts runs on all processes or on none; one picture is enough.
            if is_main or self.is_sharded:
                folder = self.folder if is_main else Path(elsewhere)
                with averaged_weights(self), torch.no_grad():
                    sheet(folder / f"sheet-{self.step:07d}.png")

    def save(self) -> None:
        """Write the whole state beside the old one, then drop all but the two newest."""
        accelerator = self.accelerator
        target = self.folder / f"state-{self.step:07d}"
        if target.exists():
            return
        temporary = self.folder / "unfinished-state"
        if accelerator.is_main_process and temporary.exists():
            shutil.rmtree(temporary)
        accelerator.wait_for_everyone()
        accelerator.save_state(str(temporary))
        if self.is_sharded:
            self._save_average(temporary)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            os.replace(temporary, target)
            for old in sorted(self.folder.glob("state-*"))[:-2]:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def _resume(self) -> None:
        states = sorted(self.folder.glob("state-*"))
        if states:
            self.accelerator.load_state(str(states[-1]))
            if self.is_sharded:
                self._load_average(states[-1])
            logger.info("continuing %s at step %d", self.folder, self.step)
        if self.accelerator.is_main_process:
            self._drop_log_after(self.step)

    def _average_file(self, state: Path) -> Path:
        index, count = self.accelerator.process_index, self.accelerator.num_processes
        return state / f"average-{index + 1:05d}-of-{count:05d}.safetensors"

    def _save_average(self, state: Path) -> None:
        """Write this process's part of the averaged weights."""
        parts = {str(i): part for i, part in enumerate(self.ema.shadow_params)}
        save_file(parts, self._average_file(state), {"step": str(self.ema.optimization_step)})

    def _load_average(self, state: Path) -> None:
        path = self._average_file(state)
        if not path.exists():
            raise ValueError(f"{path} is missing: continue with as many processes as before")
        with safe_open(path, framework="pt") as file:
            self.ema.optimization_step = int(file.metadata()["step"])
            for i, part in enumerate(self.ema.shadow_params):
                part.copy_(file.get_tensor(str(i)))

    def _drop_log_after(self, step: int) -> None:
        """Remove log lines of steps that a killed run had made after its last state."""
        path = self.folder / "log.jsonl"
        if path.exists():
            # A line without its end was being written when the run was killed.
            lines = [line for line in path.read_text().splitlines(True) if line.endswith("\n")]
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            write_file(path, "".join(kept).encode())

    def _record_config(self, settings: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            text = json.dumps(settings, indent=2)
            write_file(self.folder / _RECORD, f"{text}\n".encode())
        self.accelerator.wait_for_everyone()

    def _log(self, means: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"step": self.step, "seconds": round(self.progress.seconds, 1)}
        line |= {name: float(f"{value:.5g}") for name, value in means.items()}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        logger.info("%s", json.dumps(line))
        self.accelerator.log(means, step=self.step)


@contextmanager
def averaged_weights(run: TrainingRun) -> Iterator[nn.Module]:
    """Within this context the run's model holds the averaged weights, in evaluation mode."""
    parameters = run.local_parameters()
    run.ema.store(parameters)
    run.ema.copy_to(parameters)
    try:
        yield run.bare_model.eval()
    finally:
        run.reshard()
        run.ema.restore(parameters)
        run.bare_model.train()


_RECORD = "config.json"
# Settings that may change when a run goes on: how long, and how often it reports.
_FREE_SETTINGS = {
    "output",
    "max_steps",
    "decay_steps",
    "log_every",
    "save_minutes",
    "sheet_minutes",
    "tracker",
}


def field_defaults(settings_class: Any) -> dict[str, Any]:
    """Defaults of a settings class, for the fields that have one and are no settings themselves."""
    known = {}
    for field in fields(settings_class):
        value = field.default if field.default_factory is MISSING else field.default_factory()
        if value is not MISSING and not is_dataclass(value):
            known[field.name] = value
    return known


def field_values(settings: Any) -> dict[str, Any]:
    """Values of a training's settings but for `run`; of settings among them, the values."""
    values = {}
    for name, value in vars(settings).items():
        if name != "run":
            values |= vars(value) if is_dataclass(value) else {name: value}
    return values


def processes() -> PartialState:
    """The processes that train together; started here, if they are not yet."""
    # Accelerate itself asks the environment for this only when its accelerator starts them.
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def check_run(
    config: RunConfig, details: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None
) -> None:
    """Check what a `TrainingRun` of these arguments needs, before data and models are opened.

    Raises:
        ValueError: as `TrainingRun`.
    """
    check_share("batch_size", config.batch_size, config)
    _check_tracker(config.tracker)
    path = Path(config.output) / _RECORD
    if path.exists():
        known = json.loads(json.dumps({**field_defaults(RunConfig), **(defaults or {})}))
        _check_same_run(known | json.loads(path.read_text()), _recorded(config, details), path)


def check_share(name: str, rows: int, config: RunConfig) -> None:
    """Raise `ValueError` unless the rows divide among the processes and their parts of a step."""
    shares = processes().num_processes * config.accumulation_steps
    if rows % shares:
        raise ValueError(
            f"{name} must be a multiple of processes times accumulation_steps ({shares}), "
            f"got {rows}"
        )


def _recorded(config: RunConfig, details: dict[str, Any] | None) -> dict[str, Any]:
    """All settings of a run as `config.json` gives them back: tuples are lists."""
    return json.loads(json.dumps({**asdict(config), **(details or {})}))


def _check_tracker(tracker: str | None) -> None:
    available = [str(kind) for kind in get_available_trackers()]
    if tracker is not None and tracker not in available:
        raise ValueError(
            f"tracker {tracker!r} is not installed or unknown; here there are: "
            f"{', '.join(available) or 'none'}"
        )


def _check_same_run(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    changed = {k for k in old.keys() | new.keys() if old.get(k) != new.get(k)} - _FREE_SETTINGS
    if changed:
        names = ", ".join(f"{k}: {old.get(k)} → {new.get(k)}" for k in sorted(changed))
        raise ValueError(f"{path} belongs to a run with other settings ({names})")
