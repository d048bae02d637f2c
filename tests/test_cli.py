"""The command line, run in this process on the real classes at toy size."""

import dataclasses
import inspect
import json
import re
import shutil
import socket
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from safetensors.torch import load_file
from tiny import NUM_VIEWS, save_tiny_few_step, tiny_pipeline

from videorfsplat.__main__ import COMMANDS, main
from videorfsplat.commands.train import add_settings, settings_from_args
from videorfsplat.formats.ply import load_ply, save_ply
from videorfsplat.formats.splat_formats import load_splats
from videorfsplat.generation import checkpoint
from videorfsplat.generation.generate import generate_scene, stream_scene
from videorfsplat.generation.loading import load_pipeline
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.pipeline_output import DenoisingStep
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.sampling.guidance import plan_branches
from videorfsplat.sampling.settings import GuidanceScales
from videorfsplat.sampling.solvers import scheduler_shift
from videorfsplat.training.flow_matching import TimeDistribution
from videorfsplat.training.joint import JointTraining

PROMPT = "a red house by the lake"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    save_tiny_few_step(folder)
    return folder


@pytest.fixture(scope="module")
def scene_folder(model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "scene"
    words = ["generate", PROMPT, "--output", str(folder), "--model", str(model)]
    assert main([*words, "--steps", "2", "--no-video"]) == 0
    return folder


def run_json(capsys, *words: str | Path | int) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check_refused(capsys, *words: str | Path | int) -> str:
    """The one line on standard error."""
    try:
        code = main([*map(str, words)])
    except SystemExit as error:
        code = error.code
    printed = capsys.readouterr()
    # Bars of what was loaded before are drawn over one another, on lines of their own.
    lines = [line for line in re.split(r"[\r\n]", printed.err) if line.strip() and "%|" not in line]
    assert (code, printed.out, len(lines)) == (2, "", 1), printed.err
    assert lines[0].startswith("error: ")
    return lines[0]


# --- start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["--help"], *([name, "--help"] for name in COMMANDS), ["generate", " ", "--output", "x"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_help_and_first_refusals_load_no_heavy_library(words):
    code = (
        "import sys\n"
        "from videorfsplat.__main__ import main\n"
        f"try: main({words!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'numba'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("words", [[], ["paint"], ["generate"], ["data", "paint"], ["train"]])
def test_words_that_are_not_understood_get_one_line(capsys, words):
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_in_use_gets_one_line_before_anything_is_loaded(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        line = check_refused(capsys, "page", "--port", other.getsockname()[1])
    assert "cannot be used" in line
    assert "must lie in" in check_refused(capsys, "page", "--port", 70_000)


@pytest.mark.parametrize(
    ("words", "variable", "is_shown"),
    [
        ([], None, False),
        ([], "0", False),
        ([], "", False),
        ([], "1", True),
        (["--verbose"], None, True),
        (["--verbose"], "0", True),
    ],
)
def test_a_traceback_is_shown_on_request_only(capsys, monkeypatch, words, variable, is_shown):
    monkeypatch.delenv("VIDEORFSPLAT_VERBOSE", raising=False)
    if variable is not None:
        monkeypatch.setenv("VIDEORFSPLAT_VERBOSE", variable)
    assert main([*words, "export", "no-such-scene", "--output", "x.ply"]) == 2
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert "no-such-scene" in lines[-1]
    assert ("Traceback (most recent call last):" in lines) == is_shown
    assert len(lines) == 1 or is_shown
    assert printed.out == ""


# --- generate -------------------------------------------------------------------------------------


def test_generate_writes_the_scene_and_prints_one_json_object(model, tmp_path, capsys):
    output = tmp_path / "new" / "scene"
    report = run_json(
        capsys, "generate", PROMPT, "--output", output, "--model", model, "--steps", 2, "--seed", 7
    )
    scene = Scene.load(output)
    names = {path.name for path in output.iterdir()}
    assert names == {
        "scene.ply",
        "transforms.json",
        "frames",
        "depths.safetensors",
        "scene.json",
        "preview.mp4",
    }
    assert report["scene"] == str(output)
    assert report["num_gaussians"] == len(scene.gaussians) > 0
    assert report["seed"] == report["settings"]["seed"] == 7
    assert report["cameras_residual"] >= 0
    assert report["peak_memory_mb"] > 100
    stages = dict(report["seconds"])
    # Each stage is rounded to a millisecond.
    assert stages.pop("total") == pytest.approx(sum(stages.values()), abs=0.01)
    assert stages.keys() >= {"load", "text", "denoise", "decode"}
    settings = GenerationSettings.from_dict(scene.record["settings"])
    assert settings == GenerationSettings(PROMPT, 7, num_inference_steps=2, model=str(model))
    assert scene.record["versions"]["torch"] == torch.__version__


def test_generate_follows_given_cameras(model, tmp_path, capsys, scene_folder):
    transforms = scene_folder / "transforms.json"
    words = ["--trajectory", transforms, "--model", model, "--steps", 1, "--no-video"]
    report = run_json(capsys, "generate", PROMPT, "--output", tmp_path / "scene", *words)
    assert report["cameras_residual"] is None
    cameras, given = Scene.load(tmp_path / "scene").cameras, Scene.load(scene_folder).cameras
    # Poses pass through the file in double and the pipeline in single precision.
    torch.testing.assert_close(cameras.viewmats, given.viewmats, atol=1e-5, rtol=1e-5)


def test_stream_ends_with_the_scene_that_the_seed_fixes(model):
    pipeline = load_pipeline(str(model), "cpu")
    pipeline.set_progress_bar_config(disable=True)
    settings = GenerationSettings(PROMPT, seed=3, num_inference_steps=2)
    *steps, scene = stream_scene(pipeline, settings)
    assert [type(step) for step in steps] == [DenoisingStep] * 2
    assert isinstance(scene, Scene)
    again = generate_scene(pipeline, settings)
    other = generate_scene(pipeline, dataclasses.replace(settings, seed=4))
    assert (scene.frames == again.frames).all()
    assert (scene.frames != other.frames).any()
    # The same prompt through the pipeline's own entrance.
    generator = torch.Generator().manual_seed(3)
    output = pipeline(prompt=PROMPT, num_inference_steps=2, generator=generator)
    assert torch.equal(output.gaussians[0].means, scene.gaussians.means)


def test_settings_have_the_defaults_of_the_pipeline():
    parameters = inspect.signature(VideoRFSplatPipeline.stream).parameters
    shared = {f.name: f.default for f in dataclasses.fields(GenerationSettings)}
    del shared["prompt"]
    common = shared.keys() & parameters.keys()
    assert len(common) == 6
    assert {name: parameters[name].default for name in common} == {n: shared[n] for n in common}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([""], "prompt must not be empty"),
        (["a" * 10_000], "got 10000"),
        (["a", "--guidance-scale", "nan"], "guidance_scale must be a finite number"),
        (["a", "--pose-guidance-scale", "nan"], "pose_guidance_scale must be a finite number"),
        (["a", "--camera-guidance-scale", "inf"], "camera_guidance_scale must be a finite number"),
        (["a", "--camera-guidance-scale", "-1"], "camera_guidance_scale must be at least 0"),
        (["a", "--pose-offset", "1.5"], "pose_offset must lie between -1 and 1"),
        (["a", "--pose-offset", "nan"], "pose_offset must be a finite number"),
        (["a", "--steps", "0"], "num_inference_steps must be a whole number from 1"),
        (["a", "--steps", "two"], "invalid int value"),
        (["a", "--seed", "-1"], "seed must be a whole number from 0"),
        (["a", "--model", "no/such/folder"], "no model"),
        (["a", "--model", "."], "model_index.json is missing"),
        (["a", "--model", "mini"], "the bundled model is missing"),
        (["a", "--trajectory", "loop"], "unknown trajectory 'loop'"),
        (["a", "--trajectory", "gone.json"], "no such file"),
        (["a", "--device", "abacus"], "unknown device"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_generate_refuses(model, tmp_path, capsys, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "MINI_CHECKPOINT", tmp_path / "gone")
    chosen = words if "--model" in words else [*words, "--model", model]
    line = check_refused(capsys, "generate", *chosen, "--output", tmp_path / "scene")
    assert complaint in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_generate_refuses_corrupt_weights(model, tmp_path, capsys, part):
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (weights,) = (broken / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    words = ["generate", "a", "--output", tmp_path / "scene", "--model", broken]
    assert "cannot load the model" in check_refused(capsys, *words)
    assert not (tmp_path / "scene").exists()


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_generate_refuses_weights_that_are_missing_or_pickled(model, tmp_path, capsys, part):
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (weights,) = (broken / part).glob("*.safetensors")
    name = "pytorch_model.bin" if part == "text_encoder" else "diffusion_pytorch_model.bin"
    torch.save(load_file(weights), broken / part / name)
    weights.unlink()
    words = ["generate", "a", "--output", tmp_path / "scene", "--model", broken]
    assert "cannot load the model" in check_refused(capsys, *words)
    assert not (tmp_path / "scene").exists()


def test_generate_refuses_folders_that_cannot_take_a_scene(model, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "transforms.json").write_text("{}")
    words = ["generate", "a", "--model", model, "--output"]
    assert "is a file" in check_refused(capsys, *words, tmp_path / "file" / "scene")
    assert "would be lost" in check_refused(capsys, *words, tmp_path / "data")
    assert (tmp_path / "data" / "transforms.json").read_text() == "{}"


def test_generate_refuses_cameras_that_are_no_rotations(model, scene_folder, tmp_path, capsys):
    content = json.loads((scene_folder / "transforms.json").read_text())
    content["frames"][1]["transform_matrix"][0][0] += 0.5
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    words = ["--output", tmp_path / "scene", "--model", model, "--trajectory", path, "--strict"]
    assert "not a rotation" in check_refused(capsys, "generate", "a", *words)
    content["frames"] = content["frames"][1:2]
    path.write_text(json.dumps(content))
    assert "not a rotation" in check_refused(capsys, "generate", "a", *words)
    assert not (tmp_path / "scene").exists()


# --- render and export ----------------------------------------------------------------------------


def test_render_writes_pictures_and_films(scene_folder, tmp_path, capsys):
    report = run_json(capsys, "render", scene_folder, "--output", tmp_path / "views", "--width", 64)
    assert report["num_frames"] == len(list((tmp_path / "views").glob("*.png"))) == NUM_VIEWS
    assert report["width"] / report["height"] == pytest.approx(1.5, abs=0.05)
    film, ply = tmp_path / "film.mp4", scene_folder / "scene.ply"
    words = ["--trajectory", "orbit_left", "--frames", 3, "--width", 32]
    assert run_json(capsys, "render", ply, "--output", film, *words)["num_frames"] == 3
    assert film.stat().st_size > 0


def test_export_writes_what_the_suffix_says(scene_folder, tmp_path, capsys):
    gaussians = load_ply(scene_folder / "scene.ply")
    report = run_json(capsys, "export", scene_folder, "--output", tmp_path / "scene.glb")
    assert report["num_gaussians"] == len(gaussians)
    assert (tmp_path / "scene.glb").read_bytes()[:4] == b"glTF"
    ply, splat = scene_folder / "scene.ply", tmp_path / "scene.splat"
    run_json(capsys, "export", ply, "--output", splat)
    # .splat keeps centres in float32.
    assert torch.equal(load_splats(splat).means, gaussians.means)
    for source in (scene_folder, ply):
        run_json(capsys, "export", source, "--output", tmp_path / "scene.html")
        assert (
            '<script type="text/plain" id="embedded-scene">'
            in (tmp_path / "scene.html").read_text()
        )
    line = check_refused(capsys, "export", ply, "--output", tmp_path / "scene.tum")
    assert "holds Gaussians only" in line


@pytest.mark.parametrize("count", [1, 2, NUM_VIEWS + 2])
def test_generate_follows_paths_of_any_number_and_unit_and_names_what_it_left_out(
    model, scene_folder, tmp_path, capsys, count
):
    content = json.loads((scene_folder / "transforms.json").read_text())
    content["k1"] = 0.02
    frames = (content["frames"] * 3)[:count]
    content["frames"] = [*frames, {"transform_matrix": "none"}]
    path = tmp_path / "path.json"
    path.write_text(json.dumps(content))
    words = ["--trajectory", path, "--unit", 2.5, "--model", model, "--steps", 1, "--no-video"]
    report = run_json(capsys, "generate", PROMPT, "--output", tmp_path / "scene", *words)
    assert report["unit"] == 2.5
    assert len(report["cameras_left_out"][str(path)]) == 1
    scene = Scene.load(tmp_path / "scene")
    assert scene.cameras.num_views == NUM_VIEWS
    assert scene.record["unit"] == 2.5


def test_render_frames_presets_to_splats_of_any_place_and_size(scene_folder, tmp_path, capsys):
    gaussians = load_ply(scene_folder / "scene.ply")
    far = dataclasses.replace(gaussians, opacities=gaussians.opacities * 0 + 0.9).scaled(0.01)
    far.means[:] += 100
    table = tmp_path / "far.ply"
    save_ply(far, table)
    words = ["--trajectory", "orbit_left", "--output", tmp_path / "renders_v1.2"]
    report = run_json(capsys, "render", table, *words)
    assert not report["is_black"]
    assert (report["width"], report["height"]) == (512, 512)
    assert len(list((tmp_path / "renders_v1.2").glob("*.png"))) == 8


def test_bad_gaussians_are_counted_and_refused_on_request(scene_folder, tmp_path, capsys):
    ply = plyfile.PlyData.read(str(scene_folder / "scene.ply"))
    table = np.array(ply["vertex"].data)
    table["x"][2] = np.nan
    path = tmp_path / "bad.ply"
    plyfile.PlyData([plyfile.PlyElement.describe(table, "vertex")]).write(str(path))
    words = ["export", path, "--output", tmp_path / "out.ply", "--sh-degree", 3]
    report = run_json(capsys, *words)
    assert (report["dropped_gaussians"], report["flat_gaussians"]) == (1, 0)
    assert report["num_gaussians"] == len(table) - 1
    assert "not finite" in check_refused(capsys, *words, "--strict")


def test_a_ply_that_is_not_3dgs_is_refused(tmp_path, capsys):
    path, output = tmp_path / "points.ply", tmp_path / "out"
    points = np.zeros(3, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    plyfile.PlyData([plyfile.PlyElement.describe(points, "vertex")]).write(str(path))
    words = ["render", path, "--output", output, "--trajectory", "orbit_left"]
    assert "not a 3DGS PLY" in check_refused(capsys, *words)
    line = check_refused(capsys, "export", path, "--output", output.with_suffix(".spz"))
    assert "not a 3DGS PLY" in line
    assert [entry.name for entry in tmp_path.iterdir()] == ["points.ply"]


# --- info, bench, data, train ---------------------------------------------------------------------


def test_info_counts_the_full_model_without_its_memory(capsys):
    report = run_json(capsys, "info", "--config", "full")
    parameters = report["parameters"]
    assert parameters.keys() == {
        "transformer",
        "vae",
        "text_encoder",
        "gaussian_decoder",
        "total",
    }
    # The published size of the encoder of google/t5-v1_1-xxl.
    assert parameters["text_encoder"] == 4_762_310_656
    # Mochi alone has 10 billion.
    assert 10e9 < parameters["transformer"] < 11e9
    assert parameters["total"] == sum(parameters.values()) - parameters["total"]
    cost = report["cost"]
    default = GenerationSettings("a house")
    assert cost["num_inference_steps"] == default.num_inference_steps
    scales = (default.guidance_scale, default.pose_guidance_scale, default.camera_guidance_scale)
    assert cost["guidance_branches"] == len(plan_branches(GuidanceScales(*scales)).branches)
    assert cost["tflop_per_scene"] > cost["num_inference_steps"] * cost["tflop_per_step"] > 0
    # What is resident holds all weights in two bytes; what is kept elsewhere is not counted.
    for stage, size in cost["peak_gigabytes"]["resident"].items():
        assert size > 2e-9 * parameters["total"]
        assert cost["peak_gigabytes"]["resident, fp8 transformer"][stage] < size
        assert cost["peak_gigabytes"]["parts offloaded"][stage] < size
        assert cost["peak_gigabytes"]["layers offloaded"][stage] < size
    seconds = cost["seconds"]
    assert seconds["H100 80 GB"]["resident"] > 0
    assert seconds["RTX 4090 24 GB"]["resident"].startswith("needs ")
    assert seconds["RTX 4090 24 GB"]["layers offloaded"] > seconds["H100 80 GB"]["layers offloaded"]
    assert any("40% of the data sheet" in text for text in cost["assumptions"])


def test_info_counts_a_saved_model(model, capsys):
    parameters = run_json(capsys, "info", "--config", model)["parameters"]
    pipeline = tiny_pipeline()
    for name in ("transformer", "vae", "text_encoder", "gaussian_decoder"):
        part = getattr(pipeline, name)
        assert parameters[name] == sum(p.numel() for p in part.parameters())


def test_bench_reports_speed_and_stages(model, capsys):
    words = ["--gaussians", 200, "--size", 16, "--repeats", 1, "--model", model]
    report = run_json(capsys, "bench", *words, "--euler-steps", 3)
    speedup = report["rasterizer_speedup_over_torch"]
    assert speedup.keys() == {"forward", "backward"}
    assert speedup["forward"] > 0
    generation = report["generation"]
    stages = {"text", "denoise", "decode", "render", "save", "total"}
    for run in (generation, generation["euler"], generation["few_step"]):
        assert run["seconds"].keys() == stages
        assert min(run["seconds"].values()) >= 0
        assert run["seconds"]["denoise"] > 0
    for name, steps in (("euler", 3), ("few_step", 2)):
        other = generation[name]
        assert other["num_inference_steps"] == steps
        ratio = other["seconds"]["total"] / generation["seconds"]["total"]
        assert other["times_default"] == pytest.approx(ratio, abs=0.01)
    assert "euler_steps must lie in" in check_refused(capsys, "bench", "--euler-steps", -1)


def test_data_writes_worlds_and_captions(tmp_path, capsys):
    words = ["--output", tmp_path / "worlds", "--scenes", 1, "--views", 2, "--size", 16]
    assert run_json(capsys, "data", "worlds", *words)["written"] == 1
    assert len(list((tmp_path / "worlds").glob("*.safetensors"))) == 1
    captions = tmp_path / "captions.jsonl"
    run_json(capsys, "data", "captions", "--output", captions, "--worlds", 2, "--per-world", 3)
    assert len(captions.read_text().splitlines()) == 6
    line = check_refused(capsys, "data", "worlds", "--output", tmp_path / "no", "--scenes", 0)
    assert "at least 1" in line
    assert not (tmp_path / "no").exists()


def test_train_has_an_option_for_every_setting():
    parser = ArgumentParser()
    add_settings(parser, JointTraining)
    words = (
        "--output run --max-steps 9 --batch-size 4 --learning-rate 0.5 --data worlds "
        "--autoencoder vae --text-encoder text --size 96 --pose-clean 0.3 --init old"
    )
    model = '{"num_layers": 2}'
    settings = settings_from_args(
        JointTraining, parser.parse_args([*words.split(), "--model", model])
    )
    assert (settings.run.max_steps, settings.run.learning_rate) == (9, 0.5)
    assert (settings.times.pose_clean, settings.times.pose_noise) == (0.3, 0.15)
    assert (settings.size, settings.init, settings.model) == (96, "old", {"num_layers": 2})
    assert settings.num_views == JointTraining.num_views


def test_train_refuses_missing_data(tmp_path, capsys):
    words = ["--max-steps", "1", "--batch-size", "1"]
    paths = ["--output", tmp_path / "run", "--data", tmp_path / "gone"]
    assert "no worlds-" in check_refused(capsys, "train", "autoencoder", *words, *paths)
    assert not (tmp_path / "run").exists()


def test_assemble_puts_parts_together_again(model, tmp_path, capsys):
    words = ["--autoencoder", model / "vae", "--text-encoder", model]
    words += ["--transformer", model / "transformer", "--decoder", model / "gaussian_decoder"]
    folder = tmp_path / "model"
    report = run_json(capsys, "assemble", *words, "--output", folder, "--dtype", "float32")
    assert report["model"] == str(folder)
    parts, assembled = load_pipeline(str(model)), load_pipeline(str(folder))
    for name in ("vae", "text_encoder", "transformer", "gaussian_decoder"):
        weights = getattr(assembled, name).state_dict()
        for key, value in getattr(parts, name).state_dict().items():
            assert torch.equal(weights[key], value), f"{name}.{key}"
        # Folders of the machine that the parts were trained on are not told.
        assert str(model) not in (folder / name / "config.json").read_text()
    assert len(generate_scene(assembled, GenerationSettings(PROMPT, num_inference_steps=2)).frames)
    assert type(assembled.scheduler) is type(assembled.pose_scheduler) is UniPCMultistepScheduler
    run_json(capsys, "assemble", *words, "--output", tmp_path / "euler", "--solver", "euler")
    assert type(load_pipeline(str(tmp_path / "euler")).scheduler) is FlowMatchEulerDiscreteScheduler


def test_assemble_takes_parts_of_whole_pipelines(model, tmp_path, capsys):
    words = [w for name in ("autoencoder", "text-encoder") for w in (f"--{name}", model)]
    words += ["--transformer", model, "--decoder", model / "gaussian_decoder"]
    folder = tmp_path / "model"
    words += ["--shift", "3", "--dtype", "bfloat16"]
    run_json(capsys, "assemble", *words, "--output", folder)
    parts, assembled = load_pipeline(str(model)), load_pipeline(str(folder))
    assert type(assembled.tokenizer) is type(parts.tokenizer)
    assert assembled.tokenizer(PROMPT)["input_ids"] == parts.tokenizer(PROMPT)["input_ids"]
    weights = assembled.transformer.state_dict()
    for key, value in parts.transformer.state_dict().items():
        assert torch.equal(weights[key], value.bfloat16().to(weights[key])), key
    _, usual = TimeDistribution().shifts(parts.num_views)
    shifts = [scheduler_shift(s) for s in (assembled.scheduler, assembled.pose_scheduler)]
    assert shifts == pytest.approx([3.0, usual], abs=1e-3)  # rounded when assembled


def test_assemble_takes_the_shifts_that_the_transformer_was_trained_with(model, tmp_path, capsys):
    trained = load_pipeline(str(model)).transformer
    trained.register_to_config(timetable_shift=1.5, timetable_pose_shift=7.0)
    trained.save_pretrained(tmp_path / "transformer")
    words = [f"--{option}={model}" for option in ("autoencoder", "text-encoder", "decoder")]
    words.append(f"--transformer={tmp_path / 'transformer'}")
    run_json(capsys, "assemble", *words, "--output", tmp_path / "model", "--pose-shift", 3)
    assembled = load_pipeline(str(tmp_path / "model"))
    shifts = [scheduler_shift(s) for s in (assembled.scheduler, assembled.pose_scheduler)]
    assert shifts == pytest.approx([1.5, 3.0], abs=1e-3)


def test_assemble_refuses_a_shift_that_is_none(tmp_path, capsys):
    words = [w for part in ("autoencoder", "text-encoder") for w in (f"--{part}", tmp_path)]
    words += ["--transformer", tmp_path, "--decoder", tmp_path, "--output", tmp_path / "model"]
    assert "positive number" in check_refused(capsys, "assemble", *words, "--pose-shift", "-2")


def test_assemble_names_the_missing_part(model, tmp_path, capsys):
    words = ["--autoencoder", model / "vae", "--text-encoder", model]
    words += ["--transformer", tmp_path / "none", "--decoder", model / "gaussian_decoder"]
    complaint = check_refused(capsys, "assemble", *words, "--output", tmp_path / "model")
    assert "--transformer" in complaint
    assert not (tmp_path / "model").exists()
