"""Measure once: every picture of a part is decoded a single time; all that a later rule may ask goes into Parquet.

    run_stage("measure", measure, list_parts(source), {"max_pixels": 100_000_000}, out=corpus / "measures")

Comes in: a part of a source. Goes out: `PART.parquet` with one row a pair (a picture with two captions is two
pairs), by `manifests.pair.MEASURES`. A picture that cannot be read is a row too, with the problem in it.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..manifests.pair import MEASURES, pair_key
from .clean_image import decode
from .signatures import signatures
from .sources import Found, read_part
from .stage import Part

_GROUP_ROWS = 2048  # rows held in memory at a time


def measure(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    count = 0
    with pq.ParquetWriter(folder / f"{part.name}.parquet", MEASURES, compression="zstd") as writer:
        for found in read_part(part):
            rows += _pairs(part, found, config["max_pixels"])
            if len(rows) >= _GROUP_ROWS:
                count += _flush(writer, rows)
        count += _flush(writer, rows)
    return {"pairs": count}


def _pairs(part: Part, found: Found, max_pixels: int) -> Iterator[dict[str, Any]]:
    measured = _measure_picture(found, max_pixels)
    captions: list[str | None] = [*found.captions] or [None]
    for number, caption in enumerate(captions):
        yield {
            "key": pair_key(part.identity["source"], found.origin, number),
            "source": part.identity["source"],
            "origin": found.origin,
            "license": part.identity["license"],
            "caption_raw": caption,
            **measured,
        }


def _measure_picture(found: Found, max_pixels: int) -> dict[str, Any]:
    if found.data is None:
        return {"problem": "missing_picture", "offset": 0, "bytes": 0}
    decoded = decode(found.data, max_pixels)
    return {
        "offset": found.offset,
        "bytes": len(found.data),
        "image_sha256": hashlib.sha256(found.data).hexdigest(),
        "format": decoded.format,
        "mode": decoded.mode,
        "problem": decoded.problem,
        **(signatures(decoded.picture) if decoded.picture else {}),
    }


def _flush(writer: pq.ParquetWriter, rows: list[dict[str, Any]]) -> int:
    count = len(rows)
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=MEASURES))
        rows.clear()
    return count
