"""WebDataset tars: a picture, its `.txt` (one caption a line) and its `.json` share a key.

    000123.jpg  000123.txt  000123.json      {"caption" or "captions", "url", "license", "problem"}

Members of one sample may stand anywhere in the tar (interleaved); a key may hold dots and several pictures (`a.0.png`).
img2dataset writes such tars. The index of a tar takes 100 bytes a member, and one picture is in memory at a time: the
size of the tar does not matter.
"""

import json
import os
import re
import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...manifests.errors import BadInput
from ...manifests.recipe.sources import FileSource, SourceSection
from ..executor.part import Part, PictureRoot
from ..tables.cell_text import without_surrogates
from .container_format import container_format
from .passed_over import PassedOver, by_ending, pass_over
from .source import (
    MOST_BYTES,
    PICTURES,
    OpenSource,
    SourceItem,
    SourceListing,
    SourcePart,
    as_text,
    file_and_rest,
    file_source,
    files_below,
    path_below,
    root_path,
    source_part,
)

_CURE = "restore it, or take it out of the source"
_MEMBER = re.compile(r"^((?:.*/|)[^.]+)[.]([^/]*)$")  # key, ending: as webdataset's base_plus_ext, without its torch
_CHUNK_NAMES = 50_000


class WebDatasetSource(FileSource):
    """Tars in which a picture, its .txt and its .json share a key; `path` is a folder of tars, or one tar."""

    kind: Literal["webdataset"]


class TarPart(SourcePart):
    tar: str  # below the root
    bytes: int
    mtime_ns: int
    key_by_row: bool  # the key is made of the member's name without its ending


def locate(section: WebDatasetSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "tar", base / section.path)


def list_source(section: SourceSection, source: OpenSource, key_by_row: bool = False) -> SourceListing:
    """One part for each tar. Raises BadInput when there is none."""
    parts: list[Part[TarPart]] = []
    passed: PassedOver = {}
    for tar, name in files_below(source, passed):
        if container_format(tar) != "tar":
            pass_over(passed, by_ending(name))
            continue
        stat = tar.stat()
        spec = {"tar": name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "key_by_row": key_by_row}
        parts.append(source_part(source, name, spec))
    if not parts:
        raise BadInput(f"source {source.name}: no tar below {source.path}", cure="name a folder with tars, or one")
    return SourceListing(parts, passed)


def read_part(part: Part[TarPart]) -> Iterator[SourceItem]:
    """Raises BadInput on a tar that is cut or damaged."""
    path = path_below(root_path(part), part.spec["tar"])
    try:
        index = _index(path)
    except tarfile.TarError as error:
        raise BadInput(f"{path}: not a whole tar ({error})", cure=_CURE) from None
    with path.open("rb") as file:
        for members in index.samples():
            for item in _items(_Sample(file.fileno(), members), part.spec["tar"]):
                # A row that is fetched has one picture at most, and its key must not change when a retry brings it.
                yield replace(item, key_origin=item.origin.rpartition(".")[0] if part.spec["key_by_row"] else None)


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """`shards/0.tar/000123.jpg` lies in root/shards/0.tar, or in root itself when root is that tar."""
    tar, _ = file_and_rest(Path(root.path), origin)
    with tar.open("rb") as file:
        file.seek(offset)
        return file.read(num_bytes)


@dataclass(frozen=True)
class _Index:
    """Every member of a tar by columns: Python objects for millions of members would take gigabytes."""

    names: pa.ChunkedArray
    keys: NDArray[np.int32]  # the number of each member's key, by first appearance
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    def samples(self) -> Iterator[dict[str, tuple[str, int, int]]]:
        """Yield ending → (name, offset, size) of each key, in the order of the tar."""
        order = np.argsort(self.keys, kind="stable")
        edges = np.flatnonzero(np.diff(self.keys[order], prepend=-1, append=-1))
        names = self.names.combine_chunks()
        for start, stop in pairwise(edges.tolist()):
            members = {}
            for row in order[start:stop].tolist():
                name = names[row].as_py()
                ending = _MEMBER.match(name)[2].lower()  # type: ignore[index]
                members[ending] = (name, int(self.offsets[row]), int(self.sizes[row]))
            yield members


