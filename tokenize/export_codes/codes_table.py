"""The columns of codes in Parquet, which `tuwen manifest export` writes and `tuwen import` reads.

    schema = table_schema({"codes": ("<u2", 64)}, "<u2", {"format": "tuwen/shard"})
    schema.names[:3]            # ["key", "caption", "codes"]
    header_of(schema)           # {"format": "tuwen/shard"}

The header of the shards (`shard_header`) is the metadata `tuwen` of each file, so that a lone file explains itself.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ...manifests.canonical import canonical_json
from ...manifests.documents import Json

HEADER = b"tuwen"
TEXT_IDS, SPLIT = "text_ids", "split"

# What is known of a row besides its key and its caption, by the names of `RowMeta`.
META_COLUMNS: dict[str, pa.DataType] = {
    "source": pa.string(),
    "license": pa.string(),
    "crop": pa.list_(pa.int32()),  # left, top, right, bottom
    "mirrored": pa.bool_(),
    "pixels": pa.string(),
}


def table_schema(codes: Mapping[str, tuple[str, int]], text_dtype: str, header: Mapping[str, Any]) -> pa.Schema:
    """`codes` are the arrays of a row: their dtype and their number, by the name of the column."""
    columns = [("key", pa.string()), ("caption", pa.string())]
    columns += [(name, pa.list_(_integers(dtype), number)) for name, (dtype, number) in codes.items()]
    columns += [(TEXT_IDS, pa.list_(_integers(text_dtype))), *META_COLUMNS.items(), (SPLIT, pa.string())]
    return pa.schema(columns, metadata={HEADER: canonical_json(header)})


def header_of(schema: pa.Schema) -> Json | None:
    """The header of a file that Tuwen wrote; None for a file of others."""
    data = (schema.metadata or {}).get(HEADER)
    return json.loads(data) if data else None


def _integers(dtype: str) -> pa.DataType:
    return {"<u2": pa.uint16(), "<u4": pa.uint32()}[dtype]
