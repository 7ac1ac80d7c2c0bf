"""`kind: parquet`: tables that hold the pictures, Parquet or Arrow, whatever they are called.

    {name: photos, kind: parquet, path: data, captions: [alt_text, recaption]}

The columns are those that the recipe names, else those with usual names, and the only one of bytes. A part is a row
group, or about a thousand rows of Arrow. The json files that `save_to_disk` of Hugging Face writes, and the files that
a column of paths names, belong to the tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ....manifests.errors import BadInput
from ....manifests.recipe.sources import FileSource
from ...executor.part import Part
from ...tables.arrow_rows import arrow_rows
from ...tables.container_format import container_format
from ...tables.text_encoding import ENCODINGS, encoding_of
from ..passed_over import PassedFile, PassedOver, by_ending, pass_over
from ..source import OpenSource, SourceListing, file_source, files_below, source_part
from .named_files import NamedFiles, refuse_unreadable
from .parquet import Columns
from .picture_column import picture_kind
from .table_columns import column_type, table_columns
from .table_file import open_table

_SAVED = {"dataset_info.json", "state.json"}  # beside the Arrow files that `save_to_disk` writes
_SAVED_SPLITS = "dataset_dict.json"  # above their folders
_SAMPLE_TABLES, _SAMPLE_ROWS = 20, 1000  # from which the encoding is told


class ParquetSource(FileSource):
    """Tables that hold the pictures: as bytes, as Hugging Face's struct of bytes and path, as base64, or as paths."""

    kind: Literal["parquet"]
    image: str | None = None  # column; None: the one with a usual name, or the only one of bytes
    caption: str | None = None  # column; None: the one with a usual name
    captions: list[str] = Field(default=[])  # several columns, each of which is a caption

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.caption and self.captions:
            raise ValueError("`caption` and `captions` are both given; name all columns in `captions`")
        return self


@dataclass(frozen=True)
class Table:
    file: Path
    name: str  # below the root
    columns: Columns
    group_rows: list[int]


def locate(section: ParquetSource, base: Path, gathered: Path) -> OpenSource:
    source = file_source(section, "parquet", base / section.path)
    return replace(source, root=replace(source.root, column=section.image))


def list_source(section: ParquetSource, source: OpenSource) -> SourceListing:
    """One part for each group of rows. Raises BadInput when there is no table, or when its columns are not clear."""
    passed: PassedOver = {}
    found = {name: file for file, name in files_below(source, passed)}
    formats = {name: container_format(file) for name, file in found.items()}
    tables = _tables(section, {name: found[name] for name in found if formats[name] in ("parquet", "arrow")}, passed)
    others = [name for name in found if formats[name] not in ("parquet", "arrow")]
    if not tables:
        raise _no_tables(source, passed, others)
    refuse_unreadable(source.path, [(table.file, table.columns["image"]) for table in tables], others)
    encoding = _encoding(section, tables)
    named = NamedFiles(source.path, others)
    parts = [part for table in tables for part in _parts(source, table, encoding or "utf-8", named)]
    arrow = [name for name in found if formats[name] == "arrow"]
    for name in others:
        if name not in named.found and not _is_saved(name, arrow):
            pass_over(passed, by_ending(name))
    return SourceListing(parts, passed, encoding, _reads(tables))


def _tables(section: ParquetSource, files: Mapping[str, Path], passed: PassedOver) -> list[Table]:
    tables = []
    for name, file in files.items():
        with open_table(file) as opened:
            columns = table_columns(file, opened.schema, section.image, section.captions or [section.caption or ""])
            rows = opened.group_rows
        if sum(rows):
            tables.append(Table(file, name, columns, rows))
        else:
            pass_over(passed, PassedFile("table without rows", name))
    return tables


def _no_tables(source: OpenSource, passed: PassedOver, others: Sequence[str]) -> BadInput:
    if empty := passed.get("table without rows"):
        return BadInput(
            f"source {source.name}: {empty['examples'][0]} has no rows", cure="write it again, or name another file"
        )
    seen = f"; it holds {', '.join(others[:3])}" if others else ""
    return BadInput(
        f"source {source.name}: no Parquet and no Arrow below {source.path}{seen}",
        cure="name a folder with such files, or one",
    )


def _parts(source: OpenSource, table: Table, encoding: str, named: NamedFiles) -> list[Part[Any]]:
    stat, parts = table.file.stat(), []
    starts = accumulate(table.group_rows, initial=0)
    for group, (start, rows) in enumerate(zip(starts, table.group_rows, strict=False)):
        if rows:  # an empty group would have the name of the part that follows it
            pictures = named.add(table.file, table.columns["image"], group)
            spec = {"parquet": table.name, "bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "pictures": pictures,
                    "group": group, "first_row": start, "columns": table.columns, "encoding": encoding}  # fmt: skip
            parts.append(source_part(source, f"{table.name}#{start}", spec))
    return parts


def _encoding(section: ParquetSource, tables: Sequence[Table]) -> str | None:
    """The encoding of captions in columns of bytes; None if there are no such columns. Raises BadInput if not clear."""
    samples: list[bytes] = []
    has_bytes = False
    for table in tables:
        with open_table(table.file) as opened:
            names = [
                name for name in table.columns["captions"] if picture_kind(column_type(opened.schema, name)) == "bytes"
            ]
            has_bytes = has_bytes or bool(names)
            if names and section.encoding is None and len(samples) < _SAMPLE_TABLES * _SAMPLE_ROWS:
                batch = next(iter(opened.batches(0, names, rows=_SAMPLE_ROWS)), None)
                rows = arrow_rows(batch) if batch is not None else []
                samples += [cell for row in rows for cell in row.values() if isinstance(cell, bytes)]
    if not has_bytes or section.encoding:
        return section.encoding if has_bytes else None
    encoding = encoding_of(samples)
    if encoding is None:
        raise BadInput(
            f"source {section.name}: the encoding of its captions is not clear",
            cure=f"name it with `encoding:`, {', '.join(ENCODINGS)}",
        )
    return encoding


def _is_saved(name: str, arrow: Sequence[str]) -> bool:
    """Whether `save_to_disk` wrote this file with the Arrow files of the same folder, or of folders below."""
    path = PurePosixPath(name)
    if path.name == _SAVED_SPLITS:
        return any(PurePosixPath(each).is_relative_to(path.parent) for each in arrow)
    return path.name in _SAVED and any(PurePosixPath(each).parent == path.parent for each in arrow)


def _reads(tables: Sequence[Table]) -> list[str]:
    """ "data/0.parquet and 3 more: image, caption": the columns that were taken, and from which tables."""
    by_columns: dict[str, list[str]] = {}
    for table in tables:
        columns = ", ".join([table.columns["image"], *table.columns["captions"]])
        by_columns.setdefault(columns, []).append(table.name)
    return [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {columns}"
        for columns, names in by_columns.items()
    ]
