"""Addresses of files on the page, and the files that the page itself is made of."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

ASSETS_FOLDER = Path(__file__).parent / "assets"

FILE_PATH = "gradio_api/file="


class ServedFolders:
    """Names for the folders whose files are served, so that no answer tells where they lie."""

    def __init__(self) -> None:
        self._folders: dict[str, Path] = {}

    def add(self, name: str, folder: Path) -> None:
        """Call `folder` by a name from now on; by one with a number, if another one has it, as
        with two pages in one process."""
        folder, told, number = folder.resolve(), f"@{name}", 1
        while self._folders.get(told, folder) != folder:
            number += 1
            told = f"@{name}-{number}"
        self._folders[told] = folder

    def told(self, path: Path) -> str:
        """A path as it is told to visitors: `@name/…` if it lies in a named folder."""
        for name, folder in self._folders.items():
            if path.is_relative_to(folder):
                return f"{name}/{path.relative_to(folder)}"
        return str(path)

    def meant(self, told: str) -> str:
        """The path on this machine of a told one; others are as they are."""
        name, separator, rest = told.partition("/")
        folder = self._folders.get(name)
        return told if folder is None else f"{folder}{separator}{rest}"

    def told_in(self, value: Any) -> Any:
        """Plain data, all texts in it with paths as they are told."""
        if isinstance(value, str):
            for name, folder in self._folders.items():
                for form in (str(folder), quote(str(folder))):
                    value = value.replace(form, name)
            return value
        if isinstance(value, dict):
            return {key: self.told_in(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.told_in(item) for item in value]
        return value

    def meant_in(self, body: bytes) -> bytes:
        """JSON that was sent, its texts that begin with a told path with the one that is meant."""
        for name, folder in self._folders.items():
            body = body.replace(f'"{name}/'.encode(), f'"{folder}/'.encode())
        return body


SERVED_FOLDERS = ServedFolders()
"""Of this process."""


def file_url(path: Path) -> str:
    """The address of a served file, relative to the page, so that it holds behind any proxy."""
    return f"{FILE_PATH}{quote(SERVED_FOLDERS.told(path), safe='/@')}"


def read_asset(name: str) -> str:
    """The text of a style sheet or script of the page."""
    return (ASSETS_FOLDER / name).read_text(encoding="utf-8")
