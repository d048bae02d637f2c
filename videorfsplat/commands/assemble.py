"""`assemble`: one pipeline folder out of trained parts."""

import argparse
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, table
from videorfsplat.sampling.schedules import check_shift

# What each option gives: parts of a pipeline, by their names there.
_PARTS = {
    "autoencoder": ("vae",),
    "text-encoder": ("tokenizer", "text_encoder"),
    "transformer": ("transformer",),
    "decoder": ("gaussian_decoder",),
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    for option, parts in _PARTS.items():
        what = "it" if len(parts) == 1 else f"`{'` and `'.join(parts)}`"
        text = f"folder of {what}, or folder or hub id of a pipeline that has it"
        parser.add_argument(f"--{option}", required=True, help=text)
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    for option, times in (("shift", "image"), ("pose-shift", "pose")):
        text = f"of the timetable's {times} times (default: that of the transformer's training)"
        parser.add_argument(f"--{option}", type=float, help=text)
    parser.add_argument(
        "--solver",
        choices=("unipc", "euler"),
        default="unipc",
        help="of both streams (default: unipc, which needs half the steps of euler)",
    )
    parser.add_argument(
        "--dtype",
        choices=("float16", "bfloat16", "float32"),
        default="float16",
        help="of the stored weights (default: float16)",
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    for shift in (args.shift, args.pose_shift):
        if shift is not None:
            check_shift(shift)
    folders = _find_parts(args)
    import torch

    from videorfsplat.training.assemble import assemble_pipeline

    folder = assemble_pipeline(
        args.output,
        shift=args.shift,
        pose_shift=args.pose_shift,
        solver=args.solver,
        dtype=getattr(torch, args.dtype),
        **folders,
    )
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return {"model": str(folder), "megabytes": round(size / 1e6, 1)}


def _find_parts(args: argparse.Namespace) -> dict[str, Path]:
    """Folder of each part, by its name in a pipeline."""
    from videorfsplat.models.published import component_folder, text_folder

    folders = {}
    for option, parts in _PARTS.items():
        source = getattr(args, option.replace("-", "_"))
        find = component_folder if len(parts) == 1 else text_folder
        try:
            folders |= {part: find(source, part) for part in parts}
        except ValueError as error:
            raise ValueError(f"--{option}: {error}") from error
    return folders


main = Command(
    "videorfsplat assemble",
    "Put trained parts together into one pipeline folder, which `--model` takes.",
    _add_arguments,
    _run,
    table,
).main
