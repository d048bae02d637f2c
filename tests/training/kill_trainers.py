"""Kill every training at random moments, go on, and compare with the run that was left alone.

    PYTHONPATH=.:tests python tests/training/kill_trainers.py --kills 20

Prints for each training how many of its killed runs ended bit for bit like the whole one: exported
models, states with their random numbers, and logs. The trainings are the real ones at toy size.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny import save_tiny_bert, save_tiny_text, tiny_pipeline

from videorfsplat.data.worlds import write_worlds
from videorfsplat.training.autoencoder import AutoencoderTraining, train_autoencoder
from videorfsplat.training.decoder import DecoderTraining, train_decoder
from videorfsplat.training.few_step import FewStepTraining, train_few_step
from videorfsplat.training.joint import JointTraining, train_joint
from videorfsplat.training.run import RunConfig
from videorfsplat.training.teacher_states import Teaching
from videorfsplat.training.text_encoder import TextEncoderTraining, train_text_encoder

STEPS = 6
_MOMENTS_A_KILL = 10
"""Tries to meet a run before it ends."""


def prepare(parts: Path) -> None:
    """Data and models that the trainings start from."""
    torch.manual_seed(0)
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(parts / "pipeline")
    save_tiny_text(parts / "text")
    save_tiny_bert(parts / "bert")
    write_worlds(parts / "worlds", 0, 4, num_views=3, size=16, extra_views=1)
    (parts / "prompts.txt").write_text("a red house\ntwo blue trees by the lake\n")
    (parts / "held-out.jsonl").write_text(json.dumps({"prompt": "a bungalow at cockcrow"}) + "\n")


def _run(output: Path, batch_size: int = 2) -> RunConfig:
    return RunConfig(
        str(output),
        STEPS,
        batch_size,
        warmup_steps=1,
        ema_decay=0.5,
        log_every=2,
        # A state after every step: kills meet the writing too.
        save_minutes=0.0,
        sheet_minutes=None,
    )


def _joint(parts: Path, output: Path) -> Path:
    start = str(parts / "pipeline" / "transformer")
    data, text = str(parts / "worlds"), str(parts / "text")
    vae = str(parts / "pipeline" / "vae")
    return train_joint(
        JointTraining(_run(output), data, vae, text, size=16, num_views=2, init=start)
    )


def _decoder(parts: Path, output: Path) -> Path:
    start = str(parts / "pipeline" / "gaussian_decoder")
    data, vae = str(parts / "worlds"), str(parts / "pipeline" / "vae")
    settings = DecoderTraining(_run(output), data, vae, init=start, depth_steps=2, novel_views=1)
    return train_decoder(settings)


def _autoencoder(parts: Path, output: Path) -> Path:
    start, data = str(parts / "pipeline" / "vae"), str(parts / "worlds")
    return train_autoencoder(AutoencoderTraining(_run(output), data, crop=16, init=start))


def _few_step(parts: Path, output: Path) -> Path:
    prompts, model = str(parts / "prompts.txt"), str(parts / "pipeline")
    teaching = Teaching(num_inference_steps=2, teacher_steps=4)
    return train_few_step(FewStepTraining(_run(output), prompts, model, rank=2, teaching=teaching))


def _text_encoder(parts: Path, output: Path) -> Path:
    settings = TextEncoderTraining(
        _run(output),
        str(parts / "bert"),
        teacher=str(parts / "text"),
        held_out=str(parts / "held-out.jsonl"),
        captions=2,
        vocabulary_size=1500,
        max_length=80,
    )
    return train_text_encoder(settings)


TRAININGS: dict[str, Callable[[Path, Path], Path]] = {
    "joint": _joint,
    "decoder": _decoder,
    "autoencoder": _autoencoder,
    "few-step": _few_step,
    "text-encoder": _text_encoder,
}


def left_by(output: Path) -> dict[str, object]:
    """What a run leaves but for clock times: tensors of its files, and its log."""
    left: dict[str, object] = {}
    for path in sorted(output.rglob("*.safetensors")):
        for name, tensor in load_file(path).items():
            left[f"{path.relative_to(output)}: {name}"] = tensor
    for line in (output / "log.jsonl").read_text().splitlines():
        values = json.loads(line)
        left[f"log {values['step']}"] = {k: v for k, v in values.items() if "seconds" not in k}
    return left


def differences(found: dict[str, object], expected: dict[str, object]) -> list[str]:
    """Names of what is not the same, bit for bit."""

    def same(one: object, two: object) -> bool:
        if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
            return one.dtype == two.dtype and torch.equal(one, two)
        return type(one) is type(two) and one == two

    names = sorted(found.keys() | expected.keys())
    return [name for name in names if not same(found.get(name), expected.get(name))]


def kill_training(name: str, kills: int, seed: int, folder: Path) -> tuple[int, list[str]]:
    """Kill a training so many times, each time anew.

    Returns:
        How many of the runs ended like the whole one, and what differed in the others.
    """
    train, parts, whole = TRAININGS[name], folder / "parts", folder / name / "whole"
    started = time.monotonic()
    _end(_start(train, parts, whole))
    duration = time.monotonic() - started
    expected, moments = left_by(whole), random.Random(f"{name} {seed}")
    survived, faults = 0, []
    for kill in range(kills):
        output = folder / name / f"kill-{kill}"
        for _ in range(_MOMENTS_A_KILL):
            shutil.rmtree(output, ignore_errors=True)
            moment = moments.uniform(0, duration)
            process = _start(train, parts, output)
            time.sleep(moment)
            os.kill(process, signal.SIGKILL)
            if os.WIFSIGNALED(os.waitpid(process, 0)[1]):
                break
        else:
            raise RuntimeError(f"{name} ends sooner than it can be killed")
        states = sorted(path.name for path in output.glob("state-*"))
        _end(_start(train, parts, output))
        differing = differences(left_by(output), expected)
        survived += not differing
        if differing:
            faults.append(f"killed after {moment:.2f} s with {states}: {', '.join(differing[:5])}")
        shutil.rmtree(output)
    return survived, faults


def _start(work: Callable[..., object], *arguments: Path) -> int:
    """Do it in a process of its own, which has all modules and no threads; returns its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        torch.set_num_threads(1)
        work(*arguments)
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end(process: int) -> None:
    _, status = os.waitpid(process, 0)
    if status:
        raise RuntimeError(f"a training ended with status {status}; its message is above")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="*", default=list(TRAININGS), help="default: all")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _end(_start(prepare, folder / "parts"))
        for name in args.trainings:
            survived, faults = kill_training(name, args.kills, args.seed, folder)
            print(f"{name}: {survived} of {args.kills} went on bit for bit", flush=True)
            for fault in faults:
                print(f"  {fault}", flush=True)
            failed = failed or bool(faults)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
