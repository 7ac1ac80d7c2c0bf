"""One Parquet file from the block shard of the same name: the function of the stage `export-parquet`.

Comes in: a part with the shard's entry and the name of its split. Goes out: `PART.parquet`, a row group a block.
"""

import math
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.documents import Json, ShardEntry
from ...manifests.shards.split_reader import SplitReader
from ...pipeline.executor.part import Part
from ..shard_header import SampleSchema
from .codes_table import META_COLUMNS, SPLIT, TEXT_IDS, table_schema
from .export_shard import ExportShardConfig, shard_readers


class TablePart(TypedDict):
    shard: Json  # of its ShardEntry
    split: str


def export_table(part: Part[TablePart], config: ExportShardConfig, folder: Path) -> dict[str, int]:
    """Write the file, and return the number of its rows. Raises CheckFailed when the shard is corrupt."""
    shard = ShardEntry.model_validate(part.spec["shard"])
    header = config["header"]
    readers = shard_readers(shard, config)
    schema = table_schema(_code_columns(header["schema"]), header["schema"]["text"]["dtype"], header)
    with pq.ParquetWriter(folder / f"{part.name}.parquet", schema, compression="zstd") as writer:
        for first in range(0, shard.samples, shard.block_rows):
            rows = np.arange(first, min(first + shard.block_rows, shard.samples))
            writer.write_table(_table(readers, rows, part.spec["split"], schema))
    return {"rows": shard.samples}


def _code_columns(schema: SampleSchema) -> dict[str, tuple[str, int]]:
    """The dtype and the number of the codes of a row, by column."""
    arrays = {"codes": schema["codes"], **schema.get("also", {})}
    return {name: (codes["dtype"], math.prod(codes["shape"])) for name, codes in arrays.items()}


def _table(readers: dict[str, SplitReader], rows: NDArray[np.int64], split: str, schema: pa.Schema) -> pa.Table:
    _, text, lengths = readers["codes"].rows(rows)
    metas = readers["codes"].metas(rows)
    ids = text[np.arange(text.shape[1]) < lengths[:, None]]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = {
        "key": pa.array([meta["key"] for meta in metas], pa.string()),
        "caption": pa.array([meta.get("caption") for meta in metas], pa.string()),
        TEXT_IDS: pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        SPLIT: pa.array([split] * len(metas), pa.string()),
    }
    columns |= {name: _code_lists(reader.rows(rows)[0]) for name, reader in readers.items()}
    columns |= {name: pa.array([meta.get(name) for meta in metas], kind) for name, kind in META_COLUMNS.items()}
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _code_lists(codes: NDArray[Any]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), codes.shape[1])
