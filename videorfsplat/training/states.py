"""The kept states of a training run: safetensors and JSON, checked before they are trusted.

    state-0000024/
      state.json                          step, processes, and size and SHA-256 of the other files
      process-00001-of-00002.safetensors  what this process has

The first process's file has the weights, their average, the optimizers' memory and the progress;
every process's has its random state. Of a model in parts, every file has its process's parts. A
state is written beside the others, flushed to the disk and then named, so that a folder with a
state's name is whole; the checksums find what the disk lost afterwards.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from diffusers.training_utils import EMAModel
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from videorfsplat.formats.files import read_json_object, sync, write_file, write_tensors

logger = logging.getLogger(__name__)

FORMAT = "videorfsplat-training-state"
VERSION = 1
KEPT_STATES = 2
"""The newest, and one to fall back to."""

_MANIFEST = "state.json"
_UNFINISHED = "unfinished-state"
_NAME = re.compile(r"state-(\d{7,})")
# What earlier versions wrote by accelerate and torch, which is read by running code.
_PICKLES = ("*.pkl", "*.bin", "pytorch_model_fsdp*")


class Progress:
    """How far a run is."""

    def __init__(self) -> None:
        self.step = 0
        self.seconds = 0.0
        self.totals: dict[str, float] = {}
        """Sums of the loss terms since the last log line."""
        self.data_seconds = 0.0
        """Spent waiting for data since the last log line."""


@dataclass(frozen=True)
class StateContents:
    """What a state holds. Loading writes into these, wherever their tensors are."""

    model: nn.Module
    """Without accelerate's wrapping."""
    optimizers: list[Any]
    average: EMAModel
    progress: Progress


