"""Measure once: every picture of a part is decoded a single time; all that a later rule may ask goes into Parquet.

    run_stage("measure", measure, list_parts(source), {"max_pixels": 50_000_000, "max_seconds": 30}, out=…)

Comes in: a part of a source. Goes out: `PART.parquet` with one row a pair (a picture with two captions is two
pairs), by `manifests.pair.MEASURES`. A picture that cannot be read is a row too, with the problem in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.pair import MEASURES, pair_key
from ..executor.part import Part
from ..sources.source import SourceItem
from .measure_isolated import measure_isolated

_GROUP_ROWS = 2048  # rows held in memory at a time


def measure(part: Part, config: dict[str, Any], folder: Path) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    count = 0
    with pq.ParquetWriter(folder / f"{part.name}.parquet", MEASURES, compression="zstd") as writer:
        for found, measured in measure_isolated(part, config):
            rows += _pairs(part, found, measured)
            if len(rows) >= _GROUP_ROWS:
                count += _flush(writer, rows)
        count += _flush(writer, rows)
    return {"source": part.identity["source"], "pairs": count}


def _pairs(part: Part, found: SourceItem, measured: dict[str, Any]) -> Iterator[dict[str, Any]]:
    captions: list[str | None] = [*found.captions] or [None]
    for number, caption in enumerate(captions):
        yield {
            "key": pair_key(part.identity["source"], found.place or found.origin, number),
            "source": part.identity["source"],
            "origin": found.origin,
            "license": found.license or part.identity["license"],
            "url": found.url,
            "caption_raw": caption,
            **measured,
        }


def _flush(writer: pq.ParquetWriter, rows: list[dict[str, Any]]) -> int:
    count = len(rows)
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=MEASURES))
        rows.clear()
    return count
