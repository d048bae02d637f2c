"""Writing files so that a failure leaves the old file, or none; folders that can take them; reading
texts, JSON objects and packed bytes; the one kind of error that reading has."""

import json
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MAX_INFLATION = 32
"""Bytes that a packed byte of a stranger's file may become. Splats and matrices pack to a third at
best, while a file made to fill the memory has a thousand."""
SMALL_BYTES = 8 * 2**20
"""What any file may unpack to."""


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn whatever a reader raises into a `ValueError` that starts with the file's name.

    Libraries agree on no exception for contents that they do not expect. A missing file and other
    errors of the system stay as they are.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{path} is damaged: {error}") from error
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: {error}") from error
    except MemoryError as error:
        raise ValueError(f"{path} needs more memory than there is") from error
    # A reader has no side effects: what else it raises says that the contents are not as expected.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise ValueError(f"{path} is damaged or of another kind ({reason})") from error


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """What to sort names by so that `2.png` comes before `10.png`, in every folder of a path."""
    parts = re.split(r"(\d+)", name.replace("\\", "/"))
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def inflation_limit(size: int, trusted: bool = False) -> int:
    """Bytes that a packed file of `size` bytes may become; nothing bounds one that is `trusted`."""
    return 2**62 if trusted else max(SMALL_BYTES, MAX_INFLATION * size)


def gunzip(data: bytes, *, trusted: bool = False) -> bytes:
    """The contents of gzip bytes.

    Raises:
        ValueError: if they are damaged, or become more than `inflation_limit` allows.
    """
    limit = inflation_limit(len(data), trusted)
    decoder = zlib.decompressobj(wbits=31)
    try:
        content = decoder.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(f"not gzip, or damaged ({error})") from error
    if decoder.unconsumed_tail:
        raise ValueError(f"{len(data)} bytes become more than {limit}, which no such file does")
    if not decoder.eof:
        raise ValueError("not gzip, or damaged: it ends too early")
    return content


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


def write_tensors(
    path: str | Path, tensors: dict[str, "Tensor"], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as safetensors; as `write_file`, and on the disk when this returns.

    Raises:
        OSError: if they cannot be written.
    """
    # Loaded here: whoever reads a list of prompts needs no torch.
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        save_file(tensors, unfinished, metadata)
        share(unfinished)
        sync(unfinished)
        os.replace(unfinished, path)
    except SafetensorError as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def exporting(folder: Path) -> Iterator[None]:
    """What libraries save in `folder` within this context gets the mode that the umask asks for.

    Raises:
        OSError: if a file cannot be written, which safetensors calls otherwise.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise OSError(f"{folder} cannot be written: {error}") from error
    share(folder)


def share(path: Path) -> None:
    """Give a file, or all files in a folder, the mode that the umask asks for.

    safetensors makes files that only their owner may read.
    """
    mode = 0o666 & ~_umask()
    for file in path.rglob("*") if path.is_dir() else (path,):
        if file.is_file():
            os.chmod(file, mode)


def sync(path: Path) -> None:
    """Wait until a file, or the list of files of a folder, is on the disk."""
    # Windows opens no folders, and needs no word for them.
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
        # Notepad and spreadsheets put a byte order mark first, which is no part of the text.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
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
    with reading(path):
        return json_object(path.read_bytes())


def json_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON text holds.

    Raises:
        ValueError: if it holds anything else.
    """
    try:
        content = json.loads(text)
    # Nesting of thousands is Python's limit, digits of thousands another.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    return content


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
