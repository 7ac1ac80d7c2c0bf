"""`kind: chinese-clip`: MUGE, Flickr30k-CN and others as Chinese-CLIP ships them, by their splits.

    train_imgs.tsv       1076345 TAB /9j/4AAQ…                                        (base64)
    train_texts.jsonl    {"text_id": 8428, "text": "高级感托特包斜挎", "image_ids": [1076345, 517602]}
    lmdb/train/{imgs,pairs}/data.mdb        the same, built by its `build_lmdb_dataset.py`; read where there is no TSV

`path` is the folder. A picture without texts, a text without a picture and a broken line are rows of their own.
"""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from ....manifests.errors import BadInput
from ....manifests.recipe.sources import FileSource
from ...executor.part import Part
from ...tables.open_text import text_head
from ...tables.text_encoding import ENCODINGS, encoding_of
from ..passed_over import PassedFile, PassedOver, by_ending, pass_over
from ..source import OpenSource, SourceListing, file_source, files_below, hash64, path_below, source_part
from .base64_lines import line_index
from .chinese_clip import ClipItem
from .clip_texts import ClipTexts, Places, read_jsonl, read_pairs
from .picture_lmdb import DATA_FILE, picture_ids

PICTURES = "_imgs.tsv"
TEXTS = ("_texts.jsonl", "_queries.jsonl")
_PART_PICTURES = 1000  # in the mean
_MOST_COMPARED = 10_000  # ids, for the nearest one

Index = list[tuple[int, str | None]]  # offset and id of each picture; id None: a broken line


class ChineseClipSource(FileSource):
    """The folder of a data set as Chinese-CLIP ships it: TSV of base64 with jsonl of texts, or LMDB."""

    kind: Literal["chinese-clip"]


@dataclass
class Split:
    """Names below the root; None where there is none."""

    pictures: str | None = None  # the TSV, or the LMDB's folder
    texts: str | None = None  # the jsonl, or the folder of the pairs


def holds_pictures(name: str) -> bool:
    """Whether a file of this name is the TSV or the LMDB of a split's pictures."""
    path = PurePosixPath(name)
    return name.lower().endswith(PICTURES) or (path.name == DATA_FILE and path.parent.name == "imgs")


def locate(section: ChineseClipSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "chinese_clip", base / section.path)


def list_source(section: ChineseClipSource, source: OpenSource) -> SourceListing:
    """Parts of about 1,000 pictures. Raises BadInput when there is no split, or when no text fits a picture."""
    if source.path.is_file():
        raise BadInput(f"source {source.name}: {source.path} is a file", cure="name the folder that holds it")
    passed: PassedOver = {}
    files = {name: file for file, name in files_below(source, passed)}
    splits = _splits(files, passed)
    if not any(split.pictures for split in splits.values()):
        raise BadInput(
            f"source {source.name}: no *{PICTURES} and no LMDB of pictures below {source.path}",
            cure="name the folder that holds train_imgs.tsv and train_texts.jsonl",
        )
    encoding = _encoding(section, [files[split.texts] for split in splits.values() if split.texts in files])
    parts = [part for name in splits for part in _parts(source, name, splits[name], encoding)]
    reads = [f"{split.pictures or 'no pictures'}: texts of {split.texts or 'none'}" for split in splits.values()]
    return SourceListing(parts, passed, encoding, reads)


def _splits(files: Mapping[str, Path], passed: PassedOver) -> dict[str, Split]:
    """The splits of TSV and jsonl, then those of LMDB that repeat none of them; all else is passed over."""
    splits: dict[str, Split] = {}
    databases: dict[str, list[str]] = {}  # by split: the names of its files
    for name in files:
        path, lower = PurePosixPath(name), name.lower()
        ending = next((each for each in (PICTURES, *TEXTS) if lower.endswith(each)), None)
        if ending:
            split = splits.setdefault(name[: -len(ending)], Split())
            split.pictures, split.texts = (name, split.texts) if ending == PICTURES else (split.pictures, name)
        elif path.name in (DATA_FILE, "lock.mdb") and path.parent.name in ("imgs", "pairs"):
            databases.setdefault(path.parent.parent.as_posix(), []).append(name)
        else:
            pass_over(passed, by_ending(name))
    for folder, names in databases.items():
        if _twin(folder) in splits:
            for name in names:
                pass_over(passed, PassedFile("LMDB of a split that is read from its TSV", name))
        else:
            splits[folder] = _database(folder, names)
    return splits


