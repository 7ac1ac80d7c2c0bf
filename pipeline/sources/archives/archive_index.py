"""The members of an archive by columns, told from one another, and grouped into the samples of their keys.

    index = ArchiveIndex(archive)
    for passed in index.fill(): …           # ("hidden", Member("._a.jpg", …)): what is no picture, text or sidecar
    for sample in index.samples(): …        # [Entry("a.jpg", "jpg", PICTURE, …), Entry("a.txt", "txt", TXT, …)]

The key of `shots/0.b.jpg` is `shots/0`, its ending `b.jpg`, as webdataset has it. A member whose ending says nothing is
told by its content. A member takes 100 bytes: Python objects for millions of them would take gigabytes.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ...tables.container_format import format_of, is_tar_header, other_archive_of
from ..picture_format import picture_ending
from ..source import PICTURES
from .archive import HEAD_BYTES, Archive, BrokenMember, Member
from .open_archive import GZIP_HEAD_BYTES, MOST_DEPTH, holds_tar, is_document

PICTURE, TXT, CAPTION, JSON, OTHER = range(5)
UNPACK = "unpack it, or pack it again as zip or tar"
_KINDS = {**dict.fromkeys(PICTURES, PICTURE), "txt": TXT, "caption": CAPTION, "json": JSON}
_NUMBERED = re.compile(r"(#\d+)+$")
_METADATA = re.compile(r"__[^.]*__($|[.])")  # what webdataset passes over: it describes a shard, such as `__shard__`
_CHUNK_NAMES = 50_000


class Entry(NamedTuple):
    """A member of a sample."""

    name: str  # unique in its archive: the second of one name has `#2` behind it
    ending: str  # in lower case
    kind: int
    offset: int
    size: int

    @property
    def stem(self) -> str:
        """What its ending has in common with those of its captions: `0` of `0.png` and `0.txt`."""
        return self.ending.rpartition(".")[0]


class ArchiveIndex:
    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._numbers: dict[str, int] = {}  # of each key, by first appearance
        self._chunks: list[pa.Array] = []
        self._names: list[str] = []
        self._keys, self._kinds, self._offsets, self._sizes = array("i"), array("b"), array("q"), array("q")
        self.archives: list[Member] = []  # inside of this one, that must be unpacked

    def fill(self) -> Iterator[tuple[str, Member]]:
        """Read the list of members. Yield those that are passed over, each with its kind. Raises BadInput."""
        yield from self._walk(self._archive, 0)
        self._chunks.append(pa.array(self._names, pa.string()))

    def samples(self) -> Iterator[list[Entry]]:
        """In the order of their first members."""
        names = pa.chunked_array(self._chunks, pa.string()).combine_chunks()
        keys, kinds = np.frombuffer(self._keys, np.int32), self._kinds
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order], prepend=-1, append=-1))
        for start, stop in pairwise(edges.tolist()):
            rows = order[start:stop].tolist()
            yield [
                Entry(unique, _split(name)[1].lower(), kinds[row], self._offsets[row], self._sizes[row])
                for row, name, unique in _with_unique(rows, [names[row].as_py() for row in rows])
            ]

    def _walk(self, archive: Archive, depth: int) -> Iterator[tuple[str, Member]]:
        for member in archive.members():
            key, ending = _split(member.name)
            kind = _kind_of_ending(ending)
            passed = member.passed or _passed_by_name(member.name)
            if passed is None and kind is None:
                kind, found = self._by_content(member)
                if found == "tar" and depth < MOST_DEPTH and (inner := archive.inside(member)) is not None:
                    yield from self._walk(inner, depth + 1)
                    continue
                if found in ("tar", "gzip", "zip"):
                    self.archives.append(member)
                    continue
                passed = found and f"{found} ({UNPACK})"
            if passed is not None:
                yield passed, member
            else:
                self._add(member, key, OTHER if kind is None else kind)

    def _by_content(self, member: Member) -> tuple[int | None, str | None]:
        """The kind of a picture; the format of an archive."""
        try:
            head = self._archive.read(member.offset, min(HEAD_BYTES, member.size))
            if picture_ending(head):
                return PICTURE, None
            found = format_of(head)
            if found == "gzip":
                return None, "gzip" if holds_tar(
                    self._archive.read(member.offset, min(GZIP_HEAD_BYTES, member.size))
                ) else None
        except BrokenMember:
            return None, None
        if found == "tar":
            return None, "tar" if is_tar_header(head[:512]) and head[:512].strip(b"\0") else None
        if found == "zip":
            return None, None if is_document(member.name) else "zip"
        return None, other_archive_of(head)

    def _add(self, member: Member, key: str, kind: int) -> None:
        self._keys.append(self._numbers.setdefault(key, len(self._numbers)))
        self._kinds.append(kind)
        self._names.append(member.name)
        self._offsets.append(member.offset)
        self._sizes.append(member.size)
        if len(self._names) == _CHUNK_NAMES:
            self._chunks.append(pa.array(self._names))
            self._names.clear()


def kind_of_name(name: str) -> int | None:
    """PICTURE, TXT, CAPTION or JSON; None where the name does not say."""
    return None if _passed_by_name(name) else _kind_of_ending(_split(name)[1])


def _kind_of_ending(ending: str) -> int | None:
    return _KINDS.get(ending.rpartition(".")[2].lower())


def _split(name: str) -> tuple[str, str]:
    """The key and the ending. `a` and `a#2` share a key, as the second member of the name `a` is called so."""
    folder, slash, base = name.rpartition("/")
    stem, dot, ending = base.partition(".")
    if not dot:
        stem = _NUMBERED.sub("", stem)
    return f"{folder}{slash}{stem}", ending


def _passed_by_name(name: str) -> str | None:
    base = name.rpartition("/")[2]
    if base.startswith("."):
        return "hidden"
    return "WebDataset's metadata" if _METADATA.match(base) else None


def _with_unique(rows: list[int], names: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield each row with its name, and with one that no other has. A name keeps itself where it can."""
    taken = set(names)
    if len(taken) == len(names):
        yield from zip(rows, names, names, strict=True)
        return
    seen: Counter[str] = Counter()
    for row, name in zip(rows, names, strict=True):
        seen[name] += 1
        unique = name
        while seen[name] > 1 and unique in taken:
            unique = f"{name}#{seen[name]}"
            seen[name] += unique in taken
        taken.add(unique)
        yield row, name, unique
