"""Settings that are refused, bars, metrics.json, plots and tables."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from videorfsplat.evaluation.reports import (
    BARS,
    Source,
    add_to_metrics,
    check_bars,
    source_commit,
    write_model_card,
)
from videorfsplat.evaluation.settings import EvaluationSettings
from videorfsplat.evaluation.suites.ablation import (
    AXES,
    PLOTTED,
    STEP_ERRORS,
    draw_scenes,
    plot_axis,
    plot_oscillation,
    write_tables,
)
from videorfsplat.sampling.settings import Sampling

ABLATION = Path(__file__).parents[2] / "examples/ablation"


@pytest.fixture
def settings(toy_models, tmp_path) -> EvaluationSettings:
    return EvaluationSettings(tmp_path / "out", model="mini", probe=toy_models.probe)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"suites": ("beauty",)}, "suites must be among autoencoder, .*'beauty'"),
        ({"suites": ()}, "suites must be among"),
        ({"prompts": 1}, "prompts must be a whole number from 2 to 100000, got 1"),
        ({"seed": -1}, "seed must be a whole number from 0 to 1000, got -1"),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to 4096, got 0"),
    ],
)
def test_settings_refuse(settings, changed, complaint):
    with pytest.raises(ValueError, match=complaint):
        dataclasses.replace(settings, **changed)


def test_settings_refuse_paths_that_do_not_fit(settings, tmp_path):
    with pytest.raises(ValueError, match="holds no attribute probe"):
        dataclasses.replace(settings, probe=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.txt: no such file"):
        dataclasses.replace(settings, suites=("hub",), prompt_file=tmp_path / "gone.txt")
    (tmp_path / "file").touch()
    for name in ("output", "figures", "metrics"):
        paths = {name: tmp_path / "file" / "in" / "it"}
        with pytest.raises(ValueError, match="file is a file, expected a folder"):
            dataclasses.replace(settings, **paths)
    for name in ("output", "figures"):
        paths = {name: tmp_path / "file"}
        with pytest.raises(ValueError, match="is a file, expected a folder"):
            dataclasses.replace(settings, **paths)
    with pytest.raises(ValueError, match="pose_offset must lie between"):
        Sampling(pose_offset=2.0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no prompt; write one a line"),
        (b" \n\n", "holds no prompt; write one a line"),
        ("ein häßliches Haus".encode("latin-1"), "is no text in UTF-8 .* choose another"),
    ],
)
def test_settings_refuse_a_prompt_file_without_prompts(settings, tmp_path, content, complaint):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"prompts\.txt {complaint}"):
        dataclasses.replace(settings, suites=("hub",), prompt_file=path)
    with pytest.raises(ValueError, match="is no text in UTF-8"):
        dataclasses.replace(settings, suites=("hub",), prompt_file=tmp_path)


def test_settings_refuse_real_images_without_pictures(settings, tmp_path):
    folder = tmp_path / "real"
    (folder / "below").mkdir(parents=True)
    (folder / "notes.txt").touch()
    (folder / "below" / "a.png").touch()
    with pytest.raises(ValueError, match=r"real holds 1 pictures, expected at least 2 .*another"):
        dataclasses.replace(settings, suites=("hub",), real_images=folder)
    with pytest.raises(ValueError, match=r"a\.png is a file, expected a folder of real images"):
        dataclasses.replace(settings, suites=("hub",), real_images=folder / "below" / "a.png")
    (folder / "b.jpeg").touch()
    dataclasses.replace(settings, suites=("hub",), real_images=folder)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("metrics.json", "[]", "expected a JSON object, got list"),
        ("metrics.json", "{", "not JSON"),
        ("metrics.json", '{"sources": []}', "sources is no object"),
        ("metrics.json", '{"sources": {"kind": {}}}', "the entry kind of sources is damaged"),
        ("metrics.json", '{"reports": {"kind": 1}}', "the entry kind of reports is damaged"),
        (
            "metrics.json",
            '{"sources": {"kind": {"command": "c", "commit": null}}}',
            "kind has a source and no value",
        ),
        ("history.json", "{", "not JSON"),
        ("history.json", '{"title": "A model"}', "summary is missing"),
        (
            "history.json",
            '{"title": "A", "summary": "B", "stages": ["training"], "limits": []}',
            "no history of a model",
        ),
    ],
)
def test_settings_refuse_metrics_that_cannot_be_added_to(
    settings, tmp_path, name, content, complaint
):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=f"(?s){path}: {complaint}.*; mend or delete that file"):
        dataclasses.replace(settings, metrics=tmp_path / "metrics.json")
    path.unlink()
    dataclasses.replace(settings, metrics=tmp_path / "metrics.json")
    with pytest.raises(ValueError, match=r"Is a directory.*; mend or delete"):
        dataclasses.replace(settings, metrics=tmp_path)


def test_a_bar_is_met_on_its_side_only():
    met = {name: bar.limit for name, bar in BARS.items()}
    assert all(entry["met"] for entry in check_bars(met))
    missed = {n: b.limit + (-0.01 if b.is_least else 0.01) for n, b in BARS.items()}
    assert not any(entry["met"] for entry in check_bars(missed))
    assert check_bars({"kind": None, "given_cameras_rotation_degrees": 3.0}) == [
        {"name": "kind", "value": None, "at_least": 0.85, "met": False}
    ]


def report(**metrics):
    return {
        "metrics": metrics,
        "suites": {name: {"value": value} for name, value in metrics.items()},
        "command": "python -m videorfsplat evaluate",
        "commit": "c0ffee",
        "weights": "f1",
    }


def test_metrics_of_other_suites_stay(tmp_path):
    path = tmp_path / "metrics.json"
    add_to_metrics(path, report(autoencoder_psnr=30.123456, kind=None))
    add_to_metrics(path, {**report(kind=0.9), "commit": "f00d"})
    content = json.loads(path.read_text())
    assert (content["autoencoder_psnr"], content["kind"]) == (30.12, 0.9)
    assert content["sources"]["autoencoder_psnr"]["commit"] == "c0ffee"
    assert content["sources"]["kind"]["commit"] == "f00d"
    assert content["reports"]["kind"]["value"] == 0.9
    # What other weights had is no longer true.
    add_to_metrics(path, {**report(kind=0.8), "weights": "f2"})
    content = json.loads(path.read_text())
    assert content["kind"] == 0.8
    for entries in (content["sources"], content["reports"]):
        assert entries.keys() == {"kind"}
    assert "autoencoder_psnr" not in content
    path.write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object"):
        add_to_metrics(path, report(kind=0.9))


def test_the_command_names_what_decides_the_figures(settings):
    changed = dataclasses.replace(settings, suites=("decoder",), prompts=5, seed=3)
    words = changed.command.split()
    assert words[:4] == ["python", "-m", "videorfsplat", "evaluate"]
    assert words[4:12] == ["--suite", "decoder", "--prompts", "5", "--seed", "3", "--model", "mini"]
    assert "--dtype" not in words
    assert "--dtype bfloat16" in dataclasses.replace(settings, dtype="bfloat16").command
    assert "--compile" not in words
    assert "--compile" in dataclasses.replace(settings, compile=True).command
    hub = dataclasses.replace(settings, suites=("hub",), real_images=ABLATION)
    assert hub.command.count("--real-images") == 1
    # Where the run wrote is of no interest to others.
    assert str(settings.output) not in words


def test_a_commit_is_forty_digits_or_unknown():
    commit = source_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40


def test_axes_change_one_setting_and_hold_the_default():
    assert [axis.values for axis in AXES[:1]] == [(-0.4, -0.2, -0.1, 0.0, 0.1, 0.2, 0.4)]
    for axis in AXES:
        assert axis.baseline in axis.values
        assert axis.sampling(axis.baseline) == axis.base
        for value in axis.values:
            changed = vars(axis.sampling(value)).items() - vars(axis.base).items()
            assert {name for name, _ in changed} <= {axis.setting}
    assert AXES[0].num_prompts(256) == 256
    assert {axis.num_prompts(256) for axis in AXES[1:]} == {64}


def figure(value, spread=0.1):
    return {"value": value, "low": value - spread, "high": value + spread}


def points():
    """Three points, of which the last differs from the default; one figure is undefined."""
    undefined = {"value": None, "low": None, "high": None}
    return [
        {
            "value": value,
            "scenes": 7,
            "figures": dict.fromkeys(PLOTTED, figure(0.5)) | {"motion_direction": undefined},
            "differences": dict.fromkeys(PLOTTED, figure(shift)),
        }
        for value, shift in ((-0.2, 0.0), (0.2, 0.05), (0.4, 1.0))
    ]


def test_plots_and_tables_are_written(tmp_path):
    plot_axis(AXES[0], points(), tmp_path / "new" / "delta.png")
    with Image.open(tmp_path / "new" / "delta.png") as picture:
        assert picture.size == (1100, 600)
        # Lines and letters are there.
        assert len(picture.convert("L").getcolors(1 << 24) or []) > 10
    steps = {name: [1.0, 0.5] for name in ("t_image", *STEP_ERRORS)}
    plot_oscillation({0.0: steps, 0.2: steps}, tmp_path / "oscillation.png")
    assert (tmp_path / "oscillation.png").stat().st_size > 0
    commit = f"{'c0ffee' * 6}c0ff-dirty"
    source: Source = {
        "command": "python -m videorfsplat evaluate",
        "commit": commit,
        "weights": "f1",
    }
    write_tables({AXES[0]: points()}, source, tmp_path / "tables.md")
    title, given, *_ = (tmp_path / "tables.md").read_text().split("\n\n")
    assert title == "# Ablation"
    assert given == (
        "Given by `python -m videorfsplat evaluate`, commit c0ffeec0ffee-dirty, weights f1."
    )
    rows = [line for line in (tmp_path / "tables.md").read_text().splitlines() if "| 7 |" in line]
    assert len(rows) == 3
    assert "*" not in rows[0] + rows[1]
    assert rows[2].count("0.5 [0.4, 0.6]*") == len(PLOTTED) - 1
    assert rows[2].count("–") == 1


def test_scenes_are_drawn_as_bordered_rows(tmp_path):
    views = torch.full((2, 3, 16, 16), 0.5)
    draw_scenes([("δ", views), ("a wide sentence", views)], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        # Two views fit six letters, so the sentence takes three lines.
        assert sheet.size == (2 * 22, 2 * 22 + (1 + 3) * 16)
        assert sheet.getpixel((11, 16 + 11)) == (128, 128, 128)
        assert sheet.getpixel((1, 17)) != sheet.getpixel((23, 17))


HISTORY = {
    "title": "A model",
    "summary": "It draws houses.",
    "stages": [{"part": "autoencoder", "what": "small", "data": "worlds", "training": "2 steps"}],
    "limits": ["Houses only."],
}


def test_a_model_card_tells_history_and_figures(tmp_path):
    (tmp_path / "history.json").write_text(json.dumps(HISTORY))
    assert "Nothing yet." in write_model_card(tmp_path).read_text()
    add_to_metrics(tmp_path / "metrics.json", report(autoencoder_psnr=29.5, probe_fd_ratio=None))
    card = write_model_card(tmp_path).read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "\nfrom videorfsplat import VideoRFSplatPipeline\n" in card
    assert "| autoencoder | small | worlds | 2 steps |" in card
    assert "| autoencoder_psnr | 29.5 | ≥ 30 | **no** | c0ffee |" in card
    assert "| probe_fd_ratio | undefined | ≤ 3 | **no** | c0ffee |" in card
    assert "\n    python -m videorfsplat evaluate\n" in card
    assert "- Houses only." in card


@pytest.mark.parametrize(
    ("commit", "shown"),
    [
        ("0123456789abcdef" * 2 + "01234567-dirty", "0123456789ab-dirty"),
        ("0123456789abcdef" * 2 + "01234567", "0123456789ab"),
        (None, "unknown"),
    ],
)
def test_a_model_card_says_that_code_was_changed(tmp_path, commit, shown):
    (tmp_path / "history.json").write_text(json.dumps(HISTORY))
    add_to_metrics(tmp_path / "metrics.json", {**report(kind=0.9), "commit": commit})
    assert f"| yes | {shown} |" in write_model_card(tmp_path).read_text()


def test_a_model_card_needs_a_whole_history(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_model_card(tmp_path)
    (tmp_path / "history.json").write_text("[]")
    with pytest.raises(ValueError, match="expected a JSON object, got list"):
        write_model_card(tmp_path)
    (tmp_path / "history.json").write_text(json.dumps({"title": "A model"}))
    with pytest.raises(ValueError, match=r"history\.json: summary is missing"):
        write_model_card(tmp_path)
    assert not (tmp_path / "README.md").exists()
