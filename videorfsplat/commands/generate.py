"""`generate`: a sentence becomes a scene folder, or a list of sentences a folder of scenes."""

import argparse
import logging
from collections import deque
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videorfsplat.commands import Command, table
from videorfsplat.generation.checkpoint import few_step_settings, find_model
from videorfsplat.generation.memory import DTYPES, OFFLOADS, MemorySettings
from videorfsplat.generation.prompt_list import PromptList, read_prompts
from videorfsplat.generation.record import StageClock, merge_seconds, peak_memory_mb
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.language.choices import LISTS
from videorfsplat.rendering.kernel_compilation import start_compiling

if TYPE_CHECKING:
    from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline

logger = logging.getLogger(__name__)

_DESCRIPTION = (
    "Make a 3D Gaussian scene from a sentence. The folder gets scene.ply, transforms.json, "
    "frames/, depths.safetensors, scene.json and preview.mp4. With --prompts, every line of a file "
    "becomes a folder in OUTPUT and a line in OUTPUT/scenes.jsonl; several processes share the "
    "work (accelerate launch -m videorfsplat generate …), and what is finished is skipped."
)

# What decides a scene's files beside its settings.
_DECIDING_ARGUMENTS = ("lora", "dtype", "fp8", "latents", "no_video")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    default = {field.name: field.default for field in fields(GenerationSettings)}
    parser.add_argument("prompt", nargs="?", help="what the scene shows")
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="instead of PROMPT: a file with a prompt a line, or .jsonl with settings a line",
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write")

    def option(name: str, setting: str, kind: type, text: str) -> None:
        parser.add_argument(
            name,
            dest=setting,
            type=kind,
            metavar=name.lstrip("-").split("-")[-1].upper(),
            help=text if default[setting] is None else f"{text} (default: {default[setting]})",
        )

    option("--seed", "seed", int, "of the noise")
    option("--steps", "num_inference_steps", int, "denoising steps")
    option("--pose-offset", "pose_offset", float, "δ: lead of cameras over images, -1 to 1")
    option("--guidance-scale", "guidance_scale", float, "text → images; 1 is off")
    option("--pose-guidance-scale", "pose_guidance_scale", float, "text → cameras; 1 is off")
    option("--camera-guidance-scale", "camera_guidance_scale", float, "cameras → images; 1 is off")
    option(
        "--trajectory",
        "trajectory",
        str,
        "a preset such as orbit_left, or cameras in any unit and number, of which eight are taken "
        "evenly along the path: transforms.json, .npz, .tum, .glb, .html, COLMAP folder or .zip, "
        "RealEstate10K; the scene has the unit of the file",
    )
    option(
        "--unit",
        "camera_unit",
        float,
        "distance from the first camera to the subject in the unit of the trajectory's file "
        "(default: estimated from the path)",
    )
    option("--model", "model", str, "mini, the folder of a saved pipeline, or a hub id")
    parser.add_argument(
        "--few-step",
        action="store_true",
        help="use the model's few-step variant, whose own steps, δ and guidance are then the "
        "defaults: several times as fast",
    )
    parser.add_argument(
        "--no-completion",
        action="store_false",
        dest="complete",
        help="draw the prompt as it is: the seed fills in nothing that it leaves open",
    )
    parser.add_argument(
        "--choose",
        action="append",
        default=[],
        metavar="ATTRIBUTE=VALUE",
        help="what shall be otherwise than the prompt says or the seed would have it, such as "
        "ground=snow; without a value it is left to the seed",
    )
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
    parser.add_argument(
        "--strict", action="store_true", help="refuse a trajectory with a bad camera"
    )
    parser.add_argument("--no-video", action="store_true", help="write no preview.mp4")
    parser.add_argument(
        "--latents", action="store_true", help="write latents.safetensors, for train decoder"
    )
    _add_memory(parser.add_argument_group("for large models"))


