"""What a step is trained on, drawn from its seed, number and part alone, by processes that run
ahead."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


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


class _Steps(Dataset):
    """Part p of step s is sample s · parts + p."""

    def __init__(
        self,
        draw: Callable[[StepRandomness], Any],
        randomness: Callable[[int, int], StepRandomness],
        parts: int,
    ) -> None:
        self.draw, self.randomness, self.parts = draw, randomness, parts

    def __getitem__(self, index: int) -> Any:
        try:
            return self.draw(self.randomness(*divmod(index, self.parts)))
        # Raised where the step is, in words: a loader would send a traceback.
        except (ValueError, OSError) as error:
            return error


def open_step_data(
    draw: Callable[[StepRandomness], Any],
    randomness: Callable[[int, int], StepRandomness],
    steps: range,
    parts: int,
    workers: int,
    *,
    pin_memory: bool,
) -> DataLoader:
    """What the steps are trained on, in order, part by part; a `ValueError` or `OSError` of drawing
    is among it.

    Args:
        draw: what one part of a step is trained on.
        randomness: of a part of a step.
        steps: to draw for.
        parts: of every step.
        workers: processes that draw ahead, two parts each; 0 draws when asked.
        pin_memory: put tensors where a GPU takes them from while it computes.
    """
    return DataLoader(
        _Steps(draw, randomness, parts),
        batch_size=None,
        sampler=range(steps.start * parts, steps.stop * parts),
        num_workers=workers,
        # Data sets are in memory, which a fork shares.
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_begin_worker,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        # By default the loader takes its seed from torch's generator, which dropout draws from.
        generator=torch.Generator(),
    )


def default_workers(accelerator: Accelerator) -> int:
    """Processes to draw ahead with: this process's share of the cores, up to four, beside a GPU."""
    if accelerator.device.type == "cpu" or not hasattr(os, "fork"):
        return 0
    cores = (os.cpu_count() or 1) // max(accelerator.num_processes, 1)
    return max(1, min(4, cores - 1))


def _begin_worker(_: int) -> None:
    # Ctrl-C reaches the whole group: the training process answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


def _as_it_is(sample: Any) -> Any:
    return sample
