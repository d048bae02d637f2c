"""What the page keeps on the disk: one folder per request, and what visitors sent.

Both are bounded in size and age, and leave free what others need of the disk. The limits hold when
something is about to be written: the oldest that nobody uses goes first. Names are drawn at random
from 2¹²⁸: who does not have the link cannot find the folder.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody reads cannot be removed anyway
    fcntl = None

MAX_BYTES = 2 * 2**30
MAX_UPLOADS_BYTES = 2**29
MAX_AGE_SECONDS = 24 * 3600.0
MIN_FREE_BYTES = 2**30
"""To be left on the disk, or `MIN_FREE_SHARE` of it where that is less."""
MIN_FREE_SHARE = 0.05

_NAME = re.compile(r"[A-Za-z0-9_-]{22}")
# `.NAME.xxxx` is what is left of a scene that was being saved when its process was killed.
_KEPT_NAME = re.compile(rf"\.?({_NAME.pattern})(\..+)?")
_LOCK_SUFFIX = ".lock"


class RequestFiles:
    """The folders of all requests.

    Args:
        root: made if needed; may be shared by several processes of this machine.
        max_bytes: of all folders together; the oldest go first.
        max_age_seconds: after which a folder goes.
        uploads: folder of what visitors sent.
        max_uploads_bytes: of all that is in `uploads`; the oldest goes first.
        min_free_bytes: to be left on the disk; `MIN_FREE_SHARE` of it where that is less.

    Raises:
        ValueError: if `root` cannot be made or written to.
    """

    def __init__(
        self,
        root: Path,
        max_bytes: int = MAX_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
        uploads: Path | None = None,
        max_uploads_bytes: int = MAX_UPLOADS_BYTES,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{root} cannot be made: {error.strerror}") from error
        self.root = root.resolve()
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise ValueError(f"{self.root}: no permission to write there")
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._uploads = uploads
        self._max_uploads_bytes = max_uploads_bytes
        self._min_free_bytes = min(
            min_free_bytes, round(MIN_FREE_SHARE * shutil.disk_usage(self.root).total)
        )
        self._pruning = Lock()
        self._largest = 0

    @contextmanager
    def new(self) -> Iterator[Path]:
        """A new folder for a request, in use until the context ends; then it goes if it is empty.

        Raises:
            OSError: in words, if the disk is full of what may not be removed.
        """
        self._make_room_for_result()
        name = secrets.token_urlsafe(16)
        with self.in_use(name):
            folder = self.root / name
            folder.mkdir()
            try:
                yield folder
            finally:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
        # By now it is known how large it is.
        self.prune()

    @contextmanager
    def adding_to(self, folder: Path) -> Iterator[None]:
        """A folder in use, to which files are added.

        Raises:
            OSError: in words, if the disk is full of what may not be removed.
        """
        with self.in_use(folder.name):
            self._make_room_for_result()
            yield
        self.prune()

    @contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """Nobody removes the folder of that name, in no process and whatever the clock says."""
        handle = os.open(self._lock_of(name), os.O_RDWR | os.O_CREAT, 0o644)
        try:
            # Shared, as a scene may be looked at by several. The system lets go if we die.
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_SH)
            yield
        finally:
            os.close(handle)

    def find(self, name: str) -> Path | None:
        """The folder of that name, if it is still there; asking for it makes it young again."""
        folder = self.root / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            return None
        try:
            os.utime(folder)
        except FileNotFoundError:
            return None
        return folder

    def make_room_for_upload(self, size: int) -> None:
        """Remove old uploads until one of `size` bytes fits.

        Raises:
            OSError: in words, if it does not.
        """
        if self._uploads is None:
            return
        self._uploads.mkdir(parents=True, exist_ok=True)
        with self._pruning:
            self._prune_uploads(size)
        self._check_free(size)

    def prune(self) -> None:
        """Remove what is too old, then the oldest of what is too much."""
        with self._pruning:
            self._prune_results(0)
            if self._uploads is not None and self._uploads.is_dir():
                self._prune_uploads(0)

    def _make_room_for_result(self) -> None:
        with self._pruning:
            self._prune_results(self._largest)
        self._check_free(0)

    def _prune_results(self, needed: int) -> None:
        found: dict[str, list[Path]] = {}
        for path in self.root.iterdir():
            if match := _KEPT_NAME.fullmatch(path.name):
                found.setdefault(match[1], []).append(path)
        items = [_Item(paths, self._lock_of(name)) for name, paths in found.items()]
        self._largest = max((item.size for item in items), default=0)
        self._remove(items, self._max_bytes - needed, needed)

    def _prune_uploads(self, needed: int) -> None:
        assert self._uploads is not None
        paths = list(self._uploads.iterdir())
        items = [_Item([path]) for path in paths]
        self._remove(items, self._max_uploads_bytes - needed, needed)

    def _remove(self, items: "list[_Item]", max_bytes: int, needed: int) -> None:
        """Remove what is too old; then the oldest until the rest has at most `max_bytes` and the
        disk has room for `needed` more."""
        now, kept = time.time(), sum(item.size for item in items)
        for item in sorted(items, key=lambda item: item.modified):
            is_too_much = kept > max_bytes or self._free() < self._min_free_bytes + needed
            if (now - item.modified > self._max_age_seconds or is_too_much) and item.remove():
                kept -= item.size

    def _lock_of(self, name: str) -> Path:
        return self.root / f"{name}{_LOCK_SUFFIX}"

    def _free(self) -> int:
        return shutil.disk_usage(self.root).free

    def _check_free(self, needed: int) -> None:
        # What is to be left is for others; we stop before the last of it is gone.
        if self._free() < self._min_free_bytes // 2 + needed:
            raise OSError("The disk of this page is full. Try again later.")


class _Item:
    """Files that go together.

    Args:
        paths: files and folders.
        lock: a file that is locked as long as somebody uses them.
    """

    def __init__(self, paths: list[Path], lock: Path | None = None) -> None:
        self._paths, self._lock = paths, lock
        self.size = sum(map(_size, paths))
        self.modified = max(map(_modified, paths))

    def remove(self) -> bool:
        """Remove them unless they are in use; whether they are gone."""
        if self._lock is None or not self._lock.exists():
            self._remove()
            return True
        with self._lock.open("rb") as lock:
            try:
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._remove()
        return True

    def _remove(self) -> None:
        for path in self._paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


# Files come and go while they are counted: of a run, and of other processes on the same root.


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    if not path.is_dir():
        return _file_size(path)
    files = (Path(parent) / name for parent, _, names in os.walk(path) for name in names)
    return sum(map(_file_size, files))


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
