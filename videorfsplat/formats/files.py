"""Writing files so that a failure leaves the old file, or none; folders that can take them; reading
texts and JSON objects."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_file(path: str | Path, data: bytes) -> None:
    """Write `data` to `path`, whose folder is made if needed.

    The bytes go to a file beside it that then takes its name, so nobody ever reads half a file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner may read; these are to be shared.
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def check_can_write(folder: Path) -> None:
    """Check that `folder` is one, or can be made, and that files can be put into it.

    Raises:
        ValueError: if it is a file or lies in one, or cannot be written to.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ValueError(f"{existing} is a file, expected a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ValueError(f"{existing}: no permission to write there")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, stripped, with their numbers from 1.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no text in UTF-8.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error}); save it as such or choose another file"
        ) from error
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def read_json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file holds anything else.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
