"""Faults at random moments of every command that writes.

    python tests/faults.py --tries 8

Each command runs at toy size in a process of its own, forked once all libraries are loaded, and
something happens to it: it is killed, told to end or stopped at the keyboard at one of its own
operations on files or after a random time; the disk takes no more bytes; the folder or the home
cannot be written; the clock is set back. Drawn from a fixed seed. A try is survived if

- the command ends as it should: at most one clear line, no traceback, no process left behind;
- no file under its final name is damaged;
- the same command, called again, goes on and ends with what an undisturbed run writes.

Survived and tried are printed as JSON, by kind and by command; each failure on standard error.
"""

import argparse
import ctypes
import hashlib
import importlib
import io
import json
import os
import pkgutil
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open

import videorfsplat
from videorfsplat.__main__ import main as run_command
from videorfsplat.formats.splat_formats import read_splats
from videorfsplat.generation.scene import RECORD_NAME, Scene

SECONDS = 300
"""After which a run is taken for one that does not end."""

TIMES = {"seconds", "data_seconds", "peak_memory_mb", "device_memory_mb"}
"""What two undisturbed runs differ in."""


@dataclass(frozen=True)
class Case:
    """A command: its words, `{}` being the folder of inputs, and the files that it is for."""

    words: str
    products: tuple[str, ...] = ("**/*",)
    """Patterns; a run of training keeps states besides, which are as old as the last save."""


_TRAINING = "--max-steps 4 --batch-size 2 --warmup-steps 1 --log-every 1 --save-minutes 0 --json"
_TRAINED = ("model/**/*", "few_step/**/*", "log.jsonl")

CASES = {
    "generate": Case("generate 'a red house' --model {}/model --steps 2 --latents --output OUT"),
    "generate --prompts": Case(
        "generate --prompts {}/prompts.txt --model {}/model --few-step --no-video --output OUT",
        ("0*/**/*",),
    ),
    "render": Case("render {}/scene --output OUT/pictures"),
    "render film": Case("render {}/scene --frames 9 --output OUT/film.mp4"),
    "export ply": Case("export {}/scene --output OUT/a.ply"),
    "export sog": Case("export {}/scene --output OUT/a.sog"),
    "export colmap": Case("export {}/scene --output OUT/colmap"),
    "export html": Case("export {}/scene --output OUT/a.html"),
    "data worlds": Case("data worlds --scenes 66 --views 2 --size 16 --output OUT"),
    "data captions": Case("data captions --worlds 8 --per-world 3 --output OUT/c.jsonl"),
    "data cache": Case(
        "data cache {}/recordings --num-views 3 --height 32 --width 48 --scenes-per-shard 1"
        " --captions {}/recordings/captions.jsonl --autoencoder {}/model --text-encoder {}/model"
        " --output OUT"
    ),
    "train autoencoder": Case(
        f"train autoencoder {_TRAINING} --data {{}}/worlds --crop 16 --init {{}}/model/vae"
        " --output OUT",
        _TRAINED,
    ),
    "train text-encoder": Case(
        f"train text-encoder {_TRAINING} --pretrained {{}}/bert --teacher {{}}/text --captions 2"
        " --held-out {}/held_out.jsonl --vocabulary-size 1500 --max-length 80 --output OUT",
        _TRAINED,
    ),
    "train decoder": Case(
        f"train decoder {_TRAINING} --data {{}}/worlds --autoencoder {{}}/model --depth-steps 2"
        """ --model '{{"num_attention_layers": 1, "attention_head_dim": 16}}' --output OUT""",
        _TRAINED,
    ),
    "train joint": Case(
        f"train joint {_TRAINING} --data {{}}/worlds --autoencoder {{}}/model --text-encoder"
        " {}/text --size 32 --num-views 3 --init {}/square/transformer --output OUT",
        _TRAINED,
    ),
    "train few-step": Case(
        f"train few-step {_TRAINING} --prompts {{}}/prompts.txt --model {{}}/model --rank 2"
        " --teacher-batch-size 2 --num-inference-steps 2 --teacher-steps 6 --output OUT",
        _TRAINED,
    ),
    "assemble": Case(
        "assemble --autoencoder {}/model --text-encoder {}/model --transformer {}/model"
        " --decoder {}/model --dtype float32 --output OUT/model"
    ),
    "evaluate": Case(
        "evaluate --suite autoencoder decoder --prompts 2 --model {}/square --probe {}/probe"
        " --device cpu --output OUT",
        ("report.json",),
    ),
}


