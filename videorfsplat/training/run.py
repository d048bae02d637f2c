"""One training run: the loop that every entry point shares, on accelerate.

Everything random in a step is drawn from a generator seeded by (run seed, step), so a run is fully
described by its configuration and its step number, and a run that was killed continues exactly.
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator, DistributedType, PartialState
from accelerate.tracking import get_available_trackers
from accelerate.utils import broadcast_object_list, parse_flag_from_env
from diffusers.training_utils import EMAModel
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from videorfsplat.formats.files import check_can_write, read_json_object, write_file
from videorfsplat.training.precision import resolve_precision
from videorfsplat.training.states import KeptStates, Progress, StateContents
from videorfsplat.training.step_data import StepRandomness, default_workers, open_step_data

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
    """bf16, no, or auto: bf16 where the device has instructions for it. A run goes on in the
    precision that it began in."""
    seed: int = 0
    log_every: int = 20
    save_minutes: float = 5.0
    sheet_minutes: float | None = 20.0
    """Between sample sheets; one more is drawn at the end. `None` draws none."""
    accumulation_steps: int = 1
    """Parts of a process's share of the batch, one after the other."""
    data_workers: int | None = None
    """Processes, of each training process, that draw and read what the coming steps are trained on;
    0 does it within the step. By default some beside a GPU, and none on CPUs, which the step
    fills."""
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
        if self.data_workers is not None and self.data_workers < 0:
            raise ValueError(f"data_workers must be at least 0, got {self.data_workers}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


Batch = TypeVar("Batch")


class TrainingRun:
    """Steps, logging, averaging, checkpoints and exact resumption of one model.

    Args:
        config: settings of the run.
        model: trained in place; its average over steps is `ema_model`.
        optimizers: all are stepped, with the same schedule factor on their learning rates.
        details: further settings that `config.json` records.
        defaults: what those of them are that an older run's `config.json` does not have.

    Raises:
        ValueError: if the folder holds a run with other settings, or a state that cannot be gone on
            from; if another run is at work there, the batch does not divide among the processes, or
            the tracker is not installed.
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
        _hold_folder(Path(config.output), make=True)
        self.config = config
        self.folder = Path(config.output)
        self.accelerator = Accelerator(
            mixed_precision=resolve_precision(config.mixed_precision, training_device()),
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
        self.progress = Progress()
        contents = StateContents(self.bare_model, self.optimizers, self.ema, self.progress)
        self.states = KeptStates(self.folder, self.accelerator, contents, self.is_sharded)
        if self.states.load_newest() is not None:
            logger.info("continuing %s at step %d", self.folder, self.step)
        if self.accelerator.is_main_process:
            self._drop_log_after(self.step)

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
        draw: Callable[[StepRandomness], Batch],
        loss: Callable[[Batch], dict[str, Tensor]],
        sheet: Callable[[Path], None] | None = None,
    ) -> None:
        """Run to `max_steps`.

        The first process decides when to save and to draw a sheet, and tells the others in the step
        itself: their clocks differ, and what they do together must be done in one order.

        Args:
            draw: what one step is trained on, on the CPU and from nothing but its argument: other
                processes may draw ahead.
            loss: terms of one step; the term `loss` is minimised, all are logged. Mixed precision
                is inside the forward pass of `model` (accelerate wraps it), not around the loss.
            sheet: draws samples of the averaged model into the given file.

        Raises:
            FloatingPointError: on every process, if the loss of one is not finite.
            ValueError: on every process, if the data of one cannot be drawn.
            OSError: on every process, if a state cannot be written, or as before.
        """
        if self.config.sheet_minutes is None:
            sheet = None
        started = last_save = last_sheet = time.monotonic()
        seconds_before = self.progress.seconds
        self.model.train()
        self.states.restore_randomness()
        batches = self._batches(draw)
        while self.progress.step < self.config.max_steps:
            parts = next(batches)
            now = time.monotonic()
            save, draw_sheet = self._agree(
                parts,
                now - last_save > 60 * self.config.save_minutes,
                now - last_sheet > 60 * (self.config.sheet_minutes or 0),
            )
            terms = self._one_step(parts, loss)
            totals = self.progress.totals
            for name, value in terms.items():
                totals[name] = totals.get(name, 0.0) + value
            self.progress.seconds = seconds_before + time.monotonic() - started
            if self.progress.step % self.config.log_every == 0:
                self._log({k: v / self.config.log_every for k, v in totals.items()})
                self.progress.totals, self.progress.data_seconds = {}, 0.0
            if save:
                self.states.save()
                last_save = time.monotonic()
            if sheet is not None and draw_sheet:
                self.draw(sheet)
                last_sheet = time.monotonic()
        self.states.save()
        if sheet is not None:
            self.draw(sheet)
        for tracker in self.accelerator.trackers:
            tracker.finish()

    def _batches(self, draw: Callable[[StepRandomness], Batch]) -> Iterator[list[Batch]]:
        """The parts of each coming step; waiting for them is counted."""
        config = self.config
        workers = config.data_workers
        batches = iter(
            open_step_data(
                draw,
                self._randomness,
                range(self.step, config.max_steps),
                config.accumulation_steps,
                default_workers(self.accelerator) if workers is None else workers,
                pin_memory=self.accelerator.device.type == "cuda",
            )
        )
        for _ in range(self.step, config.max_steps):
            started = time.perf_counter()
            parts = [next(batches) for _ in range(config.accumulation_steps)]
            self.progress.data_seconds += time.perf_counter() - started
            yield parts

    def _agree(self, parts: list[Any], *wishes: bool) -> list[bool]:
        """The first process's wishes; told before each step, with whether all have their data.

        Raises:
            ValueError, OSError: on every process, if one could not draw its data.
        """
        error = next((part for part in parts if isinstance(part, Exception)), None)
        is_main = self.accelerator.is_main_process
        told = [float(error is not None), *(float(wish and is_main) for wish in wishes)]
        message = torch.tensor(told, device=self.accelerator.device)
        summed: Any = self.accelerator.reduce(message, "sum")
        failed, *agreed = summed.tolist()
        if error is not None:
            raise error
        if failed:
            raise ValueError("another process cannot draw its data; its own message says why")
        return [wish > 0 for wish in agreed]

    def _one_step(
        self, parts: list[Batch], loss: Callable[[Batch], dict[str, Tensor]]
    ) -> dict[str, float]:
        """One step; returns the means of its terms over processes."""
        factor = self._rate_factor(self.progress.step)
        for optimizer, rates in zip(self.optimizers, self._base_rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        terms = self._accumulate(parts, loss)
        norm = self.accelerator.clip_grad_norm_(self._parameters(), self.config.max_grad_norm)
        terms["grad_norm"] = (
            norm.full_tensor() if isinstance(norm, DTensor) else torch.as_tensor(norm)
        )
        means = self._means(terms)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.ema.step(self.local_parameters())
        self.progress.step += 1
        return means

    def _accumulate(
        self, parts: list[Batch], loss: Callable[[Batch], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Gradients of one step; returns the mean of its parts' terms, without their graphs."""
        means: dict[str, Tensor] = {}
        for number, part in enumerate(parts, 1):
            # Gradients travel between processes with the last part only.
            is_last = number == len(parts)
            with nullcontext() if is_last else self.accelerator.no_sync(self.model):
                terms = loss(part)
                share = terms["loss"] / len(parts) if len(parts) > 1 else terms["loss"]
                self.accelerator.backward(share)
            for name, value in terms.items():
                mean = means.get(name, torch.zeros(())).to(value)
                means[name] = mean + value.detach() / len(parts)
        return means

    def _means(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Means over processes.

        A loss that is not finite has gone through the backward pass and is told here: a process
        that stopped before would leave the others waiting for its gradients.
        """
        is_bad = (~torch.isfinite(terms["loss"])).float()
        device, count = self.accelerator.device, self.accelerator.num_processes
        values = [value.detach().float().reshape(()).to(device) for value in terms.values()]
        message = torch.stack([is_bad.to(device), *values])
        reduced: Any = self.accelerator.reduce(message, "mean")
        bad, *means = reduced.tolist()
        if bad:
            where = f" on {round(bad * count)} of {count} processes" if count > 1 else ""
            raise FloatingPointError(f"the loss of step {self.step} is not finite{where}")
        return dict(zip(terms, means, strict=True))

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

    def _drop_log_after(self, step: int) -> None:
        """Remove log lines of steps that a killed run had made after its last state."""
        path = self.folder / "log.jsonl"
        if path.exists():
            lines = path.read_text(errors="replace").splitlines()
            kept = [line for line in lines if _is_logged_until(step, line)]
            write_file(path, "".join(f"{line}\n" for line in kept).encode())

    def _record_config(self, settings: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            text = json.dumps(settings, indent=2)
            write_file(self.folder / _RECORD, f"{text}\n".encode())
        self.accelerator.wait_for_everyone()

    def _log(self, means: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        line = {"step": self.step, "seconds": round(self.progress.seconds, 1)}
        line |= {"data_seconds": round(self.progress.data_seconds, 3)}
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
    "data_workers",
}
# A requeued job meets its predecessor, which is still dying.
_SECONDS_TO_WAIT_FOR_A_FOLDER = 10.0
_LOCKS: dict[Path, FileLock] = {}
"""Of the folders that this process trains in, held until it ends."""


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


def training_device() -> torch.device:
    """Where this process trains."""
    device = processes().device
    assert device is not None
    return device


def check_run(
    config: RunConfig, details: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None
) -> None:
    """Check what a `TrainingRun` of these arguments needs, before data and models are opened.

    Raises:
        ValueError: as `TrainingRun`.
    """
    check_share("batch_size", config.batch_size, config)
    _check_tracker(config.tracker)
    folder = Path(config.output)
    path = folder / _RECORD
    if path.exists():
        known = json.loads(json.dumps({**field_defaults(RunConfig), **(defaults or {})}))
        new = _recorded(config, details)
        old = known | read_json_object(path)
        if old["mixed_precision"] == "auto":  # not resolved in older records
            old["mixed_precision"] = new["mixed_precision"]
        _check_same_run(old, new, path)
    _hold_folder(folder, make=False)


def _hold_folder(folder: Path, *, make: bool) -> None:
    """Keep other runs out of a folder as long as this process lives; all processes call this.

    Args:
        folder: of the run.
        make: whether to make it; otherwise one that is not there is nobody's.
    """
    refusal = None
    if processes().is_main_process:
        try:
            check_can_write(folder)
            if make:
                folder.mkdir(parents=True, exist_ok=True)
            if folder.is_dir() and folder.resolve() not in _LOCKS:
                lock = FileLock(folder / ".lock")
                lock.acquire(timeout=_SECONDS_TO_WAIT_FOR_A_FOLDER)
                _LOCKS[folder.resolve()] = lock
        except Timeout:
            refusal = f"{folder}: another run is at work here; let it end or choose another output"
        except (OSError, ValueError) as error:
            refusal = str(error)
    (refusal,) = broadcast_object_list([refusal])
    if refusal:
        raise ValueError(refusal)


def _is_logged_until(step: int, line: str) -> bool:
    """Whether a log line is of this step or one before, and not cut by a kill or the disk."""
    try:
        return json.loads(line)["step"] <= step
    except (ValueError, KeyError, TypeError):
        return False


def check_share(name: str, rows: int, config: RunConfig) -> None:
    """Raise `ValueError` unless the rows divide among the processes and their parts of a step."""
    shares = processes().num_processes * config.accumulation_steps
    if rows % shares:
        raise ValueError(
            f"{name} must be a multiple of processes times accumulation_steps ({shares}), "
            f"got {rows}"
        )


def _recorded(config: RunConfig, details: dict[str, Any] | None) -> dict[str, Any]:
    """All settings of a run as `config.json` gives them back: tuples are lists, and the precision
    is the one that this machine gives."""
    precision = resolve_precision(config.mixed_precision, training_device())
    settings = {**asdict(config), "mixed_precision": precision, **(details or {})}
    return json.loads(json.dumps(settings))


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
