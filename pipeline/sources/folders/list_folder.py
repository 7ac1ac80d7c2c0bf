"""A folder of pictures, anywhere below it, with their captions in files.

Captions stand in annotation files (`captions.tsv`, `captions.jsonl`, imagefolder's `metadata.csv`, `.jsonl` and
`.parquet`, kohya's `meta_cap.json`, and what the recipe names: `captions: [a.json, /data/b.tsv]`; see annotations.py),
or beside each picture: `a.txt` or `a.caption` (a caption a line), `a.json`, `a.jpg.txt`. A picture with five captions
is five pairs. What lies beside a picture counts only if no annotation names the picture.
"""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field

from ....manifests.errors import BadInput
from ....manifests.recipe.sources import FileSource
from ...tables.open_text import text_head
from ...tables.table_rows import TEXT_FORMATS, table_format
from ...tables.text_encoding import ENCODINGS, encoding_of
from ..annotations.annotated import Annotated
from ..annotations.annotations import AnnotationColumns
from ..annotations.picture_names import PictureNames
from ..annotations.sidecar import BROKEN_ROW, Sidecar, sidecar
from ..passed_over import PassedFile, PassedOver, by_ending, pass_over
from ..picture_format import picture_ending
from ..source import (
    PICTURES,
    OpenSource,
    SourceListing,
    file_source,
    files_below,
    hash64,
    path_below,
    source_part,
)
from .folder import FolderItem
from .text_beside import LINES, OBJECTS, TextBeside

_PART_PICTURES = 1000  # in the mean
_ROOT_ANNOTATIONS = ("captions.tsv", "captions.jsonl")
_ANNOTATIONS = (
    "metadata.csv",
    "metadata.jsonl",
    "metadata.parquet",
    "meta_cap.json",
)  # in any folder, for what is below
_LINES, _OBJECTS = ("txt", "caption"), ("json",)  # endings of what lies beside a picture
_ARCHIVES = frozenset({"zip", "tar", "gz", "tgz", "rar", "7z"})
_NO_PICTURES = frozenset({*LINES, *OBJECTS, *_ARCHIVES, "jsonl", "csv", "tsv", "parquet", "arrow", "npy", "md", "yaml"})
_HEAD_BYTES = 4096


class FolderSource(FileSource):
    """Pictures with captions.tsv, captions.jsonl, annotations of many layouts, or text beside each."""

    kind: Literal["folder"]
    captions: str | list[str] = Field(default=[])  # annotation files, below `path` or absolute
    image: str | None = None  # the column of the annotations that names the picture; None: a usual name
    caption: str | list[str] = Field(default=[])  # the columns, or keys of JSON, that hold captions


def locate(section: FolderSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "folder", base / section.path)


def list_source(section: FolderSource, source: OpenSource) -> SourceListing:
    """Parts of about 1,000 pictures. Raises BadInput when there is no folder, or no picture in it."""
    root = source.path
    if not root.is_dir():
        raise BadInput(f"source {source.name}: {root} is not a folder", cure="name the folder that holds the pictures")
    passed: PassedOver = {}
    pictures, others = _sorted_out(source, passed)
    if not pictures:
        raise _no_pictures(source, others)
    files = _annotation_files(section, root, others)
    beside = TextBeside(others, (section.caption,) if isinstance(section.caption, str) else tuple(section.caption))
    encoding = section.encoding or _encoding(source, files, beside.sample(pictures))
    annotated = Annotated(PictureNames(pictures, root, encoding))
    for name, path in files.items():
        annotated.read(name, path, AnnotationColumns(section.image, beside.fields, encoding))
    annotated.check(source.name)
    items = [_item(root, origin, annotated, beside, encoding) for origin in sorted({*pictures, *annotated.captions})]
    items += [
        FolderItem(origin=origin, captions=[], bytes=None, mtime_ns=None, problem="broken_row")
        for origin in annotated.broken
    ]
    for name in sorted(others.keys() - files.keys() - beside.used):
        is_text = PurePosixPath(name).suffix[1:].lower() in LINES
        pass_over(passed, PassedFile("text beside no picture", name) if is_text else by_ending(name))
    parts = [
        source_part(source, items[start]["origin"], {"items": items[start:stop]})
        for start, stop in pairwise(_edges([item["origin"] for item in items]))
    ]
    return SourceListing(parts, passed, encoding if files or beside.used else None, annotated.reads)


