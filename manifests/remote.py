"""Files at fsspec URLs (s3, gs, http, memory), downloaded whole, tried again, and believed only when they are right.

download("https://host/shards/train-00000.tar", "sha256:9c…", 80_640_000, Path("train-00000.tar"))
"""

import hashlib
import os
import time
from pathlib import Path
from typing import IO, Any

import fsspec

from .errors import BadInput, CheckFailed, TuwenError

_TRIES = 6
_FIRST_PAUSE_SECONDS = 0.2  # doubled after each failure: 6 s in all
_CHUNK_BYTES = 1 << 20


def is_remote(place: str) -> bool:
    return "://" in place


def join(base: str, name: str) -> str:
    """A name, or an address of its own, seen from a folder or URL."""
    if is_remote(name) or name.startswith("/"):
        return name
    scheme, _, path = base.rpartition("://")
    return (f"{scheme}://" if scheme else "") + os.path.normpath(f"{path}/{name}")


def download(url: str, target: Path, sha256: str | None = None, num_bytes: int | None = None) -> None:
    """Raises CheckFailed when the bytes at `url` are others or cannot be had, BadInput when its library is missing."""
    pause = _FIRST_PAUSE_SECONDS
    for left in reversed(range(_TRIES)):
        try:
            _download_once(url, target, sha256, num_bytes)
            return
        except (FileNotFoundError, PermissionError) as error:
            raise CheckFailed(f"{url}: {_line(error)}", cure="check the address and the rights") from None
        except (ImportError, ValueError) as error:  # fsspec: "Install s3fs to access S3", "Protocol not known"
            raise BadInput(f"{url}: {_line(error)}", cure="install the library that fsspec names") from None
        except Exception as error:
            if not left:
                problem = error.problem if isinstance(error, TuwenError) else f"{url}: {_line(error)}"
                raise CheckFailed(f"{problem}, {_TRIES} times", cure="mend the server, or name another place") from None
        time.sleep(pause)
        pause *= 2


def _download_once(url: str, target: Path, sha256: str | None, num_bytes: int | None) -> None:
    hasher, got = hashlib.sha256(), 0
    with _open(url) as remote, target.open("wb") as file:
        while chunk := remote.read(_CHUNK_BYTES):
            got += len(chunk)
            if num_bytes is not None and got > num_bytes:
                break
            hasher.update(chunk)
            file.write(chunk)
    if num_bytes is not None and got != num_bytes:
        amount = f"more than {num_bytes}" if got > num_bytes else f"{got}"
        raise CheckFailed(f"{url}: {amount} bytes instead of {num_bytes}", cure="upload it again")
    if sha256 is not None and "sha256:" + hasher.hexdigest() != sha256:
        raise CheckFailed(f"{url}: other bytes than the manifest's (sha256 differs)", cure="upload it again")


def _open(url: str) -> IO[Any]:
    return fsspec.open(url, "rb", block_size=0).open()  # type: ignore[no-any-return]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
