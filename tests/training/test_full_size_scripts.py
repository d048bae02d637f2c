"""The scripts of the full size: options that exist, batches that divide, the sharding of the tests.

Nothing of them is run: words that stand for `python` and `accelerate` tell what they are given.
"""

import os
import re
import shlex
import subprocess
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin, prepare_multi_gpu_env
from accelerate.utils.fsdp_utils import fsdp2_prepare_auto_wrap_policy
from test_full_size import SHARDED
from tiny import tiny_transformer

from videorfsplat.__main__ import main
from videorfsplat.commands import CommandParser
from videorfsplat.commands.train import settings_from_args
from videorfsplat.training.decoder import DecoderTraining
from videorfsplat.training.joint import JointTraining

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "examples/full_size"
SHARDING = SCRIPTS / "fsdp2.yaml"
SETTINGS = {"joint": JointTraining, "decoder": DecoderTraining}


# --- what is run ----------------------------------------------------------------------------------


def commands_of(script: Path, folder: Path, **variables: str) -> list[list[str]]:
    """The words of every `python`, `accelerate` and `videorfsplat` that bash would start."""
    programs, log = folder / "programs", folder / "log"
    programs.mkdir()
    log.touch()
    for name in ("python", "accelerate", "videorfsplat"):
        (programs / name).write_text(
            f"#!/bin/sh\nprintf '%s\\t' {name} \"$@\" >> {log}\necho >> {log}\n"
        )
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **variables}
    subprocess.run(["bash", "-eu", script], cwd=ROOT, env=environment, check=True)
    return [line.split("\t")[:-1] for line in log.read_text().splitlines()]


def launch_config(path: Path) -> ClusterConfig:
    """As `accelerate launch` reads it."""
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    return config


def launched(words: list[str]) -> tuple[int, list[str]]:
    """Processes of one of these commands, and its words after `-m videorfsplat`."""
    if words[0] == "accelerate":
        assert words[1] == "launch"
        args = launch_command_parser().parse_args(words[2:])
        assert (args.module, args.training_script) == (True, "videorfsplat")
        count = args.num_processes or launch_config(ROOT / args.config_file).num_processes
        return count, args.training_script_args
    if words[0] == "videorfsplat":
        return 1, words[1:]
    assert words[:3] == ["python", "-m", "videorfsplat"]
    return 1, words[3:]


class Parsed(Exception):
    """Stops a command when its options are understood."""

    def __init__(self, options: Namespace) -> None:
        super().__init__()
        self.options = options


@pytest.fixture
def parse(monkeypatch):
    """Reads the words of a command by its own parser, and goes no further."""

    def parse_args(parser, words):
        options = ArgumentParser.parse_args(parser, words)
        # Parsers of a first word alone have neither.
        if hasattr(options, "json") or hasattr(options, "port"):
            raise Parsed(options)
        return options

    monkeypatch.setattr(CommandParser, "parse_args", parse_args)

    def parse(words: list[str]) -> Namespace:
        with pytest.raises(Parsed) as stopped:
            main(words)
        return stopped.value.options

    return parse


def check_commands(parse, commands: list[list[str]]) -> list[str]:
    """That every command is understood and every batch divides; the first words of each."""
    names = []
    for words in commands:
        processes, words = launched(words)
        if "--help" in words:
            with pytest.raises(SystemExit, match="0"):
                main(words)
            continue
        options = parse(words)
        if words[0] == "train" and words[1] in SETTINGS:
            run = settings_from_args(SETTINGS[words[1]], options).run
            assert run.batch_size % (processes * run.accumulation_steps) == 0, (processes, words)
        names.append(" ".join(words[: 2 if words[0] in ("data", "train") else 1]))
    return names


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_every_command_of_the_scripts_is_understood(parse, tmp_path, gpus):
    steps = ["data check", "data caption", "data cache", "train joint", "train decoder"]
    variables = {"DATA": "/data/raw", "WORK": "/data/work", "GPUS": str(gpus)}
    (tmp_path / "all").mkdir()
    commands = commands_of(SCRIPTS / "train.sh", tmp_path / "all", **variables)
    assert check_commands(parse, commands) == [*steps, "assemble", "generate"]
    (tmp_path / "lora").mkdir()
    commands = commands_of(SCRIPTS / "train_lora.sh", tmp_path / "lora", **variables)
    assert check_commands(parse, commands) == ["train joint"]


READMES = {
    "README.md": {"generate", "export", "page"},
    "examples/training/README.md": {"data worlds", "train few-step", "evaluate", "generate"},
    "examples/full_size/README.md": {"data caption", "data cache", "train joint", "train decoder"},
    "examples/ablation/README.md": set(),
    "videorfsplat/README.md": set(),
    "viewer/README.md": set(),
}


@pytest.mark.parametrize("name", READMES)
def test_every_command_of_the_readmes_is_understood(parse, tmp_path, name):
    text = (ROOT / name).read_text()
    script = tmp_path / "commands.sh"
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    # What is not a command of ours is not run either.
    script.write_text("pip() { :; }; mv() { :; }\n" + "\n".join(blocks))
    commands = commands_of(script, tmp_path)
    assert READMES[name] <= set(check_commands(parse, commands))
    # Those within a sentence.
    inline = re.findall(r"`(videorfsplat [a-z][^`\n]*)`", text)
    check_commands(parse, [words for line in inline if len(words := shlex.split(line)) > 2])


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 120


# --- how it is sharded ----------------------------------------------------------------------------


def launch_environment(words: list[str]) -> dict[str, str]:
    """What `accelerate launch` with these options tells its processes of sharding."""
    args = launch_command_parser().parse_args([*words, "-m", "videorfsplat"])
    args, _, _ = _validate_launch_command(args)
    told = prepare_multi_gpu_env(args)
    return {k: v for k, v in told.items() if k.startswith("FSDP_") or k == "ACCELERATE_USE_FSDP"}


def sharded_modules(monkeypatch, environment: dict[str, str]) -> list[str]:
    """Names of the modules of a toy transformer that are sharded singly."""
    with monkeypatch.context() as patch:
        # A copy, for accelerate writes into it too.
        patch.setattr(os, "environ", os.environ | environment)
        plugin = FullyShardedDataParallelPlugin()
    model = tiny_transformer()
    plugin.set_auto_wrap_policy(model)
    policy = fsdp2_prepare_auto_wrap_policy(plugin, model)
    assert policy is not None
    return [name for name, module in model.named_modules() if policy(module)]


def test_the_sharding_is_that_of_the_tests(monkeypatch):
    config = launch_config(SHARDING)
    assert config.fsdp_config is not None
    options = vars(launch_command_parser().parse_args(["-m", "videorfsplat"]))
    assert config.fsdp_config.keys() <= options.keys()
    told = launch_environment(["--config_file", str(SHARDING)])
    assert told.items() >= SHARDED.items()
    blocks = [f"image_stream.transformer_blocks.{index}" for index in range(4)]
    assert set(blocks) <= set(sharded_modules(monkeypatch, told))
    assert sharded_modules(monkeypatch, told) == sharded_modules(monkeypatch, SHARDED)
