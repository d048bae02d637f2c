"""One of two processes of a toy run in which something goes wrong on one of them: a program."""

import sys
import time
from pathlib import Path

import torch
from accelerate import PartialState
from torch import nn

from videorfsplat.training.optimizers import make_optimizers
from videorfsplat.training.run import RunConfig, TrainingRun
from videorfsplat.training.step_data import StepRandomness

SAVES = "saves.txt"


def main() -> None:
    fault, output, period, wanted = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    is_second = PartialState(cpu=True).process_index == 1
    if fault == "clock" and is_second:
        real = time.monotonic
        # Starts elsewhere and runs faster: it passes every limit at other steps.
        time.monotonic = lambda: 1000 + 1.37 * real()
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    config = RunConfig(
        output, max_steps=10**6, batch_size=4, log_every=50, save_minutes=period / 60
    )
    run = TrainingRun(config, model, make_optimizers("adamw", model, config))
    saves = []
    save = run.states.save

    def counted() -> None:
        save()
        saves.append(run.step)
        if not is_second:
            Path(output, SAVES).write_text("\n".join(map(str, saves)))
        if len(saves) == wanted:
            # Both leave after the same save, if both have saved together.
            run.config = RunConfig(output, max_steps=run.step, batch_size=4)

    object.__setattr__(run.states, "save", counted)

    def draw(randomness: StepRandomness) -> torch.Tensor:
        if fault == "data" and is_second:
            raise ValueError("this scene cannot be read")
        return randomness.randn(4, 4)

    def loss(inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        error = run.model(inputs).square().mean()
        if fault == "loss" and is_second and run.step == 3:
            error = error / 0
        if fault == "clock":
            time.sleep(0.005)
        return {"loss": error}

    try:
        run.train(draw, loss)
    except (ValueError, FloatingPointError) as error:
        Path(output, f"error-{int(is_second)}.txt").write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
