"""`data`: make training data."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, chosen_word, table

_KINDS = {
    "worlds": "render procedural scenes",
    "captions": "write captions and what they state, for the text encoder",
    "preview": "draw a sheet of procedural scenes to look at",
}


def main(words: Sequence[str]) -> int:
    """Run one of the kinds of `data`."""
    kind = chosen_word("videorfsplat data", "Make training data.", _KINDS, words)
    return _COMMANDS[kind].main(words[1:])


def _add_worlds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, type=Path, help="folder of the shards")
    parser.add_argument("--scenes", required=True, type=int, help="number of scenes")
    parser.add_argument("--first-seed", type=int, default=0, help="of the scenes (default: 0)")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (default: 96)")
    parser.add_argument("--views", type=int, default=8, help="views a scene (default: 8)")
    parser.add_argument("--novel", type=int, default=0, help="views beside those (default: 0)")
    parser.add_argument("--processes", type=int, default=1, help="at once (default: 1)")


def _run_worlds(args: argparse.Namespace) -> dict[str, Any]:
    if args.views < 1 or args.novel < 0 or args.size < 8:
        raise ValueError(
            "expected at least 1 view, 0 novel views and 8 pixels a side, "
            f"got {args.views}, {args.novel} and {args.size}"
        )
    from videorfsplat.data.worlds.dataset import write_worlds

    written = write_worlds(
        args.output,
        args.first_seed,
        args.scenes,
        num_views=args.views,
        size=args.size,
        extra_views=args.novel,
        processes=args.processes,
    )
    return {"output": str(args.output), "scenes": args.scenes, "written": written}


def _add_captions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, type=Path, help=".jsonl file to write")
    parser.add_argument("--worlds", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--per-world", type=int, default=4, help="captions of each (default: 4)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the worlds (default: 0)")


def _run_captions(args: argparse.Namespace) -> dict[str, Any]:
    if min(args.worlds, args.per_world) < 1 or args.first_seed < 0:
        raise ValueError(
            "expected at least 1 world, 1 caption of each and a seed of at least 0, "
            f"got {args.worlds}, {args.per_world} and {args.first_seed}"
        )
    from videorfsplat.training.text_encoder import write_captions

    args.output.parent.mkdir(parents=True, exist_ok=True)
    write_captions(args.output, args.first_seed, args.worlds, args.per_world)
    return {"output": str(args.output), "captions": args.worlds * args.per_world}


def _add_preview(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, type=Path, help=".png file to write")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(range(8)), help="default: 0 to 7"
    )


def _run_preview(args: argparse.Namespace) -> dict[str, Any]:
    if min(args.seeds) < 0:
        raise ValueError(f"seeds must be at least 0, got {min(args.seeds)}")
    from videorfsplat.data.worlds.dataset import preview_sheet

    preview_sheet(args.seeds, args.output)
    return {"output": str(args.output), "seeds": args.seeds}


_COMMANDS = {
    "worlds": Command(
        "videorfsplat data worlds",
        "Render procedural scenes into shards. A run that was stopped goes on when called again.",
        _add_worlds,
        _run_worlds,
        table,
    ),
    "captions": Command(
        "videorfsplat data captions",
        "Write captions of procedural worlds with what they state, as JSON lines.",
        _add_captions,
        _run_captions,
        table,
    ),
    "preview": Command(
        "videorfsplat data preview",
        "Draw a sheet of procedural scenes, a row each, with their captions.",
        _add_preview,
        _run_preview,
        table,
    ),
}
