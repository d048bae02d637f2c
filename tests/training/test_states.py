"""Kept states are whole or not there: what the disk, a kill or another run may do to them."""

import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from full_size import launch_two
from safetensors.torch import load_file, save_file
from test_run import STEPS, assert_same, settings, toy_draw, toy_loss, toy_run, train_toy
from torch import nn
from two_processes import SAVES

from videorfsplat.training import run as run_module
from videorfsplat.training import states as states_module
from videorfsplat.training.run import TrainingRun

PROCESS_FILE = "process-00001-of-00001.safetensors"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train_toy(tmp_path_factory.mktemp("uninterrupted"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped at step 8, with states of steps 7 and 8; not to be changed."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.raises(KeyboardInterrupt):
        train_toy(folder, save_minutes=0.0, stop_at=8)
    return folder


@pytest.fixture
def folder(stopped, tmp_path) -> Path:
    shutil.copytree(stopped, tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    return tmp_path / "run"


def test_a_state_is_safetensors_and_json(stopped):
    for state in stopped.glob("state-*"):
        assert sorted(path.name for path in state.iterdir()) == [PROCESS_FILE, "state.json"]
        tensors = load_file(state / PROCESS_FILE)
        assert {"model.0.weight", "average.0", "random.cpu"} <= tensors.keys()
        manifest = json.loads((state / "state.json").read_text())
        assert manifest["files"][PROCESS_FILE]["bytes"] == (state / PROCESS_FILE).stat().st_size


def test_files_have_the_mode_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        train_toy(tmp_path, max_steps=3)
    finally:
        os.umask(before)
    found = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert len(found) == 5  # config, log, lock, and two of the state
    assert {mode for path, mode in found.items() if path.name != ".lock"} == {0o640}


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (PROCESS_FILE, cut),
        (PROCESS_FILE, flip),
        (PROCESS_FILE, lambda path: os.truncate(path, 0)),
        (PROCESS_FILE, os.unlink),
        ("state.json", cut),
        ("state.json", os.unlink),
        ("state.json", lambda path: path.write_text("[]")),
    ],
)
def test_a_damaged_state_costs_the_steps_since_the_one_before(
    uninterrupted, folder, caplog, name, damage
):
    damage(folder / "state-0000008" / name)
    with caplog.at_level(logging.WARNING):
        run = toy_run(settings(folder))
    assert run.step == 7
    assert "state-0000008 is damaged: " in caplog.text
    assert (folder / "damaged-state-0000008").is_dir()
    assert_same(train_toy(folder), uninterrupted)
    assert (folder / f"state-{STEPS:07d}").is_dir()


def test_what_only_looks_like_a_state_is_none(folder):
    (folder / "state-zzz").mkdir()
    (folder / "state-9999999").write_text("")
    assert toy_run(settings(folder)).step == 8


def test_without_a_whole_state_nothing_is_begun_anew(folder):
    for state in folder.glob("state-*"):
        cut(state / PROCESS_FILE)
    log = (folder / "log.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"none of its states is whole \(state-0000008, state-0"):
        toy_run(settings(folder))
    assert (folder / "log.jsonl").read_bytes() == log
    assert (folder / "state-0000008").is_dir()


class _Harmful:
    def __reduce__(self):
        return (os.mkdir, (os.environ["HARMED"],))


def test_states_of_older_versions_are_refused_and_never_run(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HARMED", str(tmp_path / "harmed"))
    state = folder / "state-0000008"
    (state / "state.json").unlink()
    for name in ("custom_checkpoint_0.pkl", "optimizer.bin"):
        (state / name).write_bytes(pickle.dumps(_Harmful()))
    with pytest.raises(ValueError, match="written by an older version, as files that run code"):
        toy_run(settings(folder))
    assert not (tmp_path / "harmed").exists()


def test_the_average_comes_back_where_it_is(folder, monkeypatch):
    """On a GPU its tensors are there: what is read must go into them."""
    made = []

    class Watched(run_module.EMAModel):
        def __init__(self, *args, **kwargs) -> None:
            super().__init__(*args, **kwargs)
            made.extend(self.shadow_params)

    monkeypatch.setattr(run_module, "EMAModel", Watched)
    run = toy_run(settings(folder))
    assert len(made) == 4
    assert all(one is two for one, two in zip(made, run.ema.shadow_params, strict=True))
    kept = load_file(folder / "state-0000008" / PROCESS_FILE)
    assert all(torch.equal(kept[f"average.{i}"], made[i]) for i in range(4))


def test_what_is_made_after_loading_moves_no_randomness(uninterrupted, folder):
    """Networks of a loss are made when the run is there, and draw their first weights."""
    run = toy_run(settings(folder))
    nn.Linear(16, 16)
    run.train(toy_draw, toy_loss(run))
    weights = [p.detach() for p in run.model.parameters()]
    assert all(torch.equal(one, two) for one, two in zip(weights, uninterrupted[0], strict=True))


@pytest.mark.gpu
def test_a_run_goes_on_on_the_gpu(tmp_path):
    expected = train_toy(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path / "run", save_minutes=0.0, stop_at=8)
    assert_same(train_toy(tmp_path / "run"), expected)


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs))


def tied_run(folder: Path, model: nn.Module) -> TrainingRun:
    config = settings(folder, max_steps=3)
    return TrainingRun(config, model, [torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)])


def test_weights_that_layers_share_are_kept_once_and_stay_shared(tmp_path):
    run = tied_run(tmp_path, _Tied())
    run.train(lambda r: r.randn(8, 4), lambda x: {"loss": run.model(x).square().mean()})
    (state,) = tmp_path.glob("state-*")
    kept = load_file(state / PROCESS_FILE)
    assert sum(name.endswith("weight") for name in kept) == 1
    again = tied_run(tmp_path, _Tied())
    assert again.step == 3
    assert again.model.second.weight is again.model.first.weight
    assert torch.equal(again.model.first.weight, run.model.first.weight)
    with pytest.raises(ValueError, match=r"is of another model: average"):
        tied_run(tmp_path, nn.Sequential(nn.Linear(4, 4)))


def test_a_state_of_other_shapes_is_refused(folder):
    path = folder / "state-0000008" / PROCESS_FILE
    tensors = load_file(path)
    tensors["average.0"] = torch.zeros(1, 4)  # would be spread over all rows
    with states_module.safe_open(path, framework="pt") as file:
        save_file(tensors, path, file.metadata())
    manifest = json.loads((folder / "state-0000008/state.json").read_text())
    entry = {"bytes": path.stat().st_size, "sha256": states_module._checksum(path)}
    manifest["files"][PROCESS_FILE] = entry
    (folder / "state-0000008/state.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"average\.0 is torch\.float32 \[1, 4\], expected"):
        toy_run(settings(folder))


def test_a_full_disk_ends_the_run_in_words_and_keeps_what_was_there(
    uninterrupted, folder, monkeypatch
):
    def full(path, tensors, metadata):
        path.parent.mkdir()
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states_module, "write_tensors", full)
    with pytest.raises(OSError, match=r"state of step 9 cannot be kept: .*No space left"):
        train_toy(folder, save_minutes=0.0)
    assert sorted(path.name for path in folder.glob("*state*")) == [
        "state-0000007",
        "state-0000008",
    ]
    monkeypatch.undo()
    assert_same(train_toy(folder), uninterrupted)


HOLDER = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_do_not_share_a_folder(folder, monkeypatch):
    monkeypatch.setattr(run_module, "_SECONDS_TO_WAIT_FOR_A_FOLDER", 0.2)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder / ".lock"], **pipes) as other:
        other.stdout.readline()
        before = {path.name for path in folder.iterdir()}
        with pytest.raises(ValueError, match="another run is at work here"):
            toy_run(settings(folder))
        assert {path.name for path in folder.iterdir()} == before
        other.kill()  # the system releases what a dead process held
    assert toy_run(settings(folder)).step == 8