def _twin(folder: str) -> str:
    """The split of TSV of which `lmdb/train` is built: `train`."""
    path = PurePosixPath(folder)
    return (path.parent.parent / path.name).as_posix() if path.parent.name == "lmdb" else folder


def _database(folder: str, names: list[str]) -> Split:
    below = {PurePosixPath(name).parent.name: PurePosixPath(name).parent.as_posix() for name in names}
    return Split(below.get("imgs"), below.get("pairs"))


def _encoding(section: ChineseClipSource, texts: list[Path]) -> str | None:
    if not texts:
        return None
    encoding = section.encoding or encoding_of(text_head(path) for path in texts)
    if encoding is None:
        raise BadInput(
            f"source {section.name}: the encoding of its texts is not clear",
            cure=f"name it with `encoding:`, {', '.join(ENCODINGS)}",
        )
    return encoding


def _parts(source: OpenSource, name: str, split: Split, encoding: str | None) -> Iterator[Part[Any]]:
    texts = _texts(source, split, encoding)
    pictures = split.pictures or f"{name}{PICTURES}"
    file = path_below(source.path, pictures) if split.pictures else None
    found = list(_index(file)) if file else []
    items = [*_pictures(pictures, found, texts), *_without_picture(pictures, split, found, texts)]
    if found and texts.by_picture and not any(item["offset"] is not None and item["captions"] for item in items):
        raise _no_match(source, split, found, texts)
    stat = (file / DATA_FILE if file.is_dir() else file).stat() if file else None
    facts = {"pictures": pictures, "bytes": stat.st_size if stat else 0, "mtime_ns": stat.st_mtime_ns if stat else 0}
    for start, stop in pairwise(_edges(items)):
        yield source_part(source, items[start]["origin"], {**facts, "items": items[start:stop]})


def _texts(source: OpenSource, split: Split, encoding: str | None) -> ClipTexts:
    if split.texts is None:
        return ClipTexts()
    path = path_below(source.path, split.texts)
    return read_pairs(path) if path.is_dir() else read_jsonl(path, encoding or "utf-8")


def _pictures(name: str, found: Index, texts: ClipTexts) -> Iterator[ClipItem]:
    """An item for each picture of the TSV or LMDB `name`. The second with one id has no texts: they are the first's."""
    places, seen = Places(), set[str | None]()
    for number, (offset, picture) in enumerate(found):
        place = places.name(picture, number)
        captions = texts.by_picture.get(picture or "", []) if picture not in seen else []
        seen.add(picture)
        broken = None if picture is not None else "broken_row"
        yield _item(f"{name}/{place}", captions, None if broken else offset, broken)


def _without_picture(name: str, split: Split, found: Index, texts: ClipTexts) -> Iterator[ClipItem]:
    """An item for each picture that texts name and that is not there, and for each text that names none."""
    there, places = {picture for _, picture in found}, Places()
    for number, (picture, captions) in enumerate(texts.by_picture.items(), start=len(found)):
        if picture not in there:
            yield _item(f"{name}/{places.name(picture, number)}", captions, None, None)
    for place, captions, problem in texts.alone:
        yield _item(f"{split.texts}/{place}", captions, None, problem)


def _item(origin: str, captions: list[str], offset: int | None, problem: str | None) -> ClipItem:
    return ClipItem(origin=origin, captions=captions, offset=offset, problem=problem)


def _no_match(source: OpenSource, split: Split, found: Index, texts: ClipTexts) -> BadInput:
    first = next(iter(texts.by_picture))
    there = [picture for _, picture in found[:_MOST_COMPARED] if picture]
    near = difflib.get_close_matches(first, there, 1, 0.0)
    return BadInput(
        f"source {source.name}: no text of {split.texts} fits a picture of {split.pictures}"
        f"; the first names {first[:40]}" + (f", the nearest picture is {near[0][:40]}" if near else ""),
        cure="give texts and pictures of one split the same name before _imgs.tsv and _texts.jsonl",
    )


def _index(path: Path) -> Iterator[tuple[int, str | None]]:
    if path.is_dir():
        for key in picture_ids(path):
            yield 0, key.decode() if _is_utf8(key) else None
    else:
        yield from line_index(path)


def _is_utf8(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _edges(items: list[ClipItem]) -> list[int]:
    """The index of each part's first item, and the end. Hashes of names choose them, so that they stay."""
    inner = [index for index, item in enumerate(items) if index and hash64(item["origin"]) % _PART_PICTURES == 0]
    return [0, *inner, len(items)] if items else [0]
