"""The files that the rows of tables name as their pictures: they belong to the rows, and stand in the parts' hashes.

named = NamedFiles(root, ["images/1.jpg", "readme.md"])
named.add(Path("0.parquet"), "image", group=0)      # a hash of the files' names, sizes and times; "": none is named
named.found                                         # {"images/1.jpg"}
"""

import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from ....manifests.errors import BadInput
from ...tables.arrow_rows import arrow_rows
from ..source import hash64, name_below
from .picture_cell import PictureFiles, cell_pictures
from .picture_column import picture_kind
from .table_columns import column_type, has_addresses, holds_addresses
from .table_file import BATCH_ROWS, TableFile, open_table

_BATCH_ROWS = 1000
_SAMPLES = 100  # texts of a group; when none of them names a file, the column is one of base64
_LEAST_BYTES = 64  # of a picture: a word is base64, too
_MOST_COMPARED = 10_000  # names of files, for the nearest one


class NamedFiles:
    def __init__(self, root: Path, others: Sequence[str]) -> None:
        """`others` are the files of the source that are no tables."""
        self._root = root
        self._has_files = bool(others)
        self.found: set[str] = set()

    def add(self, file: Path, column: str, group: int) -> str:
        """Add the files that the rows of the group name, and return their hash."""
        if not self._has_files:
            return ""
        files, facts = PictureFiles(self._root, file), set()
        with open_table(file) as table:
            texts = _texts(table, column, group)
            first = list(islice(texts, _SAMPLES))
            is_text = picture_kind(column_type(table.schema, column)) == "text"
            if is_text and not any(files.find(text) for text in first):
                return ""
            for text in (*first, *texts):
                if path := files.find(text):
                    name, stat = name_below(files.root, path), path.stat()
                    facts.add(f"{name} {stat.st_size} {stat.st_mtime_ns}")
                    self.found.add(name)
        return f"{hash64(chr(10).join(sorted(facts))):016x}" if facts else ""


def refuse_unreadable(root: Path, tables: Sequence[tuple[Path, str]], others: Sequence[str]) -> None:
    """Raise BadInput if the columns hold texts that are neither base64 nor the paths of files, and no bytes.

    `tables` are files and their columns of pictures. The first rows of each group are read, until one has a picture.
    """
    first: tuple[Path, str, str] | None = None
    for file, column in tables:
        with open_table(file) as table:
            for group in range(len(table.group_rows)):
                found = _unreadable_texts(table, column, group, PictureFiles(root, file))
                if found is None:
                    return
                if found and first is None:
                    first = (file, column, found[0])
    if first:
        raise _unreadable(*first, others)


def _unreadable(file: Path, column: str, text: str, others: Sequence[str]) -> BadInput:
    with open_table(file) as table:
        names = table.schema.names
    if has_addresses(names) or "://" in text:
        return holds_addresses(file)
    near = difflib.get_close_matches(text, others[:_MOST_COMPARED], 1, 0.0)
    return BadInput(
        f"{file}: column `{column}` holds no pictures and names no file below the source; the first is "
        f"`{text[:80]}`" + (f", the nearest file is {near[0]}" if near else ""),
        cure="paths are relative to the table or to the source; put the files there, or name another column",
    )


def _unreadable_texts(table: TableFile, column: str, group: int, files: PictureFiles) -> list[str] | None:
    """The texts in the first rows of a group; None if one of these rows has a picture."""
    least = _LEAST_BYTES if picture_kind(column_type(table.schema, column)) == "text" else 0
    texts: list[str] = []
    for batch in islice(table.batches(group, [column]), _SAMPLES // BATCH_ROWS + 1):
        for row in arrow_rows(batch):
            found = (picture.data for picture in cell_pictures(row[column], files))
            if any(data is not None and len(data) >= least for data in found):
                return None
        texts += _texts_of(batch.column(0))
    return texts


def _texts(table: TableFile, column: str, group: int) -> Iterator[str]:
    for batch in table.batches(group, table.path_columns(column), _BATCH_ROWS):
        yield from _texts_of(batch.column(0))


def _texts_of(array: Any) -> Iterator[str]:
    """The texts in a column of pictures: paths, or base64."""
    if pa.types.is_struct(array.type):
        for name in ("bytes", "path"):
            if array.type.get_field_index(name) >= 0:
                yield from _texts_of(array.field(name))
    elif isinstance(array, pa.DictionaryArray):
        yield from _texts_of(array.dictionary)
    elif isinstance(array, pa.ExtensionArray):
        yield from _texts_of(array.storage)
    elif hasattr(array, "flatten"):
        yield from _texts_of(array.flatten())
    elif picture_kind(array.type) == "text":
        rows = arrow_rows(pa.RecordBatch.from_arrays([array], ["text"]))
        yield from (row["text"] for row in rows if isinstance(row["text"], str) and row["text"].strip())
