"""`gpu-check`: everything that only a GPU can prove."""

import argparse
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, table

_DESCRIPTION = (
    "Check and measure everything that only a GPU can prove: the rasteriser against its reference, "
    "generation, memory settings, training and resume, steps at full size with random weights, and "
    "a burst of training for the minutes that are left. Each result is a line of checks.jsonl as "
    "soon as it is there. Asks no network. On a CPU it runs at toy size, to prove that it runs."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, help="folder to write")
    parser.add_argument(
        "--minutes", type=float, default=8.0, help="begin nothing after these (default: 8)"
    )
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
    parser.add_argument(
        "--needs", action="store_true", help="only list what this machine lacks for the checks"
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    if not args.needs and args.output is None:
        raise ValueError("--output is missing: name a folder to write, or ask for --needs")
    if not args.minutes > 0:
        raise ValueError(f"minutes must be positive, got {args.minutes}")
    if args.needs:
        from videorfsplat.evaluation.gpu_check import missing_parts

        return missing_parts() or {"nothing": "is missing"}
    from videorfsplat.formats.files import check_can_write

    check_can_write(args.output)
    from videorfsplat.evaluation.gpu_check import check_gpu
    from videorfsplat.generation.loading import choose_device

    return check_gpu(args.output, args.minutes, choose_device(args.device))


main = Command("videorfsplat gpu-check", _DESCRIPTION, _add_arguments, _run, table).main
