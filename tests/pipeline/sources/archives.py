"""Small archives as people make them."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from warnings import catch_warnings

from ...conftest import draw, encoded
from .reading import Reading

Members = Iterable[tuple[str, bytes]]
RED, BLUE, GREEN = (encoded(draw(colour, "圆", 60), "JPEG") for colour in "红蓝绿")


def tar_bytes(members: Members, format_: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(members: Members, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, catch_warnings(action="ignore"):  # two members of one name
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def gzip_bytes(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def saved_as(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def reading(path: Path, **keys: Any) -> Reading:
    return Reading("webdataset", path, **keys)


def pictures(read: Reading) -> dict[str, tuple[bytes | None, list[str]]]:
    return {item.origin: (item.data, item.captions) for item in read.items}


def text(words: str) -> bytes:
    return words.encode()


SAMPLES = [("a.jpg", RED), ("a.txt", text("红")), ("b.jpg", BLUE), ("b.txt", text("蓝"))]
TAR = tar_bytes(SAMPLES)
