"""Mutations of files over every reader, in a child process with limits of time and memory.

    python tests/fuzz_readers.py --inputs 20000

Seeds are written by the package's own writers. A mutation is drawn from a fixed seed, so that a
number names an input. Each must be answered by a result whose numbers are finite, or by a
`ValueError`; the counts are printed as JSON, and inputs that were not are kept if asked for.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scenes import orbit_cameras, random_gaussians, toy_scene

from videorfsplat.data.readers.captions import caption_line, read_captions
from videorfsplat.formats.camera_files import read_camera_file
from videorfsplat.formats.colmap import save_colmap
from videorfsplat.formats.colmap_reconstruction import read_reconstruction
from videorfsplat.formats.glb import save_glb
from videorfsplat.formats.poses import load_npz, save_npz, save_tum
from videorfsplat.formats.splat_formats import read_splats, save_splats
from videorfsplat.formats.transforms_json import read_transforms, save_transforms
from videorfsplat.formats.video import load_picture, save_frames
from videorfsplat.generation.prompt_list import LOG_NAME, PromptList, read_prompts
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians

SECONDS = 5.0
"""An answer that takes longer is a hang."""
MEMORY_BYTES = 2**30
"""What one answer may take beyond what the process had."""

BASE = GenerationSettings("-")


def write_binary_colmap(folder: Path) -> None:
    """The model that the package writes as text, through COLMAP's own library."""
    import pycolmap

    save_colmap(orbit_cameras(), folder, gaussians=random_gaussians(num=5))
    pycolmap.Reconstruction(str(folder)).write_binary(str(folder))
    for path in folder.glob("*.txt"):
        path.unlink()


def write_log(folder: Path) -> None:
    """The log of a finished list of two prompts."""
    todo = PromptList(folder, [BASE, BASE], {"lora": None})
    list(todo.run(lambda settings, scene: {"seconds": 1.5}))


def write_clip(path: Path) -> None:
    """A RealEstate10K camera file."""
    rows = [
        " ".join(map(str, [i * 40_000, 0.6, 1.1, 0.5, 0.5, 0, 0, *viewmat[:3].flatten().tolist()]))
        for i, viewmat in enumerate(orbit_cameras().viewmats)
    ]
    path.write_text("\n".join(["https://www.youtube.com/watch?v=x", *rows]) + "\n")