def _add_memory(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--lora", help="LoRA weights for the image stream: folder or hub id")
    group.add_argument("--dtype", choices=DTYPES, default="float32", help="default: float32")
    group.add_argument(
        "--offload",
        choices=OFFLOADS,
        default="none",
        help="keep idle weights on the CPU: whole parts (model), or single layers (group)",
    )
    group.add_argument("--fp8", action="store_true", help="transformer's weights in 8 bits")
    group.add_argument("--tiling", action="store_true", help="decode frames singly, in tiles")
    group.add_argument("--compile", action="store_true", help="compile the transformer's blocks")


def _memory(args: argparse.Namespace) -> MemorySettings:
    return MemorySettings(**{f.name: getattr(args, f.name) for f in fields(MemorySettings)})


def _run(args: argparse.Namespace) -> dict[str, Any]:
    if (args.prompt is None) == (args.prompts is None):
        raise ValueError("give either a prompt or --prompts FILE")
    base = _settings(args)
    prompts = [base] if args.prompts is None else read_prompts(args.prompts, base)
    find_model(base.model)
    from videorfsplat.formats.files import check_can_write
    from videorfsplat.generation.scene import check_scene_folder

    # Of a list of prompts each has a folder of its own in this one.
    check = check_scene_folder if args.prompts is None else check_can_write
    check(args.output)
    left_out = {}
    for name in {settings.trajectory for settings in prompts if settings.trajectory is not None}:
        from videorfsplat.generation.camera_paths import load_camera_path

        if problems := load_camera_path(name, strict=args.strict).left_out:
            left_out[name] = problems
    start_compiling()
    report = _generate_one(base, args) if args.prompts is None else _generate_many(prompts, args)
    return report | ({"cameras_left_out": left_out} if left_out else {})


def _settings(args: argparse.Namespace) -> GenerationSettings:
    """What is asked for, completed by defaults; of the few-step variant they are its own."""
    names = [field.name for field in fields(GenerationSettings) if field.name != "choices"]
    given = {name: getattr(args, name) for name in names}
    given |= {"choices": _choices(args.choose)}
    given = {name: value for name, value in given.items() if value is not None}
    if args.prompts is not None:
        # Lines of a file bring their own prompts: this one only completes the settings.
        given["prompt"] = "-"
    if args.few_step:
        given = few_step_settings(given.get("model", GenerationSettings.model)) | given
    return GenerationSettings(**given)


def _choices(words: list[str]) -> dict[str, str | list[str] | None]:
    """Choices by attribute; several values of one are given by a comma."""
    choices: dict[str, str | list[str] | None] = {}
    for word in words:
        name, _, value = word.partition("=")
        is_list = name in LISTS
        choices[name] = (value.split(",") if is_list else value) if value else None
    return choices


def _load(
    settings: GenerationSettings, device: str, args: argparse.Namespace
) -> "VideoRFSplatPipeline":
    from videorfsplat.generation.loading import load_pipeline

    return load_pipeline(
        settings.model, device, _memory(args), args.lora, few_step=settings.few_step
    )


def _generate_one(settings: GenerationSettings, args: argparse.Namespace) -> dict[str, Any]:
    clock = StageClock()
    pipeline = _load(settings, args.device, args)
    clock.lap("load")
    return _make_scene(pipeline, settings, args.output, args, clock)


def _generate_many(prompts: list[GenerationSettings], args: argparse.Namespace) -> dict[str, Any]:
    made_with = {name: getattr(args, name) for name in _DECIDING_ARGUMENTS}
    todo = PromptList(args.output, prompts, made_with)
    from accelerate import PartialState

    state = PartialState(cpu=args.device == "cpu")
    device = str(state.device) if args.device == "auto" else args.device
    pipeline = _load(prompts[0], device, args)
    pipeline.set_progress_bar_config(disable=True)

    def generate(settings: GenerationSettings, folder: Path) -> dict[str, Any]:
        return _make_scene(pipeline, settings, folder, args, StageClock())

    lines = []
    for line in todo.run(generate, state.process_index, state.num_processes):
        logger.info("%s: %s", line["scene"], line.get("error", line["settings"]["prompt"]))
        lines.append(line)
    return {
        "output": str(args.output),
        "scenes": len(prompts),
        "finished": len(todo.finished()),
        "made_by_this_process": sum("error" not in line for line in lines),
        "errors": {line["scene"]: line["error"] for line in lines if "error" in line},
    }


def _make_scene(
    pipeline: "VideoRFSplatPipeline",
    settings: GenerationSettings,
    folder: Path,
    args: argparse.Namespace,
    clock: StageClock,
) -> dict[str, Any]:
    """Generate and save one scene; the clock holds what was done before."""
    from safetensors.torch import save

    from videorfsplat.formats.files import write_file
    from videorfsplat.formats.video import save_video
    from videorfsplat.generation.generate import stream_scene
    from videorfsplat.generation.preview import preview_cameras, render_frames
    from videorfsplat.generation.scene import LATENTS_NAME, PREVIEW_NAME, Scene
    from videorfsplat.pipeline_output import DenoisingStep

    last_step, scene = deque(stream_scene(pipeline, settings), maxlen=2)
    assert isinstance(last_step, DenoisingStep)
    assert isinstance(scene, Scene)
    clock.skip()
    film = None
    if not args.no_video:
        gaussians = scene.gaussians.to(pipeline.device)
        film = render_frames(gaussians, preview_cameras(scene.cameras))
        clock.lap("preview")
    stages = merge_seconds(scene.record["seconds"], clock.seconds())
    record = scene.record | {"seconds": stages, "peak_memory_mb": peak_memory_mb()}
    replace(scene, record=record).save(folder)
    if film is not None:
        save_video(film, folder / PREVIEW_NAME)
    if args.latents:
        latents = last_step.latents[0].float().cpu().contiguous()
        write_file(folder / LATENTS_NAME, save({"latents": latents}))
    clock.lap("save")
    return {
        "scene": str(folder),
        "num_gaussians": len(scene.gaussians),
        "seconds": merge_seconds(scene.record["seconds"], clock.seconds()),
        "peak_memory_mb": peak_memory_mb(),
        "seed": settings.seed,
        "settings": record["settings"],
        "cameras_residual": record["cameras_residual"],
        "unit": record["unit"],
    }


def _describe(report: dict[str, Any]) -> str:
    if "errors" in report:
        errors = [f"failed: {scene}: {error}" for scene, error in report["errors"].items()]
        done = f"{report['finished']} of {report['scenes']} scenes are in {report['output']}"
        return "\n".join([done, *errors])
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in report["seconds"].items())
    residual = report["cameras_residual"]
    return table(
        {
            "scene": report["scene"],
            "Gaussians": f"{report['num_gaussians']:,}",
            "seconds": seconds,
            "peak memory": f"{report['peak_memory_mb']:.0f} MB",
            "cameras": "given" if residual is None else f"generated, ray residual {residual:.4f}",
        }
    )


main = Command("videorfsplat generate", _DESCRIPTION, _add_arguments, _run, _describe).main
