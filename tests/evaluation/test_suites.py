"""Every suite end to end on toy models, by the command that a user types."""

import json

import pytest
import torch
from tiny import NUM_VIEWS
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from videorfsplat.__main__ import main
from videorfsplat.evaluation import figures
from videorfsplat.evaluation.suites import ablation, run_suite
from videorfsplat.evaluation.suites.ablation import Axis
from videorfsplat.sampling.settings import Sampling


@pytest.fixture
def words(toy_models, tmp_path) -> list[str]:
    paths = ["--model", toy_models.model, "--probe", toy_models.probe, "--output", tmp_path / "out"]
    return ["evaluate", "--prompts", "2", "--device", "cpu", *map(str, paths)]


@pytest.fixture(autouse=True)
def short_bootstrap(monkeypatch):
    """Intervals of two scenes mean nothing: a few resamples do."""
    monkeypatch.setattr(figures, "RESAMPLES", 100)


def run_json(capsys, words: list[str]) -> dict:
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def check_figure(figure: dict) -> None:
    assert figure.keys() == {"value", "low", "high"}
    # Two scenes may be far from each other, but an interval is an interval.
    assert figure["low"] <= figure["high"]


@pytest.mark.slow
def test_the_default_suites_report_and_go_on(words, tmp_path, capsys):
    metrics = tmp_path / "metrics.json"
    report = run_json(capsys, [*words, "--metrics", str(metrics)])
    assert report["suites"].keys() == {"autoencoder", "decoder", "generation", "speed"}
    keys = {
        "autoencoder_psnr",
        "decoder_novel_psnr",
        "consistency_psnr",
        "attributes_of_ceiling",
        "motion_direction",
        "probe_fd_ratio",
        "seconds_default",
    }
    content = json.loads(metrics.read_text())
    assert keys <= report["metrics"].keys() <= content.keys()
    assert content["sources"].keys() == report["metrics"].keys()
    decoder, generation = report["suites"]["decoder"], report["suites"]["generation"]
    for source in ("true", "raymap", "estimated"):
        check_figure(decoder[f"{source}_novel_psnr"])
    # The closed-form fit gives the true cameras back.
    fitted, true = decoder["raymap_source_psnr"], decoder["true_source_psnr"]
    assert fitted["value"] == pytest.approx(true["value"], abs=0.01)
    for space in ("probe", "imagenet"):
        assert generation["frechet"][space].keys() == {
            "renders",
            "frames",
            "reconstructions",
            "floor",
        }
    seconds = report["suites"]["speed"]["seconds"]
    assert len(seconds) == 3
    assert min(seconds) > 0
    # What was measured stays as it is: only the time of a generation is taken again.
    again = run_json(capsys, words)
    for suites in (report["suites"], again["suites"]):
        suites.pop("speed")
    assert again["suites"] == report["suites"]
    # Nor does it depend on what was there before.
    anew = run_json(capsys, [*words, "--output", str(tmp_path / "other")])
    anew["suites"].pop("speed")
    assert anew["suites"] == report["suites"]
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["suites"].keys() == report["suites"].keys() | {"speed"}


@pytest.mark.slow
def test_the_few_step_variant_is_measured_by_its_own_sampling(words, tmp_path, capsys):
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    history = {"title": "A model", "summary": "", "stages": [], "limits": []}
    (checkpoint / "history.json").write_text(json.dumps(history))
    metrics = ["--metrics", str(checkpoint / "few_step" / "metrics.json")]
    words = [*words, "--suite", "generation", "speed"]
    report = run_json(capsys, [*words, "--few-step", *metrics])
    sampling = report["suites"]["generation"]["sampling"]
    assert (sampling["num_inference_steps"], sampling["guidance_scale"]) == (2, 1.0)
    assert "--few-step" in report["command"]
    assert "seconds_few_step" in report["metrics"]
    assert "seconds_default" not in report["metrics"]
    card = (checkpoint / "README.md").read_text()
    assert "Nothing yet." in card
    assert "| seconds_few_step |" in card.split("## Measured of the few-step variant")[1]
    # Its weights are others than the model's.
    plain = run_json(capsys, [*words, "--output", str(tmp_path / "plain"), "--suite", "speed"])
    assert plain["weights"] != report["weights"]


@pytest.mark.slow
def test_given_cameras_and_paraphrases(words, capsys):
    report = run_json(capsys, [*words, "--suite", "given-cameras", "paraphrase"])
    errors = report["suites"]["given-cameras"]
    for kind in ("generated", "real"):
        check_figure(errors[kind]["rotation_degrees"])
        assert 0 <= errors[kind]["medians"]["rotation_degrees"] <= 180
    difference = report["suites"]["paraphrase"]["minus_captions"]["attributes"]
    assert report["metrics"]["paraphrase_loss"] == pytest.approx(-100 * difference["value"])