def write_prompts(path: Path) -> None:
    """A list of settings."""
    lines = [{"prompt": "a red house", "seed": 3}, {"prompt": "a lake", "guidance_scale": 2.5}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_splats(name: str, degree: int = 1) -> Callable[[Path], None]:
    return lambda folder: save_splats(random_gaussians(num=40, degree=degree), folder / name)


def unbundle(folder: Path) -> None:
    save_splats(random_gaussians(num=40), folder / "a.sog")
    with zipfile.ZipFile(folder / "a.sog") as archive:
        archive.extractall(folder)
    (folder / "a.sog").unlink()


Case = tuple[Callable[[Path], object], Callable[[Path], object]]
"""Writes a seed into a folder, and reads the folder."""

CASES: dict[str, Case] = {
    **{
        f"splats {name}": (write_splats(name), lambda folder, name=name: read_splats(folder / name))
        for name in ("a.ply", "a.compressed.ply", "a.spz", "a.sog", "a.splat")
    },
    "splats meta.json": (unbundle, lambda folder: read_splats(folder / "meta.json")),
    "transforms": (
        lambda folder: save_transforms(orbit_cameras(), folder / "t.json"),
        lambda folder: read_transforms(folder / "t.json", guess_size=True),
    ),
    "npz": (
        lambda folder: save_npz(orbit_cameras(), folder / "a.npz"),
        lambda folder: load_npz(folder / "a.npz"),
    ),
    "path npz": (
        lambda folder: save_npz(orbit_cameras(), folder / "a.npz"),
        lambda folder: read_camera_file(folder / "a.npz"),
    ),
    "path tum": (
        lambda folder: save_tum(orbit_cameras(), folder / "a.tum"),
        lambda folder: read_camera_file(folder / "a.tum"),
    ),
    "path glb": (
        lambda folder: save_glb(orbit_cameras(), folder / "a.glb"),
        lambda folder: read_camera_file(folder / "a.glb"),
    ),
    "path json": (
        lambda folder: save_transforms(orbit_cameras(), folder / "t.json"),
        lambda folder: read_camera_file(folder / "t.json"),
    ),
    "path zip": (
        lambda folder: toy_scene().export(folder / "a.zip"),
        lambda folder: read_camera_file(folder / "a.zip"),
    ),
    "path clip": (
        lambda folder: write_clip(folder / "clip.txt"),
        lambda folder: read_camera_file(folder / "clip.txt"),
    ),
    "colmap text": (
        lambda folder: save_colmap(orbit_cameras(), folder, gaussians=random_gaussians(num=5)),
        read_reconstruction,
    ),
    "colmap binary": (write_binary_colmap, read_reconstruction),
    "captions": (
        lambda folder: (folder / "c.jsonl").write_text(
            caption_line("a/b", ["one", "two"]) + caption_line("c", ["three"])
        ),
        lambda folder: read_captions(folder / "c.jsonl"),
    ),
    "prompts": (
        lambda folder: write_prompts(folder / "p.jsonl"),
        lambda folder: read_prompts(folder / "p.jsonl", BASE),
    ),
    "prompt log": (
        write_log,
        lambda folder: PromptList(folder, [BASE, BASE], {"lora": None}).finished(),
    ),
    "scene": (lambda folder: toy_scene().save(folder / "s"), lambda f: Scene.load(f / "s")),
    "depths": (
        lambda folder: (
            toy_scene().save(folder / "s"),
            save_file({"depths": toy_scene().depths}, folder / "s/depths.safetensors"),
        ),
        lambda folder: Scene.load(folder / "s"),
    ),
    "picture": (
        lambda folder: save_frames(np.zeros((1, 8, 8, 3), np.uint8), folder),
        lambda folder: load_picture(folder / "000.png"),
    ),
}
_ONLY_FILE = {"depths": "depths.safetensors", "prompt log": LOG_NAME}
"""Of cases with many files, the one to mutate; of others any."""

_WORDS = [
    *(b"nan", b"-inf", b"1e999", b"9" * 400, b"null", b"true", b'"x"', b"[]", b"{}", b"-1", b"0"),
    *(b"[" * 5000, b"\xff\xfe", b"\x00" * 8, b"\xff" * 8, b"4294967295", b"1000000000"),
    *((2**63).to_bytes(8, "little"), (10**9).to_bytes(4, "little"), b"PK\x03\x04", b"\xef\xbb\xbf"),
]


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """A few changes: bits, bytes, words in place of others, cuts, copies of pieces."""
    content = bytearray(data)
    for _ in range(int(random.geometric(0.6))):
        place = int(random.integers(0, len(content) + 1))
        length = int(random.integers(1, 17))
        word = _WORDS[int(random.integers(len(_WORDS)))]
        # Half of them flip a bit, which leaves the most of a file as it was.
        match max(0, int(random.integers(-6, 7))):
            case 0 if content:
                content[place % len(content)] ^= 1 << int(random.integers(8))
            case 1:
                content[place : place + length] = random.bytes(length)
            case 2:
                content[place : place + len(word)] = word
            case 3:
                content[place:place] = word
            case 4:
                del content[place : place + length]
            case 5:
                source = int(random.integers(0, len(content) + 1))
                content[place:place] = content[source : source + 64]
            case 6:
                del content[place:]
    return bytes(content)


def make_input(name: str, seed: Path, folder: Path, number: int) -> None:
    """The seed of a case in `folder`, one file of it mutated."""
    random = np.random.default_rng(number)
    shutil.copytree(seed, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [path for path in files if path.name == _ONLY_FILE.get(name, path.name)]
    path = files[int(random.integers(len(files)))]
    path.write_bytes(mutate(path.read_bytes(), random))


def problem_of(result: object) -> str | None:
    """What of a result must not be: a number that is not finite."""
    if isinstance(result, Scene):
        parts = [result.gaussians, result.cameras, result.depths]
        return next((problem for part in parts if (problem := problem_of(part))), None)
    if isinstance(result, Gaussians):
        try:
            result.check_values()
        except ValueError as error:
            return str(error)
    if isinstance(result, torch.Tensor) and not result.isfinite().all():
        return "a number that is not finite"
    if isinstance(result, Cameras):
        return problem_of(result.viewmats) or problem_of(result.Ks)
    inner = getattr(result, "gaussians", None), getattr(result, "cameras", None)
    return next((problem for part in inner if part and (problem := problem_of(part))), None)


def _serve(pipe: Connection) -> None:
    """The child: reads one folder after another, and says how it went."""
    logging.disable(logging.CRITICAL)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    while True:
        name, folder = pipe.recv()
        try:
            problem = problem_of(CASES[name][1](Path(folder)))
            pipe.send("result" if problem is None else f"accepted: {problem}")
        except ValueError as error:
            is_memory = "needs more memory" in str(error)
            pipe.send("over a gigabyte" if is_memory else "ValueError")
        except BaseException as error:
            pipe.send(f"{type(error).__name__}: {error}"[:200])


class Reader:
    """A child process that is started again when it ends or hangs."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        # Forked, so that the libraries are loaded once.
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def answer(self, name: str, folder: Path) -> str:
        """What reading a folder ends in."""
        self._pipe.send((name, str(folder)))
        begun = time.monotonic()
        while not self._pipe.poll(0.2):
            if not self._process.is_alive():
                self.close()
                self._start()
                return "process ended"
            # The clock of the child: on a busy machine a wait is no hang.
            if self._cpu_seconds() > self._spent + SECONDS or time.monotonic() - begun > 600:
                self.close()
                self._start()
                return "hang"
        try:
            said = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self.close()
            self._start()
            return "process ended"
        self._spent = self._cpu_seconds()
        return said

    _spent = 1.0

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._spent = 1.0


def fuzz(num_inputs: int, keep: Path | None = None, first: int = 0) -> dict[str, Counter]:
    """Counts of answers by case; inputs are shared out evenly.

    Args:
        num_inputs: over all cases.
        keep: folder for inputs that were answered wrongly.
        first: number of the first input.
    """
    counts: dict[str, Counter] = {name: Counter() for name in CASES}
    reader = Reader()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for i, name in enumerate(CASES):
            (root / str(i)).mkdir()
            CASES[name][0](root / str(i))
        for number in range(first, first + num_inputs):
            place = number % len(CASES)
            name = list(CASES)[place]
            make_input(name, root / str(place), root / "input", number)
            answer = reader.answer(name, root / "input")
            if not is_right(answer):
                # Memory of a child that has read hundreds of files is not that of one input.
                reader.close()
                reader = Reader()
                answer = reader.answer(name, root / "input")
            counts[name][answer] += 1
            if not is_right(answer) and keep is not None:
                shutil.copytree(root / "input", keep / f"{number}")
            shutil.rmtree(root / "input")
    reader.close()
    return counts


def is_right(answer: str) -> bool:
    """Whether a reader may answer so."""
    return answer in ("result", "ValueError")


def main() -> int:
    """Print the counts; 1 if an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--keep", type=Path, help="folder for inputs that were answered wrongly")
    args = parser.parse_args()
    counts = fuzz(args.inputs, args.keep, args.first)
    total = sum(counts.values(), Counter())
    print(json.dumps({"cases": counts, "total": total}, indent=2))
    return int(not all(map(is_right, total)))


if __name__ == "__main__":
    sys.exit(main())
