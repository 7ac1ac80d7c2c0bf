"""A Parquet file that grows row by row, however many there will be; it is written when the first row comes.

with growing_table(folder / "refused.parquet", schema) as add:
    add({"place": "merge.bin#17", "reason": "no_caption"})
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.atomic import whole_file

_ROWS_AT_ONCE = 10_000
Row = dict[str, Any]


@contextmanager
def growing_table(path: Path, schema: pa.Schema) -> Iterator[Callable[[Row], None]]:
    path.unlink(missing_ok=True)
    rows: list[Row] = []
    with ExitStack() as stack:
        writers: list[pq.ParquetWriter] = []

        def write() -> None:
            if not writers:
                temporary = stack.enter_context(whole_file(path))
                writers.append(stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd")))
            writers[0].write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        def add(row: Row) -> None:
            rows.append(row)
            if len(rows) == _ROWS_AT_ONCE:
                write()

        yield add
        if rows:
            write()
