"""Many prompts, many processes: every scene once, whoever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import tiny_pipeline

from videorfsplat.__main__ import main
from videorfsplat.generation.prompt_list import LOG_NAME, PromptList, read_prompts
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings

BASE = GenerationSettings("-", seed=3, num_inference_steps=2)
PROMPTS = [f"a house number {i}" for i in range(5)]


def asked(prompts=PROMPTS) -> list[GenerationSettings]:
    return [GenerationSettings(prompt, 3, num_inference_steps=2) for prompt in prompts]


def made(settings: GenerationSettings, folder: Path) -> dict:
    folder.mkdir(exist_ok=True)
    return {"made": settings.prompt}


def read_log(folder) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / LOG_NAME).read_text().splitlines()]


def test_text_files_have_a_prompt_a_line(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a red house\n\n  ein Häuschen 湖  \n", encoding="utf-8")
    assert [s.prompt for s in read_prompts(path, BASE)] == ["a red house", "ein Häuschen 湖"]
    assert {(s.seed, s.num_inference_steps) for s in read_prompts(path, BASE)} == {(3, 2)}


def test_jsonl_files_have_settings_a_line(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a", "seed": 9}\n{"prompt": "b", "pose_offset": 0.1}\n')
    one, two = read_prompts(path, BASE)
    assert one == GenerationSettings("a", 9, num_inference_steps=2)
    assert two == GenerationSettings("b", 3, num_inference_steps=2, pose_offset=0.1)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.txt", "\n \n", "no prompts"),
        ("a.txt", "fine\n" + "x" * 3000, "line 2: prompt must have at most"),
        ("a.jsonl", '{"prompt": "a"}\n{', "line 2"),
        ("a.jsonl", '{"seed": 1}', "line 1: expected a JSON object with prompt"),
        ("a.jsonl", '{"prompt": "a", "model": "b"}', "without model"),
        ("a.jsonl", '{"prompt": "a", "speed": 1}', "unknown settings: speed"),
        ("a.jsonl", '{"prompt": "a", "seed": -1}', "line 1: seed must be"),
    ],
)
def test_damaged_lists_are_refused_whole(tmp_path, name, text, complaint):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        read_prompts(path, BASE)


def test_what_is_finished_is_skipped(tmp_path):
    assert len(list(PromptList(tmp_path, asked()[:2]).run(made))) == 2
    again = PromptList(tmp_path, asked())
    assert [line["index"] for line in again.run(made)] == [2, 3, 4]
    assert again.finished() == set(range(5))


def test_a_folder_of_other_settings_is_refused(tmp_path):
    list(PromptList(tmp_path, asked()).run(made))
    with pytest.raises(ValueError, match="scene 1 has other settings"):
        PromptList(tmp_path, asked(["a house number 0", "another", *PROMPTS[2:]]))
    with pytest.raises(ValueError, match="scene 2 has other settings"):
        PromptList(tmp_path, asked()[:2])


def test_a_folder_made_with_something_else_is_refused_but_what_failed_may_be_tried_so(tmp_path):
    def failing(settings, folder):
        raise RuntimeError("out of memory")

    list(PromptList(tmp_path, asked(), {"dtype": "float32", "lora": None}).run(failing))
    smaller = {"dtype": "bfloat16", "lora": None}
    assert len(list(PromptList(tmp_path, asked(), smaller).run(made))) == 5
    assert PromptList(tmp_path, asked(), smaller).finished() == set(range(5))
    with pytest.raises(ValueError, match="scene 0 has other dtype, lora than asked for"):
        PromptList(tmp_path, asked(), {"dtype": "float32", "lora": "more"})


def test_a_failure_is_recorded_stops_nothing_and_is_tried_again_next_time(tmp_path):
    def failing(settings, folder):
        if settings.prompt == PROMPTS[1]:
            raise RuntimeError("out of memory")
        return made(settings, folder)

    todo = PromptList(tmp_path, asked())
    lines = list(todo.run(failing))
    assert [line.get("error") for line in lines] == [
        None,
        "RuntimeError: out of memory",
        None,
        None,
        None,
    ]
    assert todo.finished() == {0, 2, 3, 4}
    assert [line["index"] for line in PromptList(tmp_path, asked()).run(made)] == [1]


def test_a_line_that_a_kill_cut_off_does_not_count_or_spoil_the_next(tmp_path):
    list(PromptList(tmp_path, asked()).run(made))
    path = tmp_path / LOG_NAME
    path.write_bytes(path.read_bytes()[:-10])
    again = PromptList(tmp_path, asked())
    assert again.finished() == {0, 1, 2, 3}
    assert len(list(again.run(made))) == 1
    assert again.finished() == set(range(5))


WORKER = """
import sys, time
from pathlib import Path
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.generation.prompt_list import PromptList

