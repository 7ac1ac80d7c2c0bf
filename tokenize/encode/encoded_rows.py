"""Encoded samples of a stretch of rows, and their file, from which a killed job goes on.

    save_encoded(path, encoded)                         # Parquet, whole or not at all
    read_facts(path)                                    # None: the stretch is not done
    encoded = read_encoded(path, arrays=["codes"])
    forget_lost(scratch)                                # those with pairs that were lost are encoded again

The file holds all that a shard takes of these rows, so the pictures need not be read again.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...manifests.atomic import whole_file
from ...manifests.shards.row_meta import RowMeta

_FACTS = b"tuwen"


class LostPair(TypedDict):
    """A pair that has no sample, since its picture was lost after the corpus was made."""

    key: str
    reason: str  # gone, changed, unreadable, undecodable
    problem: str


@dataclass(frozen=True)
class Facts:
    """What is known of a stretch of rows besides its samples. Floats are decimals."""

    lost: list[LostPair]
    quality: dict[str, dict[str, str]]  # by array; see `quality_gate`
    trimmed: int  # captions that had more ids than are kept
    encoding_ms: int  # of wall-clock time; the other time went to reading, decoding and cropping
    elapsed_ms: int


@dataclass(frozen=True)
class EncodedRows:
    meta: list[RowMeta]
    text: list[list[int]]  # caption ids
    codes: dict[str, NDArray[Any]]  # by array: (samples, codes of a picture)
    facts: Facts = field(compare=False)


def save_encoded(path: Path, encoded: EncodedRows) -> None:
    columns: dict[str, Any] = {
        "meta": pa.array([json.dumps(meta, ensure_ascii=False) for meta in encoded.meta], pa.large_string()),
        "text": pa.array(encoded.text, pa.large_list(pa.uint32())),
    }
    for array, codes in encoded.codes.items():
        flat = pa.array(np.ascontiguousarray(codes, dtype=np.uint32).reshape(-1))
        columns[array] = pa.FixedSizeListArray.from_arrays(flat, codes.shape[1])
    table = pa.table(columns).replace_schema_metadata({_FACTS: json.dumps(asdict(encoded.facts))})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_facts(path: Path) -> Facts | None:
    """The facts alone; None: there is no such file, or none that can be read."""
    try:
        return _facts(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return None


def read_encoded(path: Path, arrays: list[str]) -> EncodedRows | None:
    """Returns None, and removes the file, where the disk has altered it."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException):
        path.unlink(missing_ok=True)
        return None
    codes = {}
    for array in arrays:
        column = table[array].combine_chunks()
        codes[array] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    meta = [json.loads(line) for line in table["meta"].to_pylist()]
    return EncodedRows(meta, table["text"].to_pylist(), codes, _facts(table.schema))


def forget_lost(scratch: Path) -> None:
    """Removes the files of stretches that lost a pair. `scratch` holds the folders of all parts."""
    for path in scratch.glob("*/*.parquet"):
        facts = read_facts(path)
        if facts is not None and facts.lost:
            path.unlink()


def _facts(schema: pa.Schema) -> Facts:
    return Facts(**json.loads(schema.metadata[_FACTS]))
