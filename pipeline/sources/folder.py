"""A folder of pictures, anywhere below it, with their captions in files.

`captions.tsv` (file TAB caption, no header), `captions.jsonl` ({"file", "caption"} or {"file", "captions"}), a
`.txt` beside each picture (a caption a line), or a file that the recipe names (`captions: x.txt`): COCO-CN's and
Flickr8k-CN's `COCO_val2014_000000000042#zhm#0 caption`, whose picture has that stem; .tsv and .jsonl as above.
A picture with five captions is five pairs. The `.txt` beside a picture counts
only if no caption file names the picture.
"""

import json
import os
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypedDict

from ...manifests.errors import BadInput
from ...manifests.recipe.sources import FileSource
from ..executor.part import Part, PictureRoot
from ..tables.cell_text import without_surrogates
from .source import (
    MOST_BYTES,
    PICTURES,
    OpenSource,
    SourceItem,
    SourceListing,
    SourcePart,
    as_text,
    file_source,
    hash64,
    name_below,
    path_below,
    root_path,
    source_part,
)

_PART_PICTURES = 1000  # in the mean
_NUMBERED = re.compile(r"^(?P<stem>[^\s#]+)#(?:[a-z]+#)?\d+\s+(?P<caption>.+)$")  # 1000268201_693b08cb0e#zhc#0 小女孩…

Captions = dict[str, list[str]]  # by origin


class FolderSource(FileSource):
    """Pictures with captions.tsv, captions.jsonl, or a .txt beside each."""

    kind: Literal["folder"]
    captions: str | None = None  # one more caption file below `path`; its ending says how it is read


class FolderItem(TypedDict):
    """A picture that is not read yet: its size and time are hashed for its bytes; None where the file is missing."""

    origin: str
    captions: list[str]
    bytes: int | None
    mtime_ns: int | None


class FolderPart(SourcePart):
    items: list[FolderItem]


def locate(section: FolderSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "folder", base / section.path)


def list_source(section: FolderSource, source: OpenSource) -> SourceListing:
    """Parts of about 1,000 pictures. Raises BadInput when there is no folder, or no picture in it."""
    root = source.path
    if not root.is_dir():
        raise BadInput(f"source {source.name}: {root} is not a folder", cure="name the folder that holds the pictures")
    pictures = sorted(_walk(root))
    if not pictures:
        raise BadInput(
            f"source {source.name}: no pictures below {root}", cure=f"known endings: {', '.join(sorted(PICTURES))}"
        )
    captions = _caption_files(section, root, pictures)
    origins = sorted(set(pictures) | set(captions))
    return SourceListing(
        [
            source_part(
                source, origins[start], {"items": [_item(root, origin, captions) for origin in origins[start:stop]]}
            )
            for start, stop in pairwise(_edges(origins))
        ]
    )


def read_part(part: Part[FolderPart]) -> Iterator[SourceItem]:
    for item in part.spec["items"]:
        path = path_below(root_path(part), item["origin"])
        too_large = path.is_file() and path.stat().st_size > MOST_BYTES
        data = path.read_bytes() if path.is_file() and not too_large else None
        yield SourceItem(item["origin"], item["captions"], data, problem="file_too_large" if too_large else None)


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    with path_below(Path(root.path), origin).open("rb") as file:
        return file.read(num_bytes + 1)  # one more tells that it has grown


def _edges(origins: list[str]) -> list[int]:
    """The index of each part's first origin, and the end.

    Hashes of names choose the first origins, so that a picture that is added or removed changes one part.
    """
    inner = [index for index, origin in enumerate(origins) if index and hash64(origin) % _PART_PICTURES == 0]
    return [0, *inner, len(origins)]


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if Path(name).suffix[1:].lower() in PICTURES and not name.startswith("."):
                yield name_below(root, Path(folder) / name)


def _item(root: Path, origin: str, captions: Captions) -> FolderItem:
    path = path_below(root, origin)
    own = captions.get(origin)
    if own is None:
        beside = path.with_suffix(".txt")
        own = list(_lines(beside)) if beside.is_file() else []
    stat = path.stat() if path.is_file() else None
    return FolderItem(
        origin=origin,
        captions=own,
        bytes=stat.st_size if stat else None,
        mtime_ns=stat.st_mtime_ns if stat else None,
    )


def _caption_files(section: FolderSource, root: Path, pictures: list[str]) -> Captions:
    """The captions of each picture, from all caption files, in their order."""
    captions: Captions = {}
    named = [section.captions] if section.captions else []
    for name in dict.fromkeys(["captions.tsv", "captions.jsonl", *named]):
        path = root / name
        if path.is_file():
            _READERS.get(path.suffix.lower(), _read_numbered)(path, captions, pictures)
        elif name in named:
            raise BadInput(f"source {section.name}: {path} does not exist", cure="correct `captions`")
    return captions


def _read_tsv(path: Path, captions: Captions, pictures: list[str]) -> None:
    for number, line in enumerate(_lines(path), start=1):
        file, tab, caption = line.partition("\t")
        if not tab:
            raise BadInput(f"{path}: line {number} has no tab", cure="each line is file TAB caption")
        captions.setdefault(_origin(file), []).append(caption)


def _read_jsonl(path: Path, captions: Captions, pictures: list[str]) -> None:
    for number, line in enumerate(_lines(path), start=1):
        try:
            row = json.loads(line)
            value = row["captions"] if "captions" in row else row["caption"]
            texts = value if isinstance(value, list) else [] if value is None else [value]
            captions.setdefault(_origin(row["file"]), []).extend(without_surrogates(text) for text in texts)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadInput(f"{path}: line {number} is not one", cure='each line is {"file": …, "caption": …}') from None


def _read_numbered(path: Path, captions: Captions, pictures: list[str]) -> None:
    by_stem, whole = {Path(picture).stem: picture for picture in reversed(pictures)}, set(pictures)
    for number, line in enumerate(_lines(path), start=1):
        match = _NUMBERED.match(line)
        if not match:
            raise BadInput(f"{path}: line {number} is not one", cure="each line is picture#zhm#0 caption")
        name = _origin(match["stem"])
        origin = name if name in whole else by_stem.get(name, by_stem.get(Path(name).stem, name))
        captions.setdefault(origin, []).append(match["caption"].rstrip())


_READERS = {".tsv": _read_tsv, ".jsonl": _read_jsonl}


def _origin(file: str) -> str:
    return Path(as_text(file.strip())).as_posix()


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file that are not empty. Only a line feed ends one: captions may hold other separators."""
    with path.open("rb") as file:
        for number, data in enumerate(file):
            line = data.decode("utf-8-sig" if number == 0 else "utf-8", errors="replace").rstrip("\r\n")
            if line.strip():
                yield line