asked = [GenerationSettings(f"a house number {i}", 3, num_inference_steps=2) for i in range(5)]
folder, index, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

def generate(settings, scene):
    (folder / f"started-{index}").touch()
    time.sleep(pause)
    return {"by": index}

list(PromptList(folder, asked).run(generate, index, 2))
"""


def start_worker(folder, index: int, pause: float) -> subprocess.Popen:
    command = [sys.executable, "-c", WORKER, str(folder), str(index), str(pause)]
    return subprocess.Popen(command)


def test_the_others_take_over_what_a_killed_worker_had_claimed(tmp_path):
    doomed = start_worker(tmp_path, 0, 600.0)
    while not (tmp_path / "started-0").exists():
        assert doomed.poll() is None
        time.sleep(0.02)
    other = start_worker(tmp_path, 1, 0.01)
    while not (tmp_path / LOG_NAME).exists() or len(read_log(tmp_path)) < len(PROMPTS) - 1:
        assert other.poll() is None
        time.sleep(0.02)
    # All but the claimed one are made, and the other worker waits for that.
    assert {line["index"] for line in read_log(tmp_path)} == {1, 2, 3, 4}
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert other.wait(timeout=60) == 0
    assert sorted(line["index"] for line in read_log(tmp_path)) == [0, 1, 2, 3, 4]
    assert {line["by"] for line in read_log(tmp_path)} == {1}


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


def words(model, prompts, output) -> list[str]:
    options = ["--steps", "1", "--seed", "5", "--no-video", "--device", "cpu"]
    return [
        "generate",
        *("--prompts", str(prompts)),
        *("--output", str(output)),
        *("--model", str(model)),
        *options,
    ]


def test_generate_makes_a_scene_a_line_as_if_asked_alone(model, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a red house\na blue lake\n")
    assert main([*words(model, prompts, tmp_path / "scenes"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["scenes"], report["finished"], report["errors"]) == (2, 2, {})
    lines = read_log(tmp_path / "scenes")
    assert [line["settings"]["prompt"] for line in lines] == ["a red house", "a blue lake"]
    alone = ["generate", "a blue lake", "--output", str(tmp_path / "alone")]
    assert main([*alone, *words(model, prompts, "")[5:]]) == 0
    one, two = Scene.load(lines[1]["scene"]), Scene.load(tmp_path / "alone")
    assert (one.frames == two.frames).all()


def test_generate_wants_one_of_prompt_and_prompts(model, tmp_path, capsys):
    for extra in ([], ["a house", "--prompts", "x.txt"]):
        command = ["generate", *extra, "--output", str(tmp_path / "o"), "--model", str(model)]
        assert main(command) == 2
        assert "either a prompt or --prompts" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_of_a_launcher_share_the_prompts(model, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(["a red house", "a blue lake", "a tree", "a hill"]))
    # What `accelerate launch --num_processes 2` runs where there are two GPUs.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command = [*launcher, "--master_port", "29611", "-m", "videorfsplat"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, *words(model, prompts, tmp_path / "scenes")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    lines = read_log(tmp_path / "scenes")
    assert sorted(line["index"] for line in lines) == [0, 1, 2, 3]
    assert not any("error" in line for line in lines)
    assert all(len(Scene.load(line["scene"]).frames) == 3 for line in lines)
    assert run.stdout.count("4 of 4 scenes") == 2


def test_the_log_is_read_once_however_long_it_is(tmp_path, monkeypatch):
    finished, opened = 500, 20
    prompts = [f"a house number {i}" for i in range(finished + opened)]
    list(PromptList(tmp_path, asked(prompts[:finished])).run(made))
    parsed, real = [], json.loads

    def counting(line):
        parsed.append(line)
        return real(line)

    monkeypatch.setattr(json, "loads", counting)
    assert len(list(PromptList(tmp_path, asked(prompts)).run(made))) == opened
    assert len(parsed) == finished + opened


def test_lines_that_others_add_are_seen_and_damaged_ones_are_not(tmp_path):
    one, two = PromptList(tmp_path, asked()), PromptList(tmp_path, asked())
    list(one.run(made))
    assert two.finished() == set(range(5))
    with (tmp_path / LOG_NAME).open("a") as file:
        file.write('[]\n{"index": "x"}\n' + "[" * 10**5 + '\n{"index": 7')
    assert PromptList(tmp_path, asked()).finished() == set(range(5))
