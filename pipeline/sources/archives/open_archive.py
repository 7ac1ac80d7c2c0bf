"""An archive opened by what it is, not by its name: a tar, a gzip of a tar, a zip; also one inside of another.

    archive_format(path)                                 # "gzip": of a tar; None: no archive of pictures
    open_archive(path).members()
    open_archive(path, ("inner.zip",)).read(512, 99)     # in the zip that is a member of the archive

A gzip is unpacked once, into a temporary file of the worker that is gone with it: memory stays small, and the disk that
TMPDIR names needs room for it. So is what must be unpacked inside of another archive. A few archives stay open, as
pictures are mostly read again in their order.
"""

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from ....manifests.errors import BadInput
from ...tables.container_format import container_format, format_of, is_tar_header
from .archive import Archive, BrokenMember, Member
from .byte_window import ByteWindow, ReadableFile
from .tar_archive import TarArchive
from .zip_archive import ZipArchive

MOST_DEPTH = 4  # of archives inside of archives: there are zips that hold themselves
GZIP_HEAD_BYTES = 1 << 16  # in which the header of its tar surely is
_CURE = "restore it, or take it out of the source"
_COPY_BYTES = 1 << 20
_OPEN_ARCHIVES = 4
# Zips by their content that nobody means as archives of pictures.
_ZIP_DOCUMENTS = (
    ".docx", ".xlsx", ".pptx", ".odt", ".ods", ".odp", ".epub", ".npz", ".pt", ".pth", ".ckpt", ".jar", ".apk", ".whl",
    ".kmz",
)  # fmt: skip


def archive_format(path: Path) -> str | None:
    """Raises OSError when the file cannot be opened."""
    found = container_format(path)
    if found != "gzip":
        return found if found in ("tar", "zip") and not is_document(path.name) else None
    with path.open("rb") as file:
        return "gzip" if holds_tar(file.read(GZIP_HEAD_BYTES)) else None


def is_document(name: str) -> bool:
    return name.lower().endswith(_ZIP_DOCUMENTS)


def holds_tar(gzip_head: bytes) -> bool:
    """Whether a gzip that begins with these bytes is one of a tar."""
    try:
        return is_tar_header(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(gzip_head, 512))
    except zlib.error:
        return False


def open_archive(path: Path, inner: tuple[str, ...] = ()) -> Archive:
    """`inner`: the names of archives, each a member of the one before. Raises BadInput, FileNotFoundError, KeyError."""
    stat = path.stat()
    return _open_archive(path, stat.st_mtime_ns, stat.st_size, inner)


@lru_cache(maxsize=_OPEN_ARCHIVES)
def _open_archive(path: Path, mtime_ns: int, size: int, inner: tuple[str, ...]) -> Archive:
    if not inner:
        return _archive_in(str(path), ByteWindow(path.open("rb")))
    *outer, name = inner
    archive = _open_archive(path, mtime_ns, size, tuple(outer))
    shown = f"{path}/{'/'.join(inner)}"
    try:
        with archive.open(_member(archive, name)) as file:
            return _archive_in(shown, file if isinstance(file, ByteWindow) else _unpacked(shown, file))
    except BrokenMember as error:
        raise BadInput(f"{shown}: cannot be unpacked ({error})", cure=_CURE) from None


def _archive_in(shown: str, window: ByteWindow) -> Archive:
    found = format_of(window.read_at(0, 512))
    if found == "zip":
        return ZipArchive(shown, window)
    if found == "gzip":
        with _gzip_errors(shown):
            window = _unpacked(shown, gzip.GzipFile(fileobj=window))
    return TarArchive(shown, window)


def _unpacked(shown: str, file: ReadableFile) -> ByteWindow:
    copy = tempfile.TemporaryFile()  # noqa: SIM115  # closed with its last window
    while piece := file.read(_COPY_BYTES):
        try:
            copy.write(piece)
        except OSError as error:
            raise BadInput(
                f"{shown}: no room to unpack it in {tempfile.gettempdir()} ({error.strerror})",
                cure="let TMPDIR name a folder with more room, or unpack the archive",
            ) from None
    copy.flush()
    return ByteWindow(copy)


@contextmanager
def _gzip_errors(shown: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise BadInput(f"{shown}: the gzip is cut or damaged ({error})", cure=_CURE) from None


def _member(archive: Archive, name: str) -> Member:
    """The member of that name; `inner.zip#2` is the second of the name `inner.zip`. Raises KeyError."""
    base, _, number = name.rpartition("#")
    count = 0
    for member in archive.members():
        count += member.name == base
        if member.name == name or (member.name == base and number == str(count)):
            return member
    raise KeyError(name)
