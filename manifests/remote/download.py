"""Download whole files from fsspec URLs (s3, gs, http, memory), with retries and a check of their bytes.

    download("https://host/shards/train-00000.tar", Path("train-00000.tar"), "sha256:9c…", 80_640_000)

fsspec's own copy functions are not reliable enough: over http they accept a truncated body, call any failure of the
first request FileNotFoundError, and wait 300 s for a stalled server; over s3 they nest retries up to 125 times, and
leave a multipart file at full length after a failure. Here bytes are streamed and hashed, with a time limit between
chunks and one for the whole file.
"""

import asyncio
import hashlib
import os
import time
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.asyn import AsyncFileSystem, sync

from ..errors import BadInput, CheckFailed, TuwenError

TRIES = 6
FIRST_PAUSE_SECONDS = 0.2  # doubled after each failure: 6 s in all
IDLE_SECONDS = 30.0  # without a byte
MOST_SECONDS = 1800.0  # for one try of one file
_CHUNK_BYTES = 1 << 20
_FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError)


def is_remote(location: str) -> bool:
    return "://" in location


def join(base: str, name: str) -> str:
    """Return the path or URL of `name`, which is relative to `base`, absolute, or a URL."""
    if is_remote(name) or name.startswith("/"):
        return name
    scheme, _, path = base.rpartition("://")
    return (f"{scheme}://" if scheme else "") + os.path.normpath(f"{path}/{name}")


def download(url: str, target: Path, sha256: str | None = None, num_bytes: int | None = None) -> None:
    """Raises CheckFailed when the bytes at `url` differ or cannot be read, BadInput when its library is missing."""
    try:
        filesystem, path = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:  # "Install s3fs to access S3", "Protocol not known"
        raise BadInput(f"{url}: {_line(error)}", cure="install the library that fsspec names") from None
    pause = FIRST_PAUSE_SECONDS
    for left in reversed(range(TRIES)):
        try:
            with target.open("wb", buffering=0) as file:
                _download_once(filesystem, path, url, _Sink(file, num_bytes), sha256)
            return
        except _FOR_GOOD as error:
            raise CheckFailed(f"{url}: {_line(error)}", cure="check the address and the rights") from None
        except _DiskError as error:  # of the local disk, not of the server
            raise OSError(error.errno, error.strerror, str(target)) from None
        except Exception as error:  # neither aiohttp's nor botocore's errors are OSErrors
            if not left:
                problem = error.problem if isinstance(error, TuwenError) else f"{url}: {_line(error)}"
                raise CheckFailed(f"{problem}, {TRIES} times", cure="repair the server, or use another one") from None
        time.sleep(pause)
        pause *= 2


def _download_once(filesystem: Any, path: str, url: str, sink: "_Sink", sha256: str | None) -> None:
    if isinstance(filesystem, AsyncFileSystem) and type(filesystem).open_async is not AsyncFileSystem.open_async:
        sync(filesystem.loop, _stream, filesystem, path, sink, timeout=MOST_SECONDS)
    else:
        with filesystem.open(path, "rb") as remote:
            while not sink.is_full and (chunk := remote.read(_CHUNK_BYTES)):
                sink.write(chunk)
    if sink.expected_bytes not in (None, sink.num_bytes):
        amount = f"more than {sink.expected_bytes}" if sink.is_full else f"{sink.num_bytes}"
        raise CheckFailed(f"{url}: {amount} bytes instead of {sink.expected_bytes}", cure="upload it again")
    if sha256 is not None and "sha256:" + sink.hasher.hexdigest() != sha256:
        raise CheckFailed(f"{url}: other bytes than the manifest's (sha256 differs)", cure="upload it again")


async def _stream(filesystem: Any, path: str, sink: "_Sink") -> None:
    async with asyncio.timeout(IDLE_SECONDS):
        # Any size: without one, http requests it first and reports every failure of that as FileNotFoundError.
        remote = await filesystem.open_async(path, "rb", size=0)
    try:
        while not sink.is_full:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await remote.read(_CHUNK_BYTES)
            if not chunk:
                return
            sink.write(chunk)
    finally:
        body = remote.r
        await remote.close()
        if body is not None:
            body.close()  # s3fs leaves it open


class _DiskError(Exception):
    """An error of the local file, which another try would meet again."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.errno, self.strerror = error.errno, error.strerror


class _Sink:
    def __init__(self, file: IO[bytes], expected_bytes: int | None) -> None:
        self.hasher, self.num_bytes, self.expected_bytes, self._file = hashlib.sha256(), 0, expected_bytes, file

    @property
    def is_full(self) -> bool:
        """True after more bytes than expected: an endless response must not fill the disk."""
        return self.expected_bytes is not None and self.num_bytes > self.expected_bytes

    def write(self, chunk: bytes) -> None:
        self.num_bytes += len(chunk)
        if not self.is_full:
            self.hasher.update(chunk)
            left = memoryview(chunk)
            try:
                while left:  # unbuffered, so that an error is raised here and not when the file is closed
                    left = left[self._file.write(left) :]
            except OSError as error:
                raise _DiskError(error) from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
