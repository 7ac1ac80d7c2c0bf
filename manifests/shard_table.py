"""The shards of a manifest in one Parquet file beside it, for manifests with too many of them for JSON.

    entry = write_shard_table(folder, shards)         # the entry of the file, for the manifest
    shards = read_shard_table(folder, entry.sha256)   # the same list, verified

Reading 100,000 shards takes 7 s from JSON and 0.9 s from Parquet. Objects with open keys are JSON strings in their
cell. Shards are plain JSON objects here, because the hashes of the manifest are taken over them.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .atomic import whole_file
from .canonical import canonical_json, sha256_of_file
from .documents import FileEntry, Json
from .errors import CheckFailed

FILE_NAME = "shards.parquet"
MOST_IN_JSON = 50_000

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("name", "sha256", "layout", "keys_sha256", "arrays", "stats", "quality")),
        *((name, pa.int64()) for name in ("bytes", "samples", "block_rows", "tail_crc32")),
        *((name, pa.list_(pa.int64())) for name in ("block_offsets", "crc32")),
        ("urls", pa.list_(pa.string())),
    ]
)
_AS_JSON = ("arrays", "stats", "quality")


def write_shard_table(folder: Path, shards: list[Json]) -> FileEntry:
    rows = [{**shard, **{name: canonical_json(shard.get(name, {})).decode() for name in _AS_JSON}} for shard in shards]
    path = folder / FILE_NAME
    with whole_file(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), temporary, compression="zstd")
    return FileEntry(name=FILE_NAME, bytes=path.stat().st_size, sha256=sha256_of_file(path), rows=len(rows))


def read_shard_table(folder: Path, sha256: str) -> list[Json]:
    """Raises CheckFailed when the table is missing or has another hash than `sha256`."""
    path = folder / FILE_NAME
    if not path.is_file() or sha256_of_file(path) != sha256:
        raise CheckFailed(
            f"{path}: missing, or not the table that the manifest was sealed with", cure="restore it from a copy"
        )
    rows: list[Json] = pq.read_table(path).to_pylist()
    return [{**row, **{name: json.loads(row[name]) for name in _AS_JSON if name in row}} for row in rows]
