"""Writing files so that a failure leaves the old file, or none."""

import os
import tempfile
from pathlib import Path


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


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