def _index(path: Path) -> _Index:
    numbers: dict[bytes, int] = {}
    chunks: list[pa.Array] = []
    names: list[str] = []
    keys, offsets, sizes = array("i"), array("q"), array("q")
    with tarfile.open(path, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
            match = _MEMBER.match(member.name)
            if not member.isfile() or not match or Path(match[1]).name.startswith(("__", "._")):
                continue
            keys.append(numbers.setdefault(match[1].encode("utf-8", "surrogateescape"), len(numbers)))
            names.append(as_text(member.name))
            offsets.append(member.offset_data)
            sizes.append(member.size)
            if len(names) == _CHUNK_NAMES:
                chunks.append(pa.array(names))
                names.clear()
        _check_end(path, tar)
    chunks.append(pa.array(names, pa.string()))
    return _Index(
        pa.chunked_array(chunks, pa.string()),
        np.frombuffer(keys, np.int32),
        np.frombuffer(offsets, np.int64),
        np.frombuffer(sizes, np.int64),
    )


def _check_end(path: Path, tar: tarfile.TarFile) -> None:
    """Raise BadInput unless zeros follow the last member: tarfile takes a damaged header, or a cut, for the end."""
    with path.open("rb") as file:
        file.seek(tar.offset)
        rest = file.read(tarfile.BLOCKSIZE)
    if len(rest) < tarfile.BLOCKSIZE or rest.strip(b"\0"):
        raise BadInput(f"{path}: damaged or cut short at byte {tar.offset}", cure=_CURE)


@dataclass(frozen=True)
class _Sample:
    file: int
    members: dict[str, tuple[str, int, int]]  # ending → name, offset, size

    def read(self, ending: str) -> bytes:
        _, offset, size = self.members[ending]
        return os.pread(self.file, size, offset)


def _items(sample: _Sample, tar_name: str) -> Iterator[SourceItem]:
    """Yield each picture of a key with its captions; of a key without a picture, the captions."""
    pictures = [ending for ending in sorted(sample.members) if ending.rpartition(".")[2] in PICTURES]
    for ending in pictures:
        name, offset, size = sample.members[ending]
        captions, facts = _captions(sample, ending.rpartition(".")[0])
        data, problem = (sample.read(ending), None) if size <= MOST_BYTES else (None, "file_too_large")
        yield SourceItem(f"{tar_name}/{name}", captions, data, offset, facts.url, facts.license, problem)
    if not pictures:
        name, _, _ = next(iter(sample.members.values()))
        captions, facts = _captions(sample, "")
        yield SourceItem(f"{tar_name}/{name}", captions, None, 0, facts.url, facts.license, facts.problem)


class _Facts(NamedTuple):
    """What a .json says of its picture besides the captions."""

    url: str | None
    license: str | None
    problem: str | None


def _captions(sample: _Sample, stem: str) -> tuple[list[str], _Facts]:
    """The captions in the .txt, else in the .json; the picture's own (`a.0.png`, `a.0.txt`), else the key's."""
    document = _json(sample, stem)
    facts = _Facts(*(_string(document.get(name)) for name in _Facts._fields))
    for ending in (f"{stem}.txt", "txt"):
        if ending in sample.members:
            text = sample.read(ending).decode("utf-8-sig", errors="replace")
            return [line.rstrip("\r") for line in text.split("\n") if line.strip()], facts
    value = document.get("captions", document.get("caption"))
    captions = value if isinstance(value, list) else [value]
    return [without_surrogates(caption) for caption in captions if isinstance(caption, str)], facts


def _json(sample: _Sample, stem: str) -> dict[str, Any]:
    for ending in (f"{stem}.json", "json"):
        if ending in sample.members:
            try:
                document = json.loads(sample.read(ending))
            except (ValueError, RecursionError):
                return {}
            return document if isinstance(document, dict) else {}
    return {}


def _string(value: Any) -> str | None:
    return without_surrogates(value) if isinstance(value, str) and value else None
