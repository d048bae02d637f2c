"""Many prompts into one folder, by any number of processes that may come and go.

A process claims a prompt by a lock on a file, which the system releases when the process dies,
and finishes it with a line in `scenes.jsonl`. What has no such line is free to be claimed by the
others, or by the next run.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from videorfsplat.formats.files import json_object, read_lines
from videorfsplat.generation.settings import GenerationSettings

LOG_NAME = "scenes.jsonl"
"""One line a scene: `index`, `scene` (its folder), `settings`, `made_with`, and what was measured
or `error`."""

_CLAIMS_NAME = ".claims"
_SECONDS_BETWEEN_LOOKS = 1.0


def read_prompts(path: str | Path, base: GenerationSettings) -> list[GenerationSettings]:
    """What a file asks for: one prompt a line, or in a .jsonl file one object of settings a line.

    Args:
        path: the file; empty lines are skipped.
        base: settings that a line does not state.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the line and what is wrong with it; if there is no prompt, or no text.
    """
    path = Path(path)
    settings = []
    for number, line in read_lines(path):
        try:
            settings.append(_settings(line, path.suffix == ".jsonl", base))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not settings:
        raise ValueError(f"{path}: no prompts")
    return settings


def read_prompt_lines(path: Path) -> list[str]:
    """The prompts of a file, one a line; empty lines are skipped.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what to do, if it holds no prompt or is no text.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    prompts = [line for _, line in read_lines(path)]
    if not prompts:
        raise ValueError(f"{path} holds no prompt; write one a line or choose another prompt file")
    return prompts


def _settings(line: str, is_json: bool, base: GenerationSettings) -> GenerationSettings:
    if not is_json:
        return replace(base, prompt=line)
    values = json_object(line)
    if "prompt" not in values or {"model", "few_step"} & set(values):
        raise ValueError("expected a JSON object with prompt, and without model and few_step")
    return GenerationSettings.from_dict(base.to_dict() | values)


class PromptList:
    """The scenes of a folder, one a prompt.

    Args:
        folder: of the scenes; made if needed.
        settings: what to generate.
        made_with: what else decides the files of all scenes; must be JSON.

    Raises:
        ValueError: if the folder holds scenes of other settings, or made with something else.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: list[GenerationSettings],
        made_with: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.settings, self.made_with = Path(folder), settings, made_with or {}
        (self.folder / _CLAIMS_NAME).mkdir(parents=True, exist_ok=True)
        self._finished: set[int] = set()
        self._bytes_read = 0
        for line in self._new_lines():
            self._check_line(line)

    def scene_folder(self, index: int) -> Path:
        """Where the scene of a prompt goes."""
        return self.folder / f"{index:06d}"

    def run(
        self,
        generate: Callable[[GenerationSettings, Path], dict[str, Any]],
        process_index: int = 0,
        num_processes: int = 1,
    ) -> Iterator[dict[str, Any]]:
        """Generate what nobody has finished, this process's share first, and yield what was made.

        Ends when every prompt is finished, or has failed in this run. A prompt that fails is
        recorded with its error and does not stop the others.

        Args:
            generate: makes the scene of one prompt in a folder, and gives what to record.
            process_index: of this process.
            num_processes: that work on the folder from the start.
        """
        share = range(process_index, len(self.settings), num_processes)
        order = [*share, *(i for i in range(len(self.settings)) if i not in share)]
        failed: set[int] = set()
        while open_prompts := [i for i in order if i not in failed and i not in self._finished]:
            claimed_any = False
            for index in open_prompts:
                with self._claim(index) as claimed:
                    if not claimed or index in self.finished():
                        continue
                    claimed_any = True
                    line = self._attempt(index, generate)
                    if "error" in line:
                        failed.add(index)
                    yield line
            if not claimed_any:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            self.finished()

    def finished(self) -> set[int]:
        """Prompts whose scenes are there."""
        # The log is read once, however long it is: what is new in it is what others have added.
        for _ in self._new_lines():
            pass
        return self._finished

    def _check_line(self, line: dict[str, Any]) -> None:
        index = line["index"]
        # A scene that failed may be tried another way.
        made_with = self.made_with if "error" in line else line.get("made_with", self.made_with)
        others = [name for name, value in self.made_with.items() if made_with.get(name) != value]
        if index >= len(self.settings) or not _is_asked(line["settings"], self.settings[index]):
            others.append("settings")
        if others:
            raise ValueError(
                f"{self.folder / LOG_NAME}: scene {index} has other {', '.join(others)} than asked "
                "for; choose another folder"
            )

    def _attempt(
        self, index: int, generate: Callable[[GenerationSettings, Path], dict[str, Any]]
    ) -> dict[str, Any]:
        folder, settings = self.scene_folder(index), self.settings[index]
        line = {
            "index": index,
            "scene": str(folder),
            "settings": settings.to_dict(),
            "made_with": self.made_with,
        }
        try:
            line |= generate(settings, folder)
        # A run of days must not die of one scene, whatever it was that went wrong in the libraries.
        except Exception as error:
            line["error"] = f"{type(error).__name__}: {error}"
        self._append(line)
        return line

    @contextmanager
    def _claim(self, index: int) -> Iterator[bool]:
        lock = FileLock(self.folder / _CLAIMS_NAME / f"{index:06d}")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / LOG_NAME
        with FileLock(self.folder / _CLAIMS_NAME / "log"), path.open("ab") as file:
            # A process that was killed while writing has left a line without its end.
            end = b"" if _ends_with_newline(path) else b"\n"
            file.write(end + json.dumps(line, allow_nan=False).encode() + b"\n")

    def _new_lines(self) -> Iterator[dict[str, Any]]:
        """Lines that have been added since the last call; finished prompts are noted."""
        path = self.folder / LOG_NAME
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(self._bytes_read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # being written, or cut off by a kill: its scene counts as open
                self._bytes_read += len(line)
                content = _parsed(line)
                if content is None:
                    continue
                if "error" not in content:
                    self._finished.add(content["index"])
                yield content


def _parsed(line: bytes) -> dict[str, Any] | None:
    """What a line of the log says; nothing, if a kill has cut it or the disk has damaged it."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_whole = (
        isinstance(content, dict)
        and isinstance(content.get("index"), int)
        and isinstance(content.get("settings"), dict)
        and isinstance(content.get("made_with", {}), dict)
    )
    return content if is_whole else None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        return size == 0 or (file.seek(-1, 2), file.read(1))[1] == b"\n"


def _is_asked(recorded: dict[str, Any], asked: GenerationSettings) -> bool:
    """Whether settings of a record, which may be older than some of their names, are those."""
    if recorded == vars(asked):
        return True
    try:
        return GenerationSettings.from_dict(recorded) == asked
    except (ValueError, TypeError):
        return False
