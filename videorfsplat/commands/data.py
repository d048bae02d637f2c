"""`data`: make training data, and check recorded ones."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, chosen_word, table
from videorfsplat.data.readers.view_sampling import ViewSampling

_KINDS = {
    "worlds": "render procedural scenes",
    "captions": "write captions and what they state, for the text encoder",
    "preview": "draw a sheet of procedural scenes to look at",
    "check": "say what is wrong with a folder of recorded scenes",
    "caption": "describe recorded scenes by a vision-language model",
    "cache": "encode recorded scenes and their captions, to be trained on",
}


def main(words: Sequence[str]) -> int:
    """Run one of the kinds of `data`."""
    kind = chosen_word("videorfsplat data", "Make or check training data.", _KINDS, words)
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
    parser.add_argument(
        "--output", required=True, type=Path, help=".jsonl file, or .txt for the captions alone"
    )
    parser.add_argument("--worlds", type=int, default=100_000, help="default: 100000")
    parser.add_argument("--per-world", type=int, default=4, help="captions of each (default: 4)")
    parser.add_argument("--first-seed", type=int, default=0, help="of the worlds (default: 0)")


def _run_captions(args: argparse.Namespace) -> dict[str, Any]:
    if min(args.worlds, args.per_world) < 1 or args.first_seed < 0:
        raise ValueError(
            "expected at least 1 world, 1 caption of each and a seed of at least 0, "
            f"got {args.worlds}, {args.per_world} and {args.first_seed}"
        )
    from videorfsplat.data.worlds.captions import write_captions

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


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    default = ViewSampling()
    parser.add_argument("folder", type=Path, help="of the data set, searched with all below it")
    for name, kind, text in (
        ("num_views", int, "views a scene"),
        ("height", int, "of the frames in pixels"),
        ("width", int, "of the frames in pixels"),
        ("min_baseline", float, "of the views, as a share of their depth or of the whole path"),
        ("max_turn", float, "between neighbouring views in degrees"),
    ):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            default=getattr(default, name),
            help=f"{text} (default: {getattr(default, name)})",
        )


def _sampling(args: argparse.Namespace) -> ViewSampling:
    return ViewSampling(**{f.name: getattr(args, f.name) for f in fields(ViewSampling)})


def _add_check(parser: argparse.ArgumentParser) -> None:
    _add_sampling(parser)
    parser.add_argument("--captions", type=Path, help=".jsonl file that must name every scene")
    parser.add_argument(
        "--decode", action="store_true", help="read every frame, not only the metadata"
    )
    parser.add_argument(
        "--strict", action="store_true", help="a scene with a bad or missing frame is unusable"
    )


def _run_check(args: argparse.Namespace) -> dict[str, Any]:
    sampling = _sampling(args)
    from videorfsplat.data.readers.captions import read_captions
    from videorfsplat.data.readers.check import check_scenes

    captions = None if args.captions is None else read_captions(args.captions)
    folder, strict = str(args.folder), args.strict
    checks = list(check_scenes(folder, sampling, captions, decode=args.decode, strict=strict))
    formats = Counter(check.format for check in checks)
    return {
        "folder": str(args.folder),
        "scenes": len(checks),
        "usable": sum(check.problem is None for check in checks),
        "frames": sum(check.num_frames for check in checks),
        "formats": dict(formats),
        "problems": {check.name: check.problem for check in checks if check.problem},
        "remarks": {check.name: check.remark for check in checks if check.remark},
    }


def _describe_check(report: dict[str, Any]) -> str:
    formats = ", ".join(f"{count} {name}" for name, count in report["formats"].items())
    lines = [
        f"{report['usable']} of {report['scenes']} scenes can be trained on ({formats}; "
        f"{report['frames']:,} frames)",
        *(f"unusable: {problem}" for problem in report["problems"].values()),
        *(f"incomplete: {name}: {remark}" for name, remark in report["remarks"].items()),
    ]
    return "\n".join(lines)


def _add_caption(parser: argparse.ArgumentParser) -> None:
    _add_sampling(parser)
    parser.add_argument("--output", required=True, type=Path, help=".jsonl file to add to")
    parser.add_argument("--model", required=True, help="folder or hub id, for transformers")


def _run_caption(args: argparse.Namespace) -> dict[str, Any]:
    sampling = _sampling(args)
    from videorfsplat.data.readers.folders import find_scenes

    scenes = find_scenes(args.folder)
    import torch
    from accelerate import PartialState

    from videorfsplat.training.captioning import Captioner, caption_scenes

    state = PartialState()
    device = torch.device(state.device or "cpu")
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    left_out = caption_scenes(
        args.output,
        scenes,
        sampling,
        Captioner(args.model, device, dtype),
        process_index=state.process_index,
        num_processes=state.num_processes,
    )
    return {"output": str(args.output), "scenes": len(scenes), "left_out": left_out}


def _add_cache(parser: argparse.ArgumentParser) -> None:
    _add_sampling(parser)
    parser.add_argument("--output", required=True, type=Path, help="folder of the cache")
    parser.add_argument("--captions", required=True, type=Path, help=".jsonl file")
    for name in ("autoencoder", "text-encoder"):
        parser.add_argument(
            f"--{name}", required=True, help="folder of it, or folder or hub id of a pipeline"
        )
    parser.add_argument("--draws", type=int, default=1, help="samples a scene (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="of the views (default: 0)")
    parser.add_argument("--scenes-per-shard", type=int, default=64, help="default: 64")
    parser.add_argument("--verify", action="store_true", help="compare all checksums at the end")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="read every frame first, and encode nothing if one of them or a scene is bad",
    )


def _run_cache(args: argparse.Namespace) -> dict[str, Any]:
    sampling = _sampling(args)
    from videorfsplat.data.readers.captions import read_captions
    from videorfsplat.data.readers.folders import find_scenes

    scenes, captions = find_scenes(args.folder), read_captions(args.captions)
    if args.strict:
        _check_all(str(args.folder), sampling, captions)
    import torch
    from accelerate import PartialState

    from videorfsplat.training.scene_cache import (
        CachePlan,
        SceneCache,
        load_encoders,
        write_scene_cache,
    )

    plan = CachePlan(sampling, args.draws, args.seed, args.scenes_per_shard)
    state = PartialState()
    device = torch.device(state.device or "cpu")
    encoders = load_encoders(args.autoencoder, args.text_encoder, device)
    write_scene_cache(
        args.output,
        scenes,
        captions,
        plan,
        *encoders,
        process_index=state.process_index,
        num_processes=state.num_processes,
    )
    state.wait_for_everyone()
    cache = SceneCache(args.output, encoders[0], verify=args.verify)
    return {
        "output": str(args.output),
        "scenes": len(scenes),
        "samples": len(cache),
        "left_out": {skip["scene"]: skip["reason"] for skip in cache.skipped},
    }


def _check_all(folder: str, sampling: ViewSampling, captions: dict[str, list[str]]) -> None:
    from videorfsplat.data.readers.check import check_scenes

    checks = check_scenes(folder, sampling, captions, decode=True, strict=True)
    problems = [f"{check.name}: {check.problem}" for check in checks if check.problem]
    if problems:
        others = f"; and {len(problems) - 1} other scenes" if len(problems) > 1 else ""
        raise ValueError(f"{problems[0]}{others}")


def _describe_left_out(report: dict[str, Any]) -> str:
    counts = {k: v for k, v in report.items() if k != "left_out"}
    reasons = [f"left out: {name}: {reason}" for name, reason in report["left_out"].items()]
    return "\n".join([table(counts | {"left out": len(reasons)}), *reasons])


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
        "Write captions of procedural worlds: with what they state, as JSON lines, for the text "
        "encoder; or alone, one a line, as prompts.",
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
    "check": Command(
        "videorfsplat data check",
        "Say what is wrong with a folder of recorded scenes: RealEstate10K or ACID clips, "
        "nerfstudio folders (DL3DV), COLMAP folders (MVImgNet).",
        _add_check,
        _run_check,
        _describe_check,
    ),
    "caption": Command(
        "videorfsplat data caption",
        "Describe recorded scenes by a vision-language model of transformers, as JSON lines. "
        "Scenes that have a line are left alone; several processes share the work "
        "(accelerate launch -m videorfsplat data caption …).",
        _add_caption,
        _run_caption,
        _describe_left_out,
    ),
    "cache": Command(
        "videorfsplat data cache",
        "Encode views and captions of recorded scenes into shards that `train joint` reads. "
        "Finished shards are left alone; several processes share the work "
        "(accelerate launch -m videorfsplat data cache …).",
        _add_cache,
        _run_cache,
        _describe_left_out,
    ),
}
