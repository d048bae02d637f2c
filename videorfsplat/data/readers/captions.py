"""Captions of recorded scenes: JSON lines `{"scene": name, "captions": [text, …]}`."""

import json
from collections.abc import Iterator
from pathlib import Path

from videorfsplat.formats.files import json_object, read_lines


def read_captions(path: str | Path) -> dict[str, list[str]]:
    """Captions of each scene; lines of one scene add up.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, the line and what is wrong.
    """
    captions: dict[str, list[str]] = {}
    for scene, texts in _lines(Path(path)):
        captions.setdefault(scene, []).extend(texts)
    return captions


def caption_line(scene: str, captions: list[str]) -> str:
    """One line of such a file, with its end."""
    return json.dumps({"scene": scene, "captions": captions}, ensure_ascii=False) + "\n"


def _lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    for number, line in read_lines(path):
        try:
            content = json_object(line)
            scene, texts = content["scene"], content["captions"]
        except (ValueError, KeyError) as error:
            raise ValueError(
                f'{path}, line {number}: expected {{"scene": …, "captions": […]}} ({error})'
            ) from error
        is_text = isinstance(scene, str) and isinstance(texts, list)
        if not is_text or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise ValueError(f"{path}, line {number}: captions must be texts, at least one")
        yield scene, texts
