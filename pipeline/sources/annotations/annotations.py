"""Files that say which captions each picture has, whatever their layout: one stream of annotations.

    annotations, reads = read_annotations(path, AnnotationColumns())
    next(annotations)       # Annotation("COCO_val2014_000000000042.jpg", ["一只猫"], row=0)
    reads                   # "annotations.json: file_name of images → caption of annotations"

Read are tables and JSON Lines with a picture and a caption in each row (imagefolder's metadata, BLIP, AIC-ICC, ICR),
two columns without names, JSON objects by name (cogdata, kohya), COCO's images and annotations, conversations (LLaVA,
ShareGPT4V, InternVL: each turn of the model is a caption), Data-Juicer's texts with image tokens, and numbered lines
(`1000268201_693b08cb0e#zhc#0 小女孩…`). A row that cannot be read is an annotation with a problem.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from ....manifests.errors import BadInput
from ...tables.cell_text import BrokenCell, cell_text, cell_texts
from ...tables.column_roles import LICENSES, check_columns, listed, usual_columns
from ...tables.open_text import open_text
from ...tables.table_rows import json_values, open_batches, table_format, table_rows, text_fields
from .caption_fields import CAPTIONS, caption_fields, turns

# Names as `column_roles.plain` spells them, in the order in which they are taken.
_PICTURES = ("file", "filename", "filepath", "image", "imagepath", "img", "imgpath", "imageid", "images", "path",
             "文件名", "文件", "图片", "图片名", "图像")  # fmt: skip
_ADDRESSES = ("url", "cocourl", "imageurl")
_PEEKED_ROWS = 1000  # whose keys are the columns of JSON
_NUMBERED = re.compile(r"^(?P<picture>[^\s#]+)#(?:[a-z]+#)?\d+\s+(?P<caption>.+)$")
_IMAGE_TOKEN, _END_OF_CHUNK = "<__dj__image>", "<|__dj__eoc|>"
_SPECIAL_TOKEN = re.compile(r"<\|?__dj__\w+\|?>|<image>|<ImageHere>")


@dataclass(frozen=True)
class Annotation:
    """One row: a picture and its captions. `row` counts from 0, without blank lines and the line of column names."""

    picture: str  # as it is written
    captions: list[str]
    row: int
    url: str | None = None
    license: str | None = None
    problem: str | None = None  # broken_row: the picture may be unknown, ""


@dataclass(frozen=True)
class AnnotationColumns:
    """What the recipe says of columns; None where the names decide."""

    image: str | None = None
    captions: tuple[str, ...] = ()
    encoding: str | None = None


def read_annotations(path: Path, columns: AnnotationColumns) -> tuple[Iterator[Annotation], str]:
    """The annotations, and what was taken as what, for people.

    Raises BadInput when the columns are not clear and, at the end, when no row could be read.
    """
    annotations, reads = _read(path, columns)
    return _checked(path, annotations), f"{path.name}: {reads}"


def _checked(path: Path, annotations: Iterable[Annotation]) -> Iterator[Annotation]:
    rows = broken = 0
    for annotation in annotations:
        rows += 1
        broken += annotation.problem is not None
        yield annotation
    if rows and broken == rows:
        raise BadInput(
            f"{path}: no row of it can be read as a picture and its caption",
            cure='write file TAB caption, or {"file": …, "caption": …}, a row each',
        )


def _read(path: Path, columns: AnnotationColumns) -> tuple[Iterable[Annotation], str]:
    format_ = table_format(path)
    if format_ in ("csv", "tsv"):
        return _fields(path, columns)
    if format_ == "json":
        return _json(path, columns)
    if format_ in ("parquet", "arrow"):
        with open_batches(path) as (schema, _):
            roles = _roles(path, list(schema.names), columns)
        rows = table_rows(path, [roles.picture, *roles.captions, *roles.others])
        return _rows(rows, roles, columns), roles.shown()
    return _lines(path, columns)


@dataclass(frozen=True)
class _Roles:
    """Which column is what."""

    picture: str
    captions: tuple[str, ...]
    url: str | None
    license: str | None

    @property
    def others(self) -> list[str]:
        return [name for name in (self.url, self.license) if name]

    def shown(self) -> str:
        return f"{self.picture} → {' and '.join(self.captions)}"


def _roles(path: Path, names: list[str], columns: AnnotationColumns) -> _Roles:
    """Raises BadInput when a column that the recipe names is missing, or when none has a usual name."""
    check_columns(path, names, (columns.image, *columns.captions))
    picture = columns.image or next(iter(usual_columns(names, _PICTURES)), None)
    captions = columns.captions or tuple(usual_columns(names, CAPTIONS)[:1])
    if not picture or not captions:
        missing = "pictures with `image: …`" if not picture else "captions with `caption: …`"
        raise BadInput(
            f"{path}: it is not plain which column is what; it has {listed(names)}",
            cure=f"name the column of {missing}",
        )
    return _Roles(
        picture,
        captions,
        next(iter(usual_columns(names, _ADDRESSES)), None),
        next(iter(usual_columns(names, LICENSES)), None),
    )


def _fields(path: Path, columns: AnnotationColumns) -> tuple[Iterable[Annotation], str]:
    """CSV and TSV: a first row with usual names names the columns; else there are two, file and caption."""
    rows = text_fields(path, columns.encoding)
    first = next(rows, None)
    if first is None or not _is_header(first, columns):
        pairs = chain([first] if first is not None or not _is_empty(path) else [], rows)
        return (_of_fields(number, fields) for number, fields in enumerate(pairs)), "file, caption"
    names = [name.strip() for name in first]
    roles = _roles(path, names, columns)
    records = (dict(zip(names, row, strict=True)) if row and len(row) == len(names) else None for row in rows)
    return _rows(records, roles, columns), roles.shown()


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


def _is_header(fields: list[str], columns: AnnotationColumns) -> bool:
    names = {field.strip() for field in fields}
    if columns.image in names or names & set(columns.captions):
        return True
    return bool(usual_columns([*names], _PICTURES)) and bool(usual_columns([*names], CAPTIONS))


def _of_fields(row: int, fields: list[str] | None) -> Annotation:
    """Two columns without names. `id#zhm#0` in the first is the picture `id`; a caption may hold tabs."""
    if fields is None or len(fields) < 2 or not fields[0].strip():
        return Annotation("", [], row, problem="broken_row")
    numbered = _NUMBERED.match(f"{fields[0]} {fields[1]}")
    return _annotation(row, numbered["picture"] if numbered else fields[0], ["\t".join(fields[1:])])


def _lines(path: Path, columns: AnnotationColumns) -> tuple[Iterable[Annotation], str]:
    """Any other text: numbered lines, or file TAB caption."""
    with open_text(path, columns.encoding) as text:
        lines = [line.rstrip("\r\n") for line in text if line.strip()]
    return (_of_line(number, line) for number, line in enumerate(lines)), "numbered lines"


def _of_line(row: int, line: str) -> Annotation:
    if numbered := _NUMBERED.match(line):
        return _annotation(row, numbered["picture"], [numbered["caption"].rstrip()])
    return _of_fields(row, line.split("\t"))


def _json(path: Path, columns: AnnotationColumns) -> tuple[Iterable[Annotation], str]:
    values = json_values(path, columns.encoding)
    head = list(islice(values, _PEEKED_ROWS))
    is_lines = path.name.lower().removesuffix(".gz").endswith(("jsonl", "ndjson"))
    if len(head) == 1 and isinstance(head[0], dict) and not is_lines:
        if {"images", "annotations"} <= head[0].keys():
            return _coco(path, head[0])
        if rows := _rows_inside(head[0]):
            head = rows
        elif not _has_roles(head[0], columns):
            return _by_name(head[0], columns), "an object by name"
    names = list(dict.fromkeys(name for value in head if isinstance(value, dict) for name in value))
    roles = _roles(path, names, columns)
    records = (value if isinstance(value, dict) else None for value in chain(head, values))
    return _rows(records, roles, columns), roles.shown()


def _rows_inside(document: dict[str, Any]) -> list[Any] | None:
    """The rows of a document that wraps them: `{"version": 1, "data": [{…}, {…}]}`."""
    lists = [
        value for value in document.values() if isinstance(value, list) and any(isinstance(v, dict) for v in value)
    ]
    return lists[0] if len(lists) == 1 and not usual_columns(list(document), _PICTURES) else None


def _has_roles(value: dict[str, Any], columns: AnnotationColumns) -> bool:
    names = list(value)
    named = columns.image in value if columns.image else bool(usual_columns(names, _PICTURES))
    return named and bool(set(columns.captions) & set(names) or usual_columns(names, CAPTIONS))


def _by_name(document: dict[str, Any], columns: AnnotationColumns) -> Iterator[Annotation]:
    """`{"a.jpg": "一只猫"}`, or an object for each picture that has its caption (kohya's meta_cap.json)."""
    for row, (name, value) in enumerate(document.items()):
        yield _annotation(row, name, caption_fields(value, columns.captions) if isinstance(value, dict) else value)


def _coco(path: Path, document: dict[str, Any]) -> tuple[Iterable[Annotation], str]:
    """COCO: `images` have id and file_name, `annotations` have image_id and caption."""
    images = [image for image in document["images"] if isinstance(image, dict)]
    names = {image.get("id"): image for image in images}
    captions: dict[Any, list[Any]] = {image: [] for image in names}
    for annotation in document["annotations"]:
        if isinstance(annotation, dict):
            captions.setdefault(annotation.get("image_id"), []).append(annotation.get("caption"))
    rows = [
        _annotation(row, names.get(image, {}).get("file_name") or image, texts, names.get(image, {}).get("coco_url"))
        for row, (image, texts) in enumerate(captions.items())
    ]
    return rows, "file_name of images → caption of annotations"


def _rows(records: Iterable[dict[str, Any] | None], roles: _Roles, columns: AnnotationColumns) -> Iterator[Annotation]:
    encoding = columns.encoding or "utf-8"
    for row, record in enumerate(records):
        pictures = None if record is None else record.get(roles.picture)
        if record is None or pictures is None:
            yield Annotation("", [], row, problem="broken_row")
            continue
        captions = [turns(record.get(name)) for name in roles.captions]
        url = record.get(roles.url) if roles.url else _first(record, _ADDRESSES)
        license_ = record.get(roles.license) if roles.license else _first(record, LICENSES)
        if isinstance(pictures, list) and len(pictures) != 1:
            yield from _several(row, pictures, captions, url, license_)
        else:
            picture = pictures[0] if isinstance(pictures, list) else pictures
            yield _annotation(row, picture, _without_tokens(captions), url, license_, encoding)


def _first(record: dict[str, Any], usual: tuple[str, ...]) -> Any:
    """The first cell with a usual name: a row of JSON may have keys that the first rows do not."""
    return next((record[name] for name in usual_columns(list(record), usual)), None)


def _several(row: int, pictures: list[Any], captions: list[Any], url: Any, license_: Any) -> Iterator[Annotation]:
    """Data-Juicer: each chunk of the text speaks of the pictures whose tokens it holds. Other texts speak of all."""
    text = captions[0] if len(captions) == 1 and isinstance(captions[0], str) else None
    waiting = list(pictures)
    for chunk in text.split(_END_OF_CHUNK) if text and _IMAGE_TOKEN in text else []:
        for _ in range(min(chunk.count(_IMAGE_TOKEN), len(waiting))):
            yield _annotation(row, waiting.pop(0), _without_tokens([chunk]), url, license_)
    for picture in waiting:
        yield _annotation(row, picture, _without_tokens(captions) if waiting == pictures else [], url, license_)


def _without_tokens(captions: list[Any]) -> list[Any]:
    return [_SPECIAL_TOKEN.sub("", text).strip() if isinstance(text, str) else text for text in captions]


def _annotation(
    row: int, picture: Any, captions: Any, url: Any = None, license_: Any = None, encoding: str = "utf-8"
) -> Annotation:
    try:
        name = picture if isinstance(picture, str) else cell_text(_path_of(picture), encoding)
        texts = cell_texts(captions, encoding)
        return Annotation(name or "", texts, row, cell_text(url), cell_text(license_), None if name else "broken_row")
    except BrokenCell:
        known = picture if isinstance(picture, str) else ""
        return Annotation(known, [], row, problem="broken_row")


def _path_of(picture: Any) -> Any:
    """Hugging Face writes a picture as {"bytes": …, "path": …}."""
    return picture.get("path") if isinstance(picture, dict) else picture
