"""Files that appear whole or not at all.

    with whole_file(path) as temporary:
        temporary.write_bytes(data)

The temporary file is beside the target, because a rename across file systems is a copy. It is flushed to the disk
before the rename, and removed after any error, so that a full disk leaves no partial file.

    with sole_writer(folder):
        …                       # meanwhile another process that wants to write there is refused
"""

import fcntl
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import BadInput


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.[0-9]*.tmp"):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush(path.parent)  # the rename itself must survive a power cut
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock `folder` for writing. Raises BadInput while another process holds the lock, which ends with its process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(
                f"{folder}: another tuwen is writing there", cure="wait for it, or give another --out"
            ) from None
        yield


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
