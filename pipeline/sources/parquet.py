"""Parquet files that hold the pictures: binary columns (img2dataset), or structs of bytes and path (Hugging Face).

    {"image": {"bytes": …, "path": …}, "caption": "一只猫"}      {"jpg": b"…", "caption": …, "url": …, "license": …}

A part is a row group; batches of a few rows are read through a small buffer, so its size does not matter. The origin of
a picture is `data/0.parquet#12`, its row in the file. A caption column may hold lists: each caption is a pair.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.errors import BadInput
from ...manifests.recipe.sources import FileSource
from ..executor.part import Part, PictureRoot
from ..tables.cell_text import without_surrogates
from .container_format import container_format
from .passed_over import PassedOver, by_ending, pass_over
from .source import (
    OpenSource,
    SourceItem,
    SourceListing,
    SourcePart,
    file_source,
    files_below,
    path_below,
    root_path,
    source_part,
)

_IMAGES = ("image", "jpg", "jpeg", "png", "webp", "img", "picture", "image_bytes", "bytes")
_CAPTIONS = ("caption", "captions", "text", "TEXT", "txt")
_BATCH_ROWS = 16
_CURE = "restore it, or take it out of the source"


class ParquetSource(FileSource):
    """Parquet files that hold the pictures' bytes: as binary, or as Hugging Face's struct of bytes and path."""

    kind: Literal["parquet"]
    image: str | None = None  # column; None: the one with a usual name, or the only one of bytes
    caption: str | None = None


class Columns(TypedDict):
    """Names of columns; None where there is none."""

    image: str
    caption: str
    url: str | None
    license: str | None


class ParquetPart(SourcePart):
    parquet: str  # below the root
    bytes: int
    mtime_ns: int
    group: int  # the row group
    first_row: int  # of the row group, counted through the file
    columns: Columns


def locate(section: ParquetSource, base: Path, gathered: Path) -> OpenSource:
    return file_source(section, "parquet", base / section.path)


def list_source(section: ParquetSource, source: OpenSource) -> SourceListing:
    """One part for each row group. Raises BadInput when there is no file, or when its columns are not clear."""
    parts: list[Part[ParquetPart]] = []
    passed: PassedOver = {}
    for file, name in files_below(source, passed):
        if container_format(file) != "parquet":
            pass_over(passed, by_ending(name))
            continue
        columns, group_rows = _columns(section, file)
        stat, start = file.stat(), 0
        for group, rows in enumerate(group_rows):
            spec = {"parquet": name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "group": group,
                    "first_row": start, "columns": columns}  # fmt: skip
            if rows:  # an empty group would have the name of the part that follows it
                parts.append(source_part(source, f"{name}#{start}", spec))
            start += rows
    if not parts:
        raise BadInput(
            f"source {source.name}: no Parquet below {source.path}", cure="name a folder with Parquet files, or one"
        )
    return SourceListing(parts, passed)


def read_part(part: Part[ParquetPart]) -> Iterator[SourceItem]:
    spec = part.spec
    file = path_below(root_path(part), spec["parquet"])
    columns = spec["columns"]
    names = [name for name in (columns["image"], columns["caption"], columns["url"], columns["license"]) if name]
    row = spec["first_row"]
    for batch in _batches(file, spec["group"], names):
        for values in batch.to_pylist():
            cell = values[columns["caption"]]
            captions = cell if isinstance(cell, list) else [cell]
            yield SourceItem(
                f"{spec['parquet']}#{row}",
                [without_surrogates(caption) for caption in captions if isinstance(caption, str)],
                _bytes(values[columns["image"]]),
                row,
                _text(values.get(columns["url"])),
                _text(values.get(columns["license"])),
            )
            row += 1


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """`offset` is the row. Reading on in the order of the rows costs one pass; going back begins the group again.

    The recipe may have named the column, which the decision table does not record: of several columns of bytes, the
    picture is in the first whose value has the right length.
    """
    file = path_below(Path(root.path), origin.rpartition("#")[0])
    values = _cursor(str(file), file.stat().st_mtime_ns).values(offset)
    if not values:
        raise BadInput(f"{file}: row {offset} has no picture any more", cure="run `tuwen corpus` again")
    return next((data for data in values if len(data) == num_bytes), values[0])


class _Cursor:
    """The columns of bytes of one file, row by row, for readers that mostly go forward."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        opened = pq.ParquetFile(file)
        self._columns = _byte_columns(opened.schema_arrow)
        self._groups = [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]
        self._rows: Iterator[tuple[int, list[bytes]]] = iter(())
        self._next, self._end = 0, 0

    def values(self, row: int) -> list[bytes]:
        """What the columns hold in that row, without nulls."""
        if not self._next <= row < self._end:
            self._enter(row)
        for number, values in self._rows:
            self._next = number + 1
            if number == row:
                return values
        return []

    def _enter(self, row: int) -> None:
        start = 0
        for group, rows in enumerate(self._groups):
            if row < start + rows:
                self._rows = self._read(group, start)
                self._next, self._end = start, start + rows
                return
            start += rows
        raise BadInput(f"{self._file}: has no row {row} any more", cure="run `tuwen corpus` again")

    def _read(self, group: int, row: int) -> Iterator[tuple[int, list[bytes]]]:
        for batch in _batches(self._file, group, self._columns):
            for values in batch.to_pylist():
                cells = [_bytes(values[name]) for name in self._columns]
                yield row, [data for data in cells if data is not None]
                row += 1