@pytest.mark.slow
def test_the_ablation_pairs_plots_and_draws(evaluation, monkeypatch):
    axes = (
        Axis("delta", "δ", "pose_offset", (-0.2, 0.2), Sampling(), 1.0),
        Axis("steps", "steps", "num_inference_steps", (4, 12), Sampling(), 1.0),
    )
    monkeypatch.setattr(ablation, "AXES", axes)
    monkeypatch.setattr(ablation, "PICTURED_OFFSETS", (0.2, -0.2))
    monkeypatch.setattr(ablation, "OSCILLATION_OFFSETS", (0.2, 0.0))
    report = run_suite("ablation", evaluation).report
    folder = evaluation.output / "figures"
    assert {path.name for path in folder.iterdir()} == {
        "delta.png",
        "steps.png",
        "tables.md",
        "oscillation.png",
        "image-first.jpg",
    }
    given = (folder / "tables.md").read_text().splitlines()[2]
    assert evaluation.settings.command in given
    assert evaluation.model_fingerprint in given
    for axis in axes:
        by_value = {point["value"]: point for point in report["axes"][axis.name]}
        assert by_value.keys() == set(axis.values)
        # The default against itself, scene by scene.
        difference = by_value[axis.baseline]["differences"]["consistency_psnr"]
        assert difference == {"value": 0.0, "low": 0.0, "high": 0.0}
    # Both axes hold the default point, which was generated once.
    assert len(list((evaluation.output / "scenes").iterdir())) == 3
    run = report["oscillation"]["0.2"]
    assert run["t_image"][0] == run["t_pose"][0] == 1.0
    assert len(run["change_degrees"]) == Sampling.num_inference_steps
    assert run["change_degrees"][0] == run["final_degrees"][-1] == 0.0
    # Once the poses are finished the prediction stays.
    finished = run["t_pose"].index(0.0)
    assert max(run["final_degrees"][finished:]) == 0.0
    assert max(run["final_degrees"]) > 0


def tiny_clip(folder) -> None:
    (folder / "vocab.json").write_text(
        json.dumps({"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2})
    )
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=16)
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    CLIPProcessor(image_processor, tokenizer).save_pretrained(folder)
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 3,
        "max_position_embeddings": 16,
        "eos_token_id": 1,
    }
    vision = {**text, "image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(
        folder
    )


def test_hub_metrics_run_where_weights_are_at_hand(words, tmp_path, capsys):
    clip, prompts = tmp_path / "clip", tmp_path / "prompts.txt"
    clip.mkdir()
    tiny_clip(clip)
    prompts.write_text("a tree\n\na car\na cat\n")
    options = ["--suite", "hub", "--clip", str(clip), "--prompt-file", str(prompts)]
    report = run_json(capsys, [*words, *options])["suites"]["hub"]
    assert report["scenes"] == 2
    assert -100 <= report["clip_score"]["value"] <= 100
    assert "--real-images" in report["clean_fid"]["skipped"]
    scenes = list((tmp_path / "out" / "scenes").iterdir())
    assert [path.name.split("-")[0] for path in scenes] == ["prompts"]


def test_hub_metrics_are_skipped_with_a_reason(words, tmp_path, capsys):
    options = ["--suite", "hub", "--clip", str(tmp_path / "gone")]
    report = run_json(capsys, [*words, *options])["suites"]["hub"]
    assert set(report) == {"clip_score", "clean_fid", "brisque", "niqe"}
    assert all(value["skipped"] for value in report.values())
    # Nothing was generated for nothing.
    assert not (tmp_path / "out" / "scenes").exists()
    assert main([*words, *options]) == 0
    assert "skipped" in capsys.readouterr().out


def test_refuses_a_model_whose_views_are_not_square(words, toy_models, tmp_path, capsys):
    from tiny import tiny_pipeline

    tiny_pipeline().save_pretrained(tmp_path / "wide")
    changed = [str(tmp_path / "wide") if w == str(toy_models.model) else w for w in words]
    assert main(changed) == 2
    assert "the worlds are square, the model makes 48×32" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_refuses_a_damaged_probe(words, toy_models, tmp_path, capsys):
    probe = tmp_path / "probe"
    probe.mkdir()
    (probe / "config.json").write_text("{}")
    changed = [str(probe) if w == str(toy_models.probe) else w for w in words]
    assert main(changed) == 2
    assert "cannot load the probe" in capsys.readouterr().err


def test_the_toy_model_has_the_views_that_the_suites_expect(evaluation):
    assert (evaluation.num_views, evaluation.size) == (NUM_VIEWS, 32)