class KeptStates:
    """The states in a run's folder, which all processes see.

    Args:
        folder: of the run.
        accelerator: its processes; every method is called by all of them.
        contents: what is saved and loaded.
        is_sharded: whether every process holds a part of the weights only.
    """

    def __init__(
        self, folder: Path, accelerator: Accelerator, contents: StateContents, is_sharded: bool
    ) -> None:
        self.folder, self.accelerator, self.contents = folder, accelerator, contents
        self.is_sharded = is_sharded
        self._last: int | None = None
        self._random: dict[str, Tensor] = {}

    def restore_randomness(self) -> None:
        """Draw on from where the loaded state was, if one was loaded: what is made between loading
        and the first step, such as the networks of a loss, draws too."""
        random, self._random, device = self._random, {}, self.accelerator.device
        if "random.cpu" in random:
            torch.set_rng_state(random["random.cpu"])
        if "random.cuda" in random and device.type == "cuda":
            torch.cuda.set_rng_state(random["random.cuda"], device)

    def save(self) -> None:
        """Write the state of this step, unless it is there, and drop all but the newest.

        Raises:
            OSError: on every process, if one of them cannot write.
        """
        step, is_main = self.contents.progress.step, self.accelerator.is_main_process
        if step == self._last:
            return
        unfinished = self.folder / _UNFINISHED
        if is_main:
            shutil.rmtree(unfinished, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        written = gather_object([self._attempt(unfinished)])
        failed = [entry for entry in written if isinstance(entry, str)]
        if is_main and not failed:
            failed = self._finish(unfinished, step, dict(written))
        (failed,) = broadcast_object_list([failed])
        if failed:
            if is_main:
                shutil.rmtree(unfinished, ignore_errors=True)
            raise OSError(f"the state of step {step} cannot be kept: {failed[0]}")
        self._last = step

    def load_newest(self) -> int | None:
        """Go on from the newest state that is whole; returns its step, or None without states.

        Raises:
            ValueError: if there are states and none is whole, or the newest is of an older version,
                other processes or another model.
        """
        names, refusal = broadcast_object_list([self._found(), self._refusal()])
        if refusal:
            raise ValueError(refusal)
        damaged = []
        for name in names:
            reasons = gather_object([self._fault(self.folder / name)])
            reason = next((found for found in reasons if found), None)
            if reason is None:
                self._load(self.folder / name)
                self._set_aside(damaged)
                self._last = self.contents.progress.step
                return self._last
            logger.warning("%s is damaged: %s; trying the state before", name, reason)
            damaged.append(name)
        if damaged:
            raise ValueError(
                f"{self.folder}: none of its states is whole ({', '.join(damaged)}); "
                "remove them to start anew"
            )
        return None

    # --- writing ----------------------------------------------------------------------------------

    def _attempt(self, folder: Path) -> tuple[str, dict[str, Any]] | str:
        """Name, size and checksum of this process's file, or why it could not be written."""
        path = folder / self._file_name()
        try:
            write_tensors(path, self._tensors(), self._metadata())
            return path.name, {"bytes": path.stat().st_size, "sha256": _checksum(path)}
        except OSError as error:
            return str(error)

    def _finish(self, unfinished: Path, step: int, files: dict[str, Any]) -> list[str]:
        """Name the state; returns why not, if it cannot be done."""
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "step": step,
            "processes": self.accelerator.num_processes,
            "is_sharded": self.is_sharded,
            "files": files,
        }
        target = self.folder / f"state-{step:07d}"
        try:
            write_file(unfinished / _MANIFEST, json.dumps(manifest, indent=2).encode())
            sync(unfinished / _MANIFEST)
            sync(unfinished)
            os.replace(unfinished, target)
            sync(self.folder)
            for old in self._found()[KEPT_STATES:]:
                shutil.rmtree(self.folder / old)
        except OSError as error:
            return [str(error)]
        return []

    def _tensors(self) -> dict[str, Tensor]:
        """What this process's file holds."""
        tensors = {"random.cpu": torch.get_rng_state()}
        if self.accelerator.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.accelerator.device)
        if not self._has_weights():
            return tensors
        weights = {f"model.{name}": value for name, value in self._weights().items()}
        average = {f"average.{i}": v for i, v in enumerate(self.contents.average.shadow_params)}
        for number, optimizer in enumerate(self.contents.optimizers):
            for place, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    # torch's SGD keeps a None where it has no momentum.
                    if value is not None:
                        tensors[f"optimizer.{number}.{place}.{key}"] = _local(value)
        return {name: t.contiguous() for name, t in (tensors | weights | average).items()}

    def _metadata(self) -> dict[str, str]:
        if not self._has_weights():
            return {}
        average = self.contents.average.optimization_step
        return {"progress": json.dumps(vars(self.contents.progress)), "average": str(average)}

    def _has_weights(self) -> bool:
        return self.is_sharded or self.accelerator.is_main_process

    def _weights(self) -> dict[str, Tensor]:
        """Weights and buffers where they are, or this process's parts of them, each memory once."""
        found: dict[Any, tuple[str, Tensor]] = {}
        for name, value in self.contents.model.state_dict().items():
            tensor = _local(value)
            memory = (tensor.data_ptr(), tensor.shape, tensor.stride())
            found.setdefault(memory if tensor.numel() else name, (name, tensor))
        return dict(found.values())

    def _file_name(self, index: int | None = None) -> str:
        index = self.accelerator.process_index if index is None else index
        return f"process-{index + 1:05d}-of-{self.accelerator.num_processes:05d}.safetensors"

    # --- reading ----------------------------------------------------------------------------------

    def _found(self) -> list[str]:
        """States by name, newest first; nothing else counts as one."""
        steps = {}
        for path in self.folder.glob("state-*"):
            match = _NAME.fullmatch(path.name)
            if match and path.is_dir():
                steps[path.name] = int(match[1])
        return sorted(steps, key=steps.__getitem__, reverse=True)

    def _refusal(self) -> str | None:
        """Why the newest state is not one of this version's, without damage."""
        for name in self._found()[:1]:
            state = self.folder / name
            if not (state / _MANIFEST).exists() and any(
                path for pattern in _PICKLES for path in state.glob(pattern)
            ):
                return (
                    f"{state} was written by an older version, as files that run code when they "
                    "are read; finish the run with that version, or start another one from its "
                    "exported model"
                )
        return None

    def _fault(self, state: Path) -> str | None:
        """What is wrong with the files that this process reads."""
        try:
            manifest = read_json_object(state / _MANIFEST)
            if (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
                return f"{_MANIFEST} is not of {FORMAT} version {VERSION}"
            if manifest["step"] != int(state.name.removeprefix("state-")):
                return f"{_MANIFEST} is of step {manifest['step']}"
            for name in self._files_to_read(manifest):
                expected, path = manifest["files"][name], state / name
                if path.stat().st_size != expected["bytes"]:
                    return f"{name} has {path.stat().st_size} bytes of {expected['bytes']}"
                if _checksum(path) != expected["sha256"]:
                    return f"the checksum of {name} is another one"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _files_to_read(self, manifest: dict[str, Any]) -> list[str]:
        """Of one process's files those that this one needs; all, where processes are others."""
        if manifest["processes"] != self.accelerator.num_processes:
            return sorted(manifest["files"])
        own = self._file_name()
        return [own] if self.is_sharded else list(dict.fromkeys([self._file_name(0), own]))

    def _load(self, state: Path) -> None:
        manifest = read_json_object(state / _MANIFEST)
        count = self.accelerator.num_processes
        is_same = manifest["processes"] == count
        if manifest["is_sharded"] != self.is_sharded or (self.is_sharded and not is_same):
            kind = "parts of the model" if manifest["is_sharded"] else "the whole model"
            raise ValueError(
                f"{state} is of {manifest['processes']} processes with {kind} each: continue with "
                "as many, as before"
            )
        if not is_same:
            logger.warning(
                "%s is of %d processes, here are %d: dropout is drawn anew",
                state,
                manifest["processes"],
                count,
            )
        first = state / f"process-00001-of-{manifest['processes']:05d}.safetensors"
        own = state / self._file_name()
        self._load_weights(own if self.is_sharded else first)
        if is_same:
            with safe_open(own, framework="pt") as file:
                # Not a dictionary: it cannot be iterated over.
                names = [name for name in file.keys() if name.startswith("random.")]  # noqa: SIM118
                self._random = {name: file.get_tensor(name) for name in names}

    @torch.no_grad()
    def _load_weights(self, path: Path) -> None:
        contents = self.contents
        targets = {f"model.{name}": tensor for name, tensor in self._weights().items()}
        targets |= {f"average.{i}": v for i, v in enumerate(contents.average.shadow_params)}
        memory: list[dict[int, dict[str, Tensor]]] = [{} for _ in contents.optimizers]
        with safe_open(path, framework="pt") as file:
            # Not a dictionary: it cannot be iterated over.
            names = set(file.keys())
            other = targets.keys() ^ {n for n in names if n.startswith(("model.", "average."))}
            if other:
                raise ValueError(f"{path} is of another model: {sorted(other)[0]}")
            for name, target in targets.items():
                value = file.get_tensor(name)
                if (value.shape, value.dtype) != (target.shape, target.dtype):
                    raise ValueError(
                        f"{path}: {name} is {value.dtype} {list(value.shape)}, "
                        f"expected {target.dtype} {list(target.shape)}"
                    )
                target.copy_(value)
            for name in names:
                kind, *rest = name.split(".", 3)
                if kind == "optimizer":
                    number, place, key = int(rest[0]), int(rest[1]), rest[2]
                    memory[number].setdefault(place, {})[key] = file.get_tensor(name)
            metadata = file.metadata()
        for optimizer, states in zip(contents.optimizers, memory, strict=True):
            _load_optimizer(optimizer, states)
        contents.average.optimization_step = int(metadata["average"])
        vars(contents.progress).update(json.loads(metadata["progress"]))

    def _set_aside(self, damaged: list[str]) -> None:
        """Free the names of damaged states, which the run reaches again."""
        if self.accelerator.is_main_process:
            for name in damaged:
                target = self.folder / f"damaged-{name}"
                shutil.rmtree(target, ignore_errors=True)
                os.replace(self.folder / name, target)
        self.accelerator.wait_for_everyone()


def _load_optimizer(optimizer: Any, states: dict[int, dict[str, Tensor]]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    placed = {
        place: {key: _beside(parameters[place], value) for key, value in state.items()}
        for place, state in states.items()
    }
    # The groups are the settings', which the run's record has compared.
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": placed, "param_groups": groups})


def _beside(parameter: Tensor, value: Tensor) -> Tensor:
    """What an optimizer remembers of a parameter: on its device, laid out and divided as it is."""
    local = _local(parameter.detach())
    if value.shape != local.shape:
        return value  # the count of steps
    placed = torch.empty_like(local, dtype=value.dtype).copy_(value)
    if not isinstance(parameter, DTensor):
        return placed
    return DTensor.from_local(
        placed,
        parameter.device_mesh,
        parameter.placements,
        run_check=False,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def _local(value: Tensor) -> Tensor:
    return value.to_local() if isinstance(value, DTensor) else value


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
