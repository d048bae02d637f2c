"""The parts that full-size training starts from, at toy size and in the published layouts.

Run as a program, this file is one process of a training run: `full_size.py joint SETTINGS.json`.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from diffusers import FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel
from recordings import film, write_colmap, write_nerfstudio, write_realestate10k
from tiny import TEXT_WIDTH, tiny_text_encoder, tiny_tokenizer, tiny_vae

from videorfsplat.data.readers.captions import caption_line
from videorfsplat.data.readers.view_sampling import ViewSampling
from videorfsplat.training.decoder import DecoderTraining, train_decoder
from videorfsplat.training.joint import JointTraining, train_joint
from videorfsplat.training.run import RunConfig

POSE_STREAM = {
    "pose_num_attention_heads": 2,
    "pose_attention_head_dim": 8,
    "pose_num_layers": 2,
    "pose_pooled_projection_dim": 8,
    "exchange_num_heads": 2,
    "exchange_head_dim": 8,
}


def toy_mochi(**changed: Any) -> MochiTransformer3DModel:
    """Mochi's transformer at toy size."""
    torch.manual_seed(0)
    config: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 4,
        "pooled_projection_dim": 16,
        "text_embed_dim": TEXT_WIDTH,
        "time_embed_dim": 16,
        "max_sequence_length": 12,
    }
    mochi = MochiTransformer3DModel(**config | changed).eval()
    torch.nn.init.normal_(mochi.pos_frequencies)  # else zero, and places would not matter
    return mochi


def save_mochi(folder: Path, transformer: MochiTransformer3DModel | None = None) -> None:
    """A toy Mochi pipeline, saved by diffusers itself, its transformer in several shards."""
    tokenizer = tiny_tokenizer()
    pipeline = MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=transformer or toy_mochi(),
    )
    pipeline.save_pretrained(folder, max_shard_size="50KB")


def write_recordings(folder: Path) -> Path:
    """Four recordings in three formats; returns their caption file."""
    write_realestate10k(film(), folder / "clips", "a")
    write_realestate10k(film(), folder / "clips", "b")
    write_nerfstudio(film(), folder / "room")
    write_colmap(film(), folder / "vase")
    captions = folder / "captions.jsonl"
    names = ("clips/train/a", "clips/train/b", "room", "vase")
    lines = [
        caption_line(name, [f"a {word} house"])
        for name, word in zip(names, ("red", "blue", "green", "two"), strict=True)
    ]
    captions.write_text("".join(lines))
    return captions


def launch_two(words: list[str], port: int, **environment: str) -> subprocess.Popen:
    """What `accelerate launch` starts on a machine with two GPUs, on the CPU."""
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    return subprocess.Popen(
        [sys.executable, *launcher, *words],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"} | environment,
        start_new_session=True,
    )


def training_words(part: str, values: dict) -> list[str]:
    """This file as a program, with its settings written beside the run's folder."""
    path = Path(values["run"]["output"]).with_suffix(".json")
    path.write_text(json.dumps(values))
    return [__file__, part, str(path)]


def worker_file(settings: Path, rank: int) -> Path:
    """Where a process of a run writes its number."""
    return settings.with_suffix(f".{rank}.pid")


def kill_two(launcher: subprocess.Popen, settings: Path) -> None:
    """End both processes of a run and their launcher at once, as a power cut does."""
    # The launcher gives every process a session of its own: its group does not hold them.
    workers = [int(worker_file(settings, rank).read_text()) for rank in range(2)]
    for process in (launcher.pid, *workers):
        os.kill(process, signal.SIGKILL)
    launcher.wait()


def pretend_to_have_gpus() -> None:
    """Let accelerate shard the model on CPUs too: torch can, accelerate does not offer it."""
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def main() -> None:
    torch.set_num_threads(1)
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        pretend_to_have_gpus()
    part, path = sys.argv[1:]
    worker_file(Path(path), int(os.environ["RANK"])).write_text(str(os.getpid()))
    settings = json.loads(Path(path).read_text())
    run = RunConfig(**settings.pop("run"))
    if part == "joint":
        train_joint(JointTraining(run, **settings))
    else:
        sampling = ViewSampling(**settings.pop("sampling"))
        train_decoder(DecoderTraining(run, sampling=sampling, **settings))


if __name__ == "__main__":
    main()
