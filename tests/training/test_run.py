"""A run is its settings and its step: killed at any moment, it goes on as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional as F

from videorfsplat.training import states as states_module
from videorfsplat.training.optimizers import make_optimizers
from videorfsplat.training.run import RunConfig, TrainingRun, averaged_weights
from videorfsplat.training.step_data import StepRandomness

STEPS = 24
NEVER = 1e9


def settings(output, **changed) -> RunConfig:
    config = {
        "output": str(output),
        "max_steps": STEPS,
        "batch_size": 8,
        "learning_rate": 0.02,
        "warmup_steps": 4,
        "ema_decay": 0.8,
        "seed": 3,
        "log_every": 3,
        "save_minutes": NEVER,
    }
    return RunConfig(**{**config, **changed})


def toy_run(config: RunConfig, **details) -> TrainingRun:
    """Two optimizers and dropout: momenta and the global random state must come back as well."""
    torch.manual_seed(config.seed)
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.2), nn.Tanh(), nn.Linear(16, 1))
    optimizers = make_optimizers("muon", model, config)
    return TrainingRun(config, model, optimizers, details)


def toy_draw(randomness: StepRandomness) -> torch.Tensor:
    return randomness.randn(8, 4)


def toy_loss(run: TrainingRun, pause: float = 0.0, stop_at: int | None = None):
    def loss(inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        if run.step == stop_at:
            raise KeyboardInterrupt
        time.sleep(pause)
        squared = F.mse_loss(run.model(inputs)[:, 0], inputs.sin().sum(1))
        return {"loss": squared, "root": squared.sqrt()}

    return loss


def train_toy(output, pause: float = 0.0, stop_at: int | None = None, **changed):
    """Everything that a finished run leaves: weights, averaged weights, log without clock times."""
    run = toy_run(settings(output, **changed))
    run.train(toy_draw, toy_loss(run, pause, stop_at))
    weights = [p.detach().clone() for p in run.model.parameters()]
    with averaged_weights(run):
        averages = [p.detach().clone() for p in run.model.parameters()]
    return weights, averages, read_log(output)


def read_log(output) -> list[dict]:
    lines = [json.loads(line) for line in Path(output, "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if "seconds" not in k} for line in lines]


def assert_same(found, expected):
    for one, two in zip(found[0] + found[1], expected[0] + expected[1], strict=True):
        assert torch.equal(one, two)
    assert found[2] == expected[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train_toy(tmp_path_factory.mktemp("uninterrupted"))


def test_a_killed_run_goes_on_exactly(uninterrupted, tmp_path):
    here = Path(__file__)
    code = f"import {here.stem}; {here.stem}.train_toy({str(tmp_path)!r}, 0.1, save_minutes=0.0)"
    path = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 3):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    states = sorted(path.name for path in tmp_path.glob("state-*"))
    assert 1 <= len(states) <= 3
    assert f"state-{STEPS:07d}" not in states
    assert_same(train_toy(tmp_path), uninterrupted)


def test_what_was_logged_after_the_last_state_is_logged_once(uninterrupted, tmp_path):
    train_toy(tmp_path, max_steps=10)  # ends between two log lines, and saves
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path, stop_at=17)
    assert [line["step"] for line in read_log(tmp_path)] == [3, 6, 9, 12, 15]
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 1')  # killed while writing
    assert_same(train_toy(tmp_path), uninterrupted)


def test_a_kill_while_saving_loses_one_state_only(uninterrupted, tmp_path, monkeypatch):
    real = os.replace

    def dying(source, target):
        if Path(target).name == f"state-{9:07d}":
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(states_module.os, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        train_toy(tmp_path, save_minutes=0.0)
    assert (tmp_path / "unfinished-state").exists()
    monkeypatch.undo()
    run = toy_run(settings(tmp_path))
    assert run.step == 8
    assert_same(train_toy(tmp_path), uninterrupted)
    assert not (tmp_path / "unfinished-state").exists()


def test_two_states_are_kept(tmp_path):
    train_toy(tmp_path, max_steps=5, save_minutes=0.0)
    states = sorted(path.name for path in tmp_path.glob("state-*"))
    assert states == ["state-0000004", "state-0000005"]


def test_a_finished_run_stays_as_it_is(tmp_path):
    first = train_toy(tmp_path, max_steps=4)
    assert_same(train_toy(tmp_path, max_steps=4), first)


@pytest.mark.parametrize("changed", [{"learning_rate": 0.5}, {"seed": 4}])
def test_refuses_a_folder_of_a_run_with_other_settings(tmp_path, changed):
    train_toy(tmp_path, max_steps=3)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(ValueError, match=f"other settings .*{next(iter(changed))}: .*→"):
        train_toy(tmp_path, max_steps=3, **changed)
    assert (tmp_path / "config.json").read_bytes() == before


def test_refuses_other_details_but_takes_tuples_for_lists(tmp_path):
    toy_run(settings(tmp_path), data="a", layers=(1, 2))
    toy_run(settings(tmp_path, max_steps=99, log_every=7), data="a", layers=(1, 2))
    assert json.loads((tmp_path / "config.json").read_text())["max_steps"] == 99
    with pytest.raises(ValueError, match="data: a → b"):
        toy_run(settings(tmp_path), data="b", layers=(1, 2))


def test_a_run_from_before_a_setting_existed_has_its_default(tmp_path):
    toy_run(settings(tmp_path), data="a")
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["accumulation_steps"], config["tracker"]
    path.write_text(json.dumps(config))

    def again(speed: int, **changed) -> TrainingRun:
        config = settings(tmp_path, **changed)
        model = nn.Linear(4, 1)
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.1)]
        return TrainingRun(config, model, optimizers, {"data": "a", "speed": speed}, {"speed": 1})

    with pytest.raises(ValueError, match="accumulation_steps: 1 → 2"):
        again(1, accumulation_steps=2)
    with pytest.raises(ValueError, match="speed: 1 → 2"):
        again(2)
    assert again(1).step == 0
    assert json.loads(path.read_text())["speed"] == 1


def test_accumulation_takes_the_step_of_the_whole_batch(tmp_path):
    def train(parts: int) -> tuple[list[torch.Tensor], list[dict]]:
        config = settings(tmp_path / str(parts), accumulation_steps=parts, mixed_precision="bf16")
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        run = TrainingRun(config, model, [torch.optim.SGD(model.parameters(), lr=0.1)])

        def loss(inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            assert len(inputs) == 8 // parts
            # Outside of the model, so that everything is in float32.
            return {"loss": (inputs @ model.weight.T + model.bias).square().mean()}

        run.train(toy_draw, loss)
        return [p.detach() for p in model.parameters()], read_log(tmp_path / str(parts))

    whole, parts = train(1), train(4)
    for one, two in zip(whole[0], parts[0], strict=True):
        torch.testing.assert_close(one, two)
    for one, two in zip(whole[1], parts[1], strict=True):
        assert two == pytest.approx(one, rel=1e-3)  # logged with five digits


def test_the_log_goes_to_a_tracker_too(tmp_path):
    _, _, log = train_toy(tmp_path, max_steps=6, tracker="tensorboard")
    events = EventAccumulator(str(tmp_path / "videorfsplat")).Reload()
    for name in ("loss", "root", "grad_norm"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        # The log has five digits.
        assert found == [(line["step"], pytest.approx(line[name], rel=1e-4)) for line in log]


def test_the_average_is_the_exponential_one_and_is_taken_back(tmp_path):
    run = toy_run(settings(tmp_path, max_steps=12))
    history = []
    loss = toy_loss(run)

    def watched(inputs):
        history.append([p.detach().clone() for p in run.model.parameters()])
        return loss(inputs)

    run.train(toy_draw, watched)
    final = [p.detach().clone() for p in run.model.parameters()]
    expected = history[0]
    for index, weights in enumerate([*history[1:], final]):
        decay = min(1 - (1 + index) ** -0.75, 0.8)
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    with averaged_weights(run) as model:
        assert not model.training
        for one, two in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(one.detach(), two, rtol=1e-5, atol=1e-6)
        assert (model[0].weight - final[0]).abs().max() > 1e-4
    assert run.model.training
    for one, two in zip(run.model.parameters(), final, strict=True):
        assert torch.equal(one, two)


def test_sheets_show_the_averaged_model(tmp_path):
    run = toy_run(settings(tmp_path, max_steps=6))
    seen = []

    def sheet(path):
        assert not torch.is_grad_enabled()
        seen.append((path.name, run.model[0].weight.clone()))

    run.train(toy_draw, toy_loss(run), sheet)
    (name, weight) = seen[0]
    assert name == "sheet-0000006.png"
    with averaged_weights(run):
        assert torch.equal(run.model[0].weight, weight)


def test_the_learning_rate_rises_stays_and_falls(tmp_path):
    run = toy_run(settings(tmp_path, max_steps=12, warmup_steps=4, decay_steps=4))
    loss, rates = toy_loss(run), []

    def watched(inputs):
        rates.append([o.param_groups[0]["lr"] / 0.02 for o in run.optimizers])
        return loss(inputs)

    run.train(toy_draw, watched)
    expected = [0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    assert rates == [pytest.approx([rate] * 2) for rate in expected]


def test_stops_at_a_loss_that_is_not_finite(tmp_path):
    run = toy_run(settings(tmp_path))

    before = [p.detach().clone() for p in run.model.parameters()]

    def loss(inputs):
        return {"loss": run.model(inputs).sum() / 0}

    with pytest.raises(FloatingPointError, match="step 0"):
        run.train(toy_draw, loss)
    for one, two in zip(run.model.parameters(), before, strict=True):
        assert torch.equal(one, two)
    assert not list(tmp_path.glob("state-*"))


def test_processes_share_one_batch():
    def drawn(index, number):
        randomness = StepRandomness(torch.Generator().manual_seed(5), index, number)
        rows = [float(torch.rand((), generator=g)) for g in randomness.generators(6)]
        return randomness.randn(6, 2), randomness.rand(6), randomness.indices(100, 6), rows

    whole, parts = drawn(0, 1), [drawn(index, 2) for index in range(2)]
    for value, one, two in zip(whole, *parts, strict=True):
        value, one, two = (torch.as_tensor(x) for x in (value, one, two))
        assert torch.equal(value[0::2], one)
        assert torch.equal(value[1::2], two)
    assert len(set(whole[-1])) == 6


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"max_steps": 0}, "at least 1, got 0 and 8"),
        ({"batch_size": 0}, "at least 1, got 24 and 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"accumulation_steps": 0}, "accumulation_steps must be at least 1, got 0"),
        ({"data_workers": -1}, "data_workers must be at least 0, got -1"),
    ],
)
def test_rejects_bad_settings(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **changed)
