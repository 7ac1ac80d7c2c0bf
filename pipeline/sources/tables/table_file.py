"""A file of a table that holds pictures, by groups of rows: Parquet, and Arrow files and streams.

    with open_table(Path("data-00000-of-00001.arrow")) as table:
        table.schema, table.group_rows                      # [1000, 1000, 337]: the rows of each group
        for batch in table.batches(0, ["image", "text"]): …

A group is a row group of Parquet, or about a thousand rows of Arrow. Batches have few rows, so that the size of a group
does not matter. A file that is not whole raises BadInput, also while its batches are read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ....manifests.errors import BadInput
from ...tables.check_batch import checked
from ...tables.container_format import container_format

BATCH_ROWS = 16  # with a picture each
_GROUP_ROWS = 1000  # of Arrow at least; `datasets` writes batches of 100 or of 1,000 rows
_SHOWN = {"parquet": "Parquet", "arrow": "Arrow"}


class TableFile(Protocol):
    schema: pa.Schema

    @property
    def group_rows(self) -> list[int]: ...

    def batches(self, group: int, columns: list[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The batches of a group, with at most `rows` rows each."""
        ...

    def path_columns(self, column: str) -> list[str]:
        """What to read of a column of pictures for the paths in it, without their bytes where that is possible."""
        ...


@contextmanager
def open_table(file: Path) -> Iterator[TableFile]:
    format_ = container_format(file)
    try:
        if format_ == "arrow":
            with pa.memory_map(str(file)) as mapped:
                yield _ArrowFile(mapped)
        else:
            with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as opened:
                yield _ParquetFile(opened)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        is_name = isinstance(error, UnicodeDecodeError)  # cells are decoded one by one, so it is no cell
        message = "the name of a column is not UTF-8" if is_name else " ".join(str(error).split())[:200]
        raise BadInput(
            f"{file}: not whole {_SHOWN.get(format_ or '', 'Parquet')} ({message})",
            cure="restore it, or take it out of the source",
        ) from None


class _ParquetFile:
    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema: pa.Schema = file.schema_arrow

    @cached_property
    def group_rows(self) -> list[int]:
        return [self._file.metadata.row_group(number).num_rows for number in range(self._file.num_row_groups)]

    def batches(self, group: int, columns: list[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)

    def path_columns(self, column: str) -> list[str]:
        leaves = [self._file.schema.column(number).path for number in range(len(self._file.schema.names))]
        return [leaf for leaf in leaves if leaf.startswith(f"{column}.") and leaf.endswith(".path")] or [column]


class _ArrowFile:
    def __init__(self, mapped: pa.MemoryMappedFile) -> None:
        self._mapped = mapped
        self._is_stream = mapped.read(6) != b"ARROW1"
        self.schema: pa.Schema = self._open().schema

    @cached_property
    def group_rows(self) -> list[int]:
        return [sum(self._batch_rows[start:stop]) for start, stop in self._groups]

    def batches(self, group: int, columns: list[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        for batch in islice(self._batches(), *self._groups[group]):
            chosen = checked(batch.select(columns))
            yield from (chosen.slice(start, rows) for start in range(0, len(chosen), rows))

    def path_columns(self, column: str) -> list[str]:
        return [column]

    @cached_property
    def _batch_rows(self) -> list[int]:
        return [len(batch) for batch in self._batches()]

    @cached_property
    def _groups(self) -> list[tuple[int, int]]:
        """The first batch of each group, and the one behind its last."""
        edges, rows = [0], 0
        for number, more in enumerate(self._batch_rows, start=1):
            rows += more
            if rows >= _GROUP_ROWS or number == len(self._batch_rows):
                edges.append(number)
                rows = 0
        return list(pairwise(edges))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """Every batch. Mapped into memory, so that one which is passed costs nothing, unless it is compressed."""
        reader = self._open()
        if self._is_stream:
            yield from reader
        else:
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))

    def _open(self) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
        self._mapped.seek(0)
        return pa.ipc.open_stream(self._mapped) if self._is_stream else pa.ipc.open_file(self._mapped)