def _edges(origins: list[str]) -> list[int]:
    """The index of each part's first origin, and the end.

    Hashes of names choose the first origins, so that a picture that is added or removed changes one part.
    """
    inner = [index for index, origin in enumerate(origins) if index and hash64(origin) % _PART_PICTURES == 0]
    return [0, *inner, len(origins)]


def _sorted_out(source: OpenSource, passed: PassedOver) -> tuple[list[str], dict[str, Path]]:
    """The pictures by their endings or, where the ending says nothing, by their content; and all other files."""
    pictures, others = [], {}
    for path, name in files_below(source, passed):
        if is_picture_file(path, name):
            pictures.append(name)
        else:
            others[name] = path
    return pictures, others


_NO_PICTURES = frozenset(
    {*_LINES, *_OBJECTS, *_ARCHIVES, "jsonl", "csv", "tsv", "parquet", "arrow", "npy", "npz", "md", "yaml"}
)


def _has_ending(name: str, endings: Iterable[str]) -> bool:
    return PurePosixPath(name).suffix[1:].lower() in endings


def is_picture_file(path: Path, name: str) -> bool:
    """Whether its ending is that of a picture or, where the ending says nothing, its content is."""
    if _has_ending(name, PICTURES) or _has_ending(name, _NO_PICTURES):
        return _has_ending(name, PICTURES)
    with path.open("rb") as file:
        return picture_ending(file.read(_HEAD_BYTES)) is not None


def _no_pictures(source: OpenSource, others: dict[str, Path]) -> BadInput:
    archive = next((name for name in others if _has_ending(name, _ARCHIVES)), None)
    cure = f"known endings: {', '.join(sorted(PICTURES))}"
    if archive:
        cure = f"there are archives ({archive}); write `kind: webdataset`"
    elif any(_has_ending(name, ("parquet", "arrow")) for name in others):
        cure = "there are tables; write `kind: parquet`"
    return BadInput(f"source {source.name}: no pictures below {source.path}", cure=cure)


def _annotation_files(section: FolderSource, root: Path, others: dict[str, Path]) -> dict[str, Path]:
    """The annotation files by their names below the source; of one outside the name is its own. Raises BadInput."""
    files = {name: others[name] for name in _ROOT_ANNOTATIONS if name in others}
    files |= {name: path for name, path in others.items() if PurePosixPath(name).name in _ANNOTATIONS}
    for name in [section.captions] if isinstance(section.captions, str) else section.captions:
        path = root / name
        if not path.is_file():
            raise BadInput(f"source {section.name}: {path} does not exist", cure="correct `captions`")
        below = next((known for known, other in others.items() if other.samefile(path)), path.name)
        files.setdefault(below, path)
    return files


def _encoding(source: OpenSource, files: dict[str, Path], sample: dict[str, bytes]) -> str:
    """Raises BadInput when the encoding of the source's text is not clear."""
    texts = {name: path for name, path in files.items() if table_format(path) in (*TEXT_FORMATS, None)}
    heads = {name: text_head(path) for name, path in texts.items()} | sample
    encoding = encoding_of(heads.values())
    if encoding is None:
        raise BadInput(
            f"source {source.name}: the encoding of its captions is not clear{_both_encodings(heads)}",
            cure=f"name it with `encoding:`, one of {', '.join(ENCODINGS)}",
        )
    return encoding


def _both_encodings(heads: dict[str, bytes]) -> str:
    """The first file that is UTF-8 and the first that is not, for the error message."""
    wide = {name: encoding_of([head]) for name, head in heads.items() if not head.isascii()}
    yes = next((name for name, told in wide.items() if told == "utf-8"), None)
    no = next((name for name, told in wide.items() if told != "utf-8"), None)
    return f" ({yes} is utf-8, {no} is not)" if yes and no else ""


def _item(root: Path, origin: str, annotated: Annotated, beside: TextBeside, encoding: str) -> FolderItem:
    path = path_below(root, origin)
    stat = path.stat() if path.is_file() else None
    captions = annotated.captions.get(origin)
    if captions is None:
        text = sidecar(*beside.text(origin), encoding, beside.fields)
    else:
        beside.mark(origin)  # not read: a million small files take minutes
        text = Sidecar(captions, *annotated.facts.get(origin, (None, None)))
    item = FolderItem(
        origin=origin,
        captions=text.captions,
        bytes=stat.st_size if stat else None,
        mtime_ns=stat.st_mtime_ns if stat else None,
    )
    if text.url:
        item["url"] = text.url
    if text.license:
        item["license"] = text.license
    if text.problem == BROKEN_ROW:  # another word is the user's own
        item["problem"] = text.problem
    return item
