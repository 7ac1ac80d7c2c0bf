"""A slice of a list: its rows as Parquet, with the address, the captions and the problem of each.

write_slice(Path("lists/wukong_100m_0-3f2a91bc-00003.parquet"), rows)
rows = read_slice(path)       # [ListRow(0, "https://…", ["一只猫"], None, ""), …]
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_SLICE = pa.schema(
    [
        ("row", pa.int64()),
        ("url", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("license", pa.string()),
        ("problem", pa.string()),
        ("width", pa.int64()),
        ("height", pa.int64()),
    ]
)


@dataclass(frozen=True)
class ListRow:
    row: int  # from 0; lines that are blank do not count, nor does the one with the names
    url: str | None
    captions: list[str]
    license: str | None
    problem: str  # bad_address, broken_row, not_wanted, or why all its pairs fall; empty: to be fetched
    width: int | None = None  # px, as the list says
    height: int | None = None


def write_slice(path: Path, rows: list[ListRow]) -> None:
    columns = {name: [getattr(row, name) for row in rows] for name in _SLICE.names}
    pq.write_table(pa.table(columns, schema=_SLICE), path, compression="zstd")


def read_slice(path: Path) -> list[ListRow]:
    return [ListRow(**row) for row in pq.read_table(path).to_pylist()]
