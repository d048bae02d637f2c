"""One folder per request, under one root that is bounded in size and age.

Names are drawn at random from 2¹²⁸: who does not have the link cannot find the folder.
"""

import os
import re
import secrets
import shutil
import time
from pathlib import Path

MAX_BYTES = 2 * 2**30
MAX_AGE_SECONDS = 24 * 3600.0
# Younger ones may be in use by a run, whatever the size of all.
GRACE_SECONDS = 900.0

_NAME = re.compile(r"[A-Za-z0-9_-]{22}")


class RequestFiles:
    """The folders of all requests.

    Args:
        root: made if needed.
        max_bytes: of all folders together; the oldest go first.
        max_age_seconds: after which a folder goes.
        uploads: folder of what visitors sent, in folders that are bounded in the same way.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int = MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        uploads: Path | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._uploads = uploads

    def new(self) -> Path:
        """An empty folder for a request, after old ones were removed."""
        self.prune()
        folder = self.root / secrets.token_urlsafe(16)
        folder.mkdir()
        return folder

    def find(self, name: str) -> Path | None:
        """The folder of that name, if it is still there."""
        folder = self.root / name
        return folder if _NAME.fullmatch(name) and folder.is_dir() else None

    def prune(self) -> None:
        """Remove what is too old, then the oldest of what is too much."""
        self._prune([folder for folder in self.root.iterdir() if _NAME.fullmatch(folder.name)])
        if self._uploads is not None and self._uploads.is_dir():
            self._prune([folder for folder in self._uploads.iterdir() if folder.is_dir()])

    def _prune(self, folders: list[Path]) -> None:
        now = time.time()
        kept = 0
        for folder in sorted(folders, key=_modified, reverse=True):
            age = now - _modified(folder)
            kept += _size(folder)
            is_removable = age > GRACE_SECONDS and kept > self._max_bytes
            if age > self._max_age_seconds or is_removable:
                shutil.rmtree(folder, ignore_errors=True)


# Files come and go while they are counted: of a run, and of other processes on the same root.


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    files = (Path(parent) / name for parent, _, names in os.walk(folder) for name in names)
    return sum(map(_file_size, files))


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
