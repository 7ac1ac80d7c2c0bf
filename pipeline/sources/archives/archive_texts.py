"""The encoding of the texts in archives, told for a source as a whole from samples of some of them.

told_encoding("wukong", archives)      # "gb18030"; None: there are no texts

Of at most 20 archives, spread over the source, the first members are looked at, and of a gzip its first megabytes.
JSON is UTF-8 unless it cannot be: it tells nothing of the .txt beside it.
"""

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from ....manifests.errors import BadInput
from ...tables.text_encoding import ENCODINGS, SAMPLE_BYTES, encoding_of
from .archive import Archive, BrokenMember
from .archive_index import JSON, PICTURE, kind_of_name
from .byte_window import ByteWindow
from .open_archive import archive_format, open_archive
from .tar_archive import TarArchive

_MOST_ARCHIVES = 20
_MOST_TEXT_BYTES = SAMPLE_BYTES // _MOST_ARCHIVES  # of one archive
_MOST_MEMBERS = 4000
_MOST_MEMBERS_OF_THE_FIRST = 100_000  # which may begin with all of its pictures
_TEXT_BYTES = 4096
_GZIP_BYTES = 8 * 1024**2  # unpacked


def told_encoding(source: str, archives: list[Path]) -> str | None:
    """Return one of ENCODINGS. Raises BadInput when it is not clear."""
    chosen = archives[:: -(-len(archives) // _MOST_ARCHIVES)]
    samples = [sample for path in chosen for sample in _texts(path, is_first=path == chosen[0])]
    encoding = encoding_of(text for kind, text in samples if kind != JSON or not _is_utf8(text))
    if encoding is None:
        raise BadInput(
            f"source {source}: the encoding of its texts is not clear",
            cure=f"name it with `encoding:`, one of {', '.join(ENCODINGS)}",
        )
    return encoding if samples else None


def check_fields(archive: Path, fields: list[str]) -> None:
    """Raise BadInput when the first .json of an archive have one of the fields nowhere."""
    found: dict[str, None] = {}
    for kind, text in _texts(archive, is_first=True):
        if kind == JSON:
            try:
                document = json.loads(text)
            except (ValueError, RecursionError):
                return  # one that is long was cut: it may have what the others lack
            found |= dict.fromkeys(document if isinstance(document, dict) else {})
    for field in fields:
        if found and field not in found:
            raise BadInput(f"{archive}: no .json has a field `{field}`", cure=f"they have {', '.join(found)}")


def _texts(path: Path, is_first: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the first texts of an archive, each with its kind. Damage is said when it is read."""
    most_members, num_bytes = _MOST_MEMBERS_OF_THE_FIRST if is_first else _MOST_MEMBERS, 0
    try:
        archive = _beginning(path)
        for number, member in enumerate(archive.members()):
            if num_bytes > _MOST_TEXT_BYTES or number > (_MOST_MEMBERS if num_bytes else most_members):
                return
            if member.passed is None and (kind := kind_of_name(member.name)) not in (None, PICTURE):
                try:
                    text = archive.read(member.offset, min(member.size, _TEXT_BYTES))
                except BrokenMember:
                    continue
                num_bytes += len(text)
                yield kind, text
    except BadInput:
        return


def _beginning(path: Path) -> Archive:
    if archive_format(path) != "gzip":
        return open_archive(path)
    head = tempfile.TemporaryFile()  # noqa: SIM115  # closed with its last window
    try:
        with gzip.open(path) as file:
            while head.tell() < _GZIP_BYTES and (piece := file.read(1 << 16)):
                head.write(piece)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        pass
    head.flush()
    return TarArchive(str(path), ByteWindow(head))


def _is_utf8(text: bytes) -> bool:
    """The last character may be cut."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(text) - 3
    return True