def prepare(folder: Path) -> None:
    """The inputs of all commands."""
    from full_size import write_recordings
    from scenes import toy_scene
    from tiny import save_tiny_bert, save_tiny_few_step, save_tiny_text, tiny_pipeline

    from videorfsplat.data.worlds import write_worlds
    from videorfsplat.models.attribute_probe import AttributeProbe
    from videorfsplat.training.probe import probe_attributes

    pipeline = tiny_pipeline()
    pipeline.save_pretrained(folder / "model")
    save_tiny_few_step(folder / "model")
    pipeline.transformer.register_to_config(sample_size=(4, 4))
    pipeline.save_pretrained(folder / "square")
    probe = AttributeProbe(**probe_attributes(), sample_size=32, num_blocks=3, width=16)
    probe.save_pretrained(folder / "probe")
    toy_scene().save(folder / "scene")
    save_tiny_bert(folder / "bert")
    save_tiny_text(folder / "text")
    write_worlds(folder / "worlds", 0, 4, num_views=3, size=32, extra_views=2, scenes_per_shard=2)
    write_recordings(folder / "recordings")
    (folder / "held_out.jsonl").write_text('{"prompt": "a bungalow at cockcrow"}\n')
    (folder / "prompts.txt").write_text("a red house\ntwo blue trees\na green hill\na lake\n")


def load_libraries() -> None:
    """All that a command may import, so that its process has it from the start."""
    for module in pkgutil.walk_packages(videorfsplat.__path__, "videorfsplat."):
        if not module.name.startswith(("videorfsplat.ui", "videorfsplat.__main__")):
            importlib.import_module(module.name)


# --- one run --------------------------------------------------------------------------------------


@dataclass
class Ending:
    """How a process ended."""

    code: int
    """Its exit code, or minus the signal."""
    said: str
    """On standard error."""
    operations: int
    """On files of its output."""
    left_behind: bool
    """Whether a process of it still ran."""
    seconds: float


Fault = Callable[[Path], None]
"""What the process does to itself before it begins, given the output."""


def at_operation(number: int, act: Callable[[], None]) -> Fault:
    """Act at one of the operations on files of the output, counted from 1."""

    def arm(output: Path) -> None:
        _Operations(output).act_at[number] = act

    return arm


class _Operations:
    """Counts what is done to files of a folder, by Python's own audit events."""

    events = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate"}
    count = 0

    def __init__(self, output: Path) -> None:
        self.act_at: dict[int, Callable[[], None]] = {}
        self._prefix = str(output)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        if event not in self.events or not str(arguments[0]).startswith(self._prefix):
            return
        if event == "open" and isinstance(arguments[2], int) and not arguments[2] & 3:
            return
        _Operations.count += 1
        if act := self.act_at.pop(_Operations.count, None):
            act()