@lru_cache(maxsize=8)
def _cursor(file: str, mtime_ns: int) -> _Cursor:
    return _Cursor(file)


def _batches(file: Path, group: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
            yield from opened.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{file}: not whole Parquet ({' '.join(str(error).split())[:200]})", cure=_CURE) from None


def _columns(section: ParquetSource, file: Path) -> tuple[Columns, list[int]]:
    """The columns by what they hold, and the rows of each row group. Raises BadInput when they are not clear."""
    try:
        opened = pq.ParquetFile(file)
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{file}: not Parquet ({' '.join(str(error).split())[:200]})", cure=_CURE) from None
    schema = opened.schema_arrow
    for name in (section.image, section.caption):
        if name and name not in schema.names:
            raise BadInput(f"{file}: has no column `{name}`", cure=f"it has {', '.join(schema.names)}")
    if section.image and section.image not in _byte_columns(schema):
        raise BadInput(
            f"{file}: column `{section.image}` holds no bytes", cure="name the column that holds the pictures"
        )
    caption = section.caption or _first(_CAPTIONS, schema)
    if caption is None:
        raise BadInput(
            f"{file}: no column of captions among {', '.join(schema.names)}", cure="name it with `caption: …`"
        )
    columns = Columns(
        image=section.image or _image_column(file, schema),
        caption=caption,
        url=_first(("url", "URL"), schema),
        license=_first(("license", "LICENSE"), schema),
    )
    return columns, [opened.metadata.row_group(number).num_rows for number in range(opened.num_row_groups)]


def _first(names: tuple[str, ...], schema: pa.Schema) -> str | None:
    return next((name for name in names if name in schema.names), None)


def _image_column(file: Path | str, schema: pa.Schema) -> str:
    binary = _byte_columns(schema)
    if binary and (binary[0] in _IMAGES or len(binary) == 1):
        return binary[0]
    raise BadInput(f"{file}: no column of pictures among {', '.join(schema.names)}", cure="name it with `image: …`")


def _byte_columns(schema: pa.Schema) -> list[str]:
    """The names of the columns that hold bytes; usual names of columns of pictures come first."""
    binary = [field.name for field in schema if _holds_bytes(field.type)]
    named = [name for name in _IMAGES if name in binary]
    return [*named, *(name for name in binary if name not in named)]


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _text(value: Any) -> str | None:
    """A cell as text; COCO numbers its licences."""
    return without_surrogates(str(value)) if isinstance(value, str | int) else None


def _bytes(value: Any) -> bytes | None:
    return value.get("bytes") if isinstance(value, dict) else value