def test_a_run_goes_on_in_the_precision_that_it_began_in(tmp_path, monkeypatch):
    def on_a_machine_that(has_it: bool) -> TrainingRun:
        name = "videorfsplat.training.precision.multiplies_bfloat16"
        monkeypatch.setattr(name, lambda device: has_it)
        AcceleratorState._reset_state(reset_partial_state=True)
        return toy_run(settings(tmp_path))

    on_a_machine_that(True)
    with pytest.raises(ValueError, match="mixed_precision: bf16 → no"):
        on_a_machine_that(False)
    assert on_a_machine_that(True).step == 0


@pytest.mark.parametrize("content", ["", "[]", '{"step": 3}\nnull\n{"st', '{"step": "x"}\n'])
def test_what_a_power_cut_leaves_of_the_log_stops_nothing(folder, content):
    (folder / "log.jsonl").write_text(content)
    assert toy_run(settings(folder)).step == 8
    kept = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in kept] == ([3] if '"step": 3' in content else [])


@pytest.mark.parametrize("content", ["", "[]", '{"max'])
def test_a_damaged_record_is_named(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json: "):
        toy_run(settings(folder))


def test_drawing_ahead_changes_nothing(uninterrupted, tmp_path):
    """Workers draw what the step would have drawn; dropout's randomness is not theirs."""
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path, save_minutes=0.0, stop_at=5, data_workers=2)
    assert_same(train_toy(tmp_path, data_workers=3), uninterrupted)


def test_what_a_worker_cannot_draw_is_said_in_its_words(tmp_path):
    run = toy_run(settings(tmp_path, data_workers=1))

    def draw(randomness):
        raise ValueError("scene 3 is damaged")

    with pytest.raises(ValueError, match=r"^scene 3 is damaged$"):
        run.train(draw, toy_loss(run))


# --- two processes --------------------------------------------------------------------------------


def two(fault: str, output: Path, period: float, saves: int, port: int) -> None:
    program = str(Path(__file__).with_name("two_processes.py"))
    launcher = launch_two([program, fault, str(output), str(period), str(saves)], port)
    try:
        # A hang is what this is about: alone it takes some 15 s, on a busy machine minutes.
        assert launcher.wait(timeout=900) == 0
    except subprocess.TimeoutExpired:
        os.killpg(launcher.pid, 9)
        pytest.fail("the processes wait for each other")


@pytest.mark.slow
def test_processes_with_different_clocks_save_together(tmp_path):
    two("clock", tmp_path / "run", 0.05, 20, 29640)
    # The last one is asked for once more when the run ends.
    assert len(set((tmp_path / "run" / SAVES).read_text().split())) == 20
    assert len(list((tmp_path / "run").glob("state-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "first", "second"),
    [
        (
            "loss",
            "FloatingPointError: the loss of step 3 is not finite on 1 of 2 processes",
            "FloatingPointError: the loss of step 3 is not finite on 1 of 2 processes",
        ),
        (
            "data",
            "ValueError: another process cannot draw its data; its own message says why",
            "ValueError: this scene cannot be read",
        ),
    ],
)
def test_what_fails_on_one_process_ends_both(tmp_path, fault, first, second):
    two(fault, tmp_path / "run", 1e9, 1, 29641)
    assert (tmp_path / "run/error-0.txt").read_text() == first
    assert (tmp_path / "run/error-1.txt").read_text() == second