def send(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def set_clock_back() -> None:
    """By a day, as `time.time` tells it."""
    true = time.time
    time.time = lambda: true() - 86_400


def let_files_be_small(size: int) -> Fault:
    """No file takes more than so many bytes: what a full disk does to whoever writes."""
    return lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def obey_permissions(_: Path) -> None:
    """Give up root's right to write everywhere, if this is root."""
    if os.geteuid() != 0:
        return
    version_3, override, search = 0x20080522, 1 << 1, 1 << 2
    header = (ctypes.c_uint32 * 2)(version_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, sets) == 0
    sets[0] &= ~(override | search)
    assert libc.capset(header, sets) == 0


def have_no_home(output: Path) -> None:
    """Home and caches are a folder that cannot be written."""
    obey_permissions(output)
    home = output.parent / "home"
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HOME", "TORCH_HOME"):
        os.environ[name] = str(home)


def run(
    words: list[str],
    output: Path,
    fault: Fault | None = None,
    kill: tuple[float, signal.Signals] | None = None,
) -> Ending:
    """Run a command in a child.

    Args:
        words: of the command.
        output: folder that it writes.
        fault: what happens in the child.
        kill: a signal after so many seconds.
    """
    reading, writing = os.pipe()
    counted = output.parent / "count"
    begun = time.monotonic()
    # What comes while the process is made waits until it can be answered.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    child = os.fork()
    if not child:
        os.close(reading)
        _be_command(words, output, fault, writing, counted)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    os.close(writing)
    os.setpgid(child, child)
    said = io.BytesIO()
    hearing = threading.Thread(target=_hear, args=(reading, said), daemon=True)
    hearing.start()
    code = None
    while code is None:
        if kill is not None and time.monotonic() - begun > kill[0]:
            os.kill(child, kill[1])
            kill = None
        if time.monotonic() - begun > SECONDS:
            os.killpg(child, signal.SIGKILL)
        ended, status = os.waitpid(child, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if ended else None
        time.sleep(0.01)
    seconds = time.monotonic() - begun
    left_behind = _has_processes(child)
    if left_behind:
        os.killpg(child, signal.SIGKILL)
    hearing.join()
    operations = int(counted.read_text()) if counted.exists() else 0
    counted.unlink(missing_ok=True)
    return Ending(code, said.getvalue().decode(errors="replace"), operations, left_behind, seconds)


def _hear(reading: int, said: io.BytesIO) -> None:
    with os.fdopen(reading, "rb") as pipe:
        said.write(pipe.read())


def _be_command(
    words: list[str], output: Path, fault: Fault | None, writing: int, counted: Path
) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(writing, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    code = 1
    try:
        (fault or _Operations)(output)
        code = _run_interruptibly(words)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        if fault is None:
            counted.write_text(str(_Operations.count))
        os._exit(code)


def _run_interruptibly(words: list[str]) -> int:
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    except KeyboardInterrupt:
        print("stopped before it began", file=sys.stderr)
        return 130
    return run_command(words)


def _has_processes(group: int) -> bool:
    """Whether one of the group is still there a while after its leader: what compiles kernels ends
    by itself."""
    for _ in range(1200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


# --- what was written -----------------------------------------------------------------------------


def contents(output: Path, patterns: tuple[str, ...]) -> dict[str, Any]:
    """What a command has written, by name, without what two runs differ in."""
    files = {path for pattern in patterns for path in output.glob(pattern) if path.is_file()}
    return {
        str(path.relative_to(output)): _content(path)
        for path in sorted(files)
        if not _is_unfinished(path.relative_to(output))
    }


def _is_unfinished(path: Path) -> bool:
    """By its name, which no reader looks at."""
    return any(part.startswith((".", "unfinished")) for part in path.parts)


def _content(path: Path) -> Any:
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text().splitlines()]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(one) for one in value] if isinstance(value, list) else value


def damaged_files(output: Path) -> list[str]:
    """Files under a final name that their readers do not take, and scenes that do not load."""
    problems = []
    for path in sorted(output.rglob("*")):
        if _is_unfinished(path.relative_to(output)) or not path.is_file():
            continue
        try:
            _read_whole(path)
        except Exception as error:
            problems.append(f"{path.relative_to(output)}: {type(error).__name__}: {error}")
    return problems


def _read_whole(path: Path) -> None:
    match path.suffix:
        case ".safetensors":
            with safe_open(path, "pt") as file:
                for name in file.keys():  # noqa: SIM118
                    file.get_tensor(name)
        case ".png":
            with Image.open(path) as picture:
                picture.load()
        case ".ply" | ".sog":
            read_splats(path)
        case ".mp4":
            import av

            with av.open(str(path)) as film:
                assert sum(1 for _ in film.decode(video=0)) > 0
        case ".html":
            assert path.read_text().rstrip().endswith("</html>")
        case ".json" | ".jsonl":
            _content(path)
    if path.name == RECORD_NAME:
        Scene.load(path.parent)


# --- tries ----------------------------------------------------------------------------------------


class Matrix:
    """All tries of some commands.

    Args:
        folder: an empty one to work in.
        seed: of the moments.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._inputs, self._output = folder / "inputs", folder / "run" / "output"
        self._random = np.random.default_rng(seed)
        self.tried: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.failures: list[str] = []
        self._output.parent.mkdir()
        home = self._output.parent / "home"
        home.mkdir(mode=0o555)
        load_libraries()
        child = os.fork()
        if not child:
            try:
                prepare(self._inputs)
                os._exit(0)
            finally:
                os._exit(1)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("the inputs could not be made")

    def try_command(self, name: str, tries: int, kinds: list[str]) -> None:
        """All kinds of faults on one command.

        Args:
            name: in `CASES`.
            tries: of each fault that happens at a random moment.
            kinds: of faults.
        """
        import shlex

        case = CASES[name]
        words = case.words.replace("{{", "{").replace("}}", "}").replace("{}", str(self._inputs))
        words = shlex.split(words.replace("OUT", str(self._output)))
        undisturbed = run(words, self._begin())
        if undisturbed.code:
            raise SystemExit(f"{name} fails undisturbed: {undisturbed.said}")
        expected = contents(self._output, case.products)
        assert expected, name
        largest = max(p.stat().st_size for p in self._output.rglob("*") if p.is_file())
        for kind in kinds:
            for _ in range(tries if kind in AT_RANDOM else 1):
                problem = self._try(kind, words, case, expected, undisturbed, largest)
                for key in (kind, name):
                    self.tried[key] += 1
                    self.survived[key] += not problem
                if problem:
                    self.failures.append(f"{name}, {kind}: {problem}")
                    print(self.failures[-1], file=sys.stderr, flush=True)

    def _begin(self) -> Path:
        """The output's folder, which is made by the command itself."""
        self._output.parent.chmod(0o755)
        shutil.rmtree(self._output, ignore_errors=True)
        return self._output

    def _try(
        self,
        kind: str,
        words: list[str],
        case: Case,
        expected: dict[str, Any],
        undisturbed: Ending,
        largest: int,
    ) -> str:
        """What went wrong; nothing if it was survived."""
        output = self._begin()
        moment = int(self._random.integers(1, undisturbed.operations + 1))
        is_timed = bool(self._random.integers(2))
        after = float(self._random.uniform(0, undisturbed.seconds))
        size = int(largest * self._random.uniform())
        fault, kill = None, None
        if kind in SIGNALS:
            number = SIGNALS[kind]
            fault = None if is_timed else at_operation(moment, send(number))
            kill = (after, number) if is_timed else None
        elif kind == "clock set back":
            fault = at_operation(moment, set_clock_back)
        elif kind == "disk full":
            fault = let_files_be_small(size)
        elif kind == "read-only folder":
            output.parent.chmod(0o555)
            fault = obey_permissions
        elif kind == "no home":
            fault = have_no_home
        ending = run(words, output, fault, kill)
        at = f"at {after:.2f} s" if is_timed and kill else f"at operation {moment}, {size} bytes"
        output.parent.chmod(0o755)
        if problem := _wrong_ending(kind, ending):
            return f"{at}: {problem}"
        if damaged := damaged_files(output):
            return f"{at}: damaged: {damaged[:3]}"
        again = run(words, output)
        if again.code:
            return f"{at}: does not go on: {again.said[-600:]}"
        found = contents(output, case.products)
        if found != expected:
            return f"{at}: ends with something else: {_differences(found, expected)}"
        return ""


SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
AT_RANDOM = [*SIGNALS, "disk full", "clock set back"]
KINDS = [*AT_RANDOM, "read-only folder", "no home"]


def _wrong_ending(kind: str, ending: Ending) -> str:
    if ending.left_behind:
        return "a process is left behind"
    if "Traceback" in ending.said:
        return f"a traceback: {ending.said[-1500:]}"
    allowed = {
        "kill -9": {0, -signal.SIGKILL},
        "SIGTERM": {0, -signal.SIGTERM},
        "Ctrl-C": {0, 130},
        "disk full": {0, 1, 2},
        "read-only folder": {2},
    }
    if ending.code not in allowed.get(kind, {0}):
        return f"ends with {ending.code}: {ending.said[-600:]}"
    lines = [line for line in ending.said.splitlines() if line.startswith(("error:", "stopped"))]
    if ending.code > 0 and kind != "disk full" and len(lines) != 1:
        return f"says {len(lines)} lines: {ending.said[-600:]}"
    return ""


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)][:8]


def main() -> int:
    """Print the counts; 1 if a try was not survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=4, help="of each fault at a random moment")
    parser.add_argument("--commands", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        matrix = Matrix(Path(folder), args.seed)
        for name in args.commands:
            matrix.try_command(name, args.tries, args.kinds)
            print(f"{name}: {matrix.survived[name]}/{matrix.tried[name]}", file=sys.stderr)
    counts = {key: [matrix.survived[key], tried] for key, tried in matrix.tried.items()}
    print(json.dumps({"survived of tried": counts, "failures": len(matrix.failures)}, indent=2))
    return int(bool(matrix.failures))


if __name__ == "__main__":
    sys.exit(main())
