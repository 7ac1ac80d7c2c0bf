"""Reads tables that hold the pictures, Parquet or Arrow: the rows of a part, and one picture again.

    {"image": {"bytes": …, "path": …}, "caption": "一只猫"}      {"jpg": b"…", "caption": …, "url": …, "license": …}

The origin of a picture is `data/0.parquet#12`, its row in the file; that of the second picture of a row ends in
`#12/1`. Each picture of a row has all captions of the row. `list_tables` says which columns are read.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from ....manifests.errors import BadInput
from ...executor.part import Part, PictureRoot
from ...tables.arrow_rows import arrow_rows
from ...tables.cell_text import BrokenCell, cell_text, cell_texts
from ..source import SourceItem, SourcePart, path_below, root_path
from .picture_cell import CellPicture, PictureFiles, cell_picture, cell_pictures
from .picture_column import picture_column
from .table_file import open_table

Row = dict[str, Any]  # column → cell


class Columns(TypedDict):
    """Names of columns; None where there is none."""

    image: str
    captions: list[str]
    url: str | None
    license: str | None


class ParquetPart(SourcePart):
    parquet: str  # below the root; Arrow, too
    bytes: int
    mtime_ns: int
    pictures: str  # of the files that the rows name: a hash of their names, sizes and times; empty: they name none
    group: int  # of rows
    first_row: int  # of the group, counted through the file
    columns: Columns
    encoding: str  # of text in columns of bytes


class RowTexts(NamedTuple):
    """What a row says of its pictures."""

    captions: list[str]
    url: str | None = None
    license: str | None = None
    problem: str | None = None


def read_part(part: Part[ParquetPart]) -> Iterator[SourceItem]:
    """Raises BadInput on a file that is cut or damaged."""
    spec, columns = part.spec, part.spec["columns"]
    file = path_below(root_path(part), spec["parquet"])
    files = PictureFiles(root_path(part), file)
    names = [columns["image"], *columns["captions"], columns["url"], columns["license"]]
    row = spec["first_row"]
    with open_table(file) as table:
        for batch in table.batches(spec["group"], list(dict.fromkeys(name for name in names if name))):
            for values in arrow_rows(batch):
                yield from _items(row, values, spec, files)
                row += 1


def read_picture(root: PictureRoot, origin: str, offset: int, num_bytes: int) -> bytes:
    """`offset` is the row. Reading on in the order of the rows costs one pass; going back begins the group again.

    The column is the one that the recipe names, else that of `picture_column`: so it is the one that was read first.
    """
    name, _, place = origin.rpartition("#")
    file = path_below(Path(root.path), name)
    cell = _cursor(str(file), file.stat().st_mtime_ns, root.column).cell(offset)
    data = cell_picture(cell, int(place.partition("/")[2] or 0), PictureFiles(Path(root.path), file))
    if data is None:
        raise BadInput(f"{file}: row {offset} has no picture any more", cure="run `tuwen corpus` again")
    return data


def _items(row: int, values: Row, spec: ParquetPart, files: PictureFiles) -> Iterator[SourceItem]:
    texts = row_texts(values, spec["columns"], spec["encoding"])
    pictures = list(cell_pictures(values[spec["columns"]["image"]], files))
    for number, data, problem in pictures or [CellPicture(0, None, None)]:
        origin = f"{spec['parquet']}#{row}" + (f"/{number}" if number else "")
        yield SourceItem(origin, texts.captions, data, row, texts.url, texts.license, texts.problem or problem)


def row_texts(values: Row, columns: Columns, encoding: str) -> RowTexts:
    try:
        captions = [text for name in columns["captions"] for text in _captions(values[name], encoding)]
        url, license_ = (cell_text(values.get(name or ""), encoding) for name in (columns["url"], columns["license"]))
        return RowTexts(captions, url, license_)
    except BrokenCell:
        return RowTexts([], problem="broken_row")


def _captions(cell: Any, encoding: str) -> list[str]:
    """The captions in a cell. Blank ones in a list stay: the number of a caption is part of its key."""
    if isinstance(cell, list) and all(isinstance(each, str | None) for each in cell):
        return [text for each in cell if each is not None for text in cell_texts(each, encoding) or [""]]
    return cell_texts(cell, encoding)


class _Cursor:
    """The pictures' column of one file, row by row, for readers that mostly go forward."""

    def __init__(self, file: Path, column: str | None) -> None:
        self._file = file
        with open_table(file) as table:
            self._column = column or picture_column(table.schema)
            self._starts = [0, *accumulate(table.group_rows)]
            if self._column not in table.schema.names:
                raise BadInput(f"{file}: has no column of pictures any more", cure="run `tuwen corpus` again")
        self._rows: Iterator[tuple[int, Any]] = iter(())
        self._next = self._end = 0

    def cell(self, row: int) -> Any:
        """Raises BadInput when there is no such row."""
        if not self._next <= row < self._end:
            self._enter(row)
        for number, cell in self._rows:
            self._next = number + 1
            if number == row:
                return cell
        raise BadInput(f"{self._file}: has no row {row} any more", cure="run `tuwen corpus` again")

    def _enter(self, row: int) -> None:
        group = bisect_right(self._starts, row) - 1
        self._next = self._end = 0
        self._rows = iter(())
        if group < len(self._starts) - 1:
            self._next, self._end = self._starts[group : group + 2]
            self._rows = self._read(group)

    def _read(self, group: int) -> Iterator[tuple[int, Any]]:
        assert self._column is not None
        with open_table(self._file) as table:
            batches = table.batches(group, [self._column])
            yield from enumerate((row[self._column] for batch in batches for row in arrow_rows(batch)), self._next)


@lru_cache(maxsize=8)
def _cursor(file: str, mtime_ns: int, column: str | None) -> _Cursor:
    return _Cursor(Path(file), column)
