"""Measure once: every picture of a part is decoded a single time; all that a later rule may need goes into Parquet.

    run_stage(MEASURE, parts, MeasureConfig(max_pixels=50_000_000, max_seconds=30.0), corpus.measures, run)

Comes in: a part of a source. Goes out: `PART.parquet` with one row a pair (a picture with two captions is two
pairs), by `manifests.pair.MEASURES`. A picture that cannot be read is a row too, with the problem in it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ...manifests.pair import MEASURES, pair_key
from ..corpus_files.stage_tables import WRITTEN
from ..executor.part import Part
from ..sources.passed_over import PassedFile, PassedOver, pass_over
from ..sources.source import SourceItem, SourcePart
from .measure_isolated import MeasureConfig, measure_isolated
from .measure_picture import Measured

_GROUP_ROWS = 2048  # rows held in memory at a time


class MeasureSummary(TypedDict):
    source: str
    pairs: int
    passed_over: PassedOver


def measure(part: Part[SourcePart], config: MeasureConfig, folder: Path) -> MeasureSummary:
    """Write the part's rows of `MEASURES`, some thousand at a time."""
    rows: list[Measured] = []
    passed: PassedOver = {}
    count = 0
    with pq.ParquetWriter(folder / f"{part.name}.parquet", MEASURES, **WRITTEN) as writer:
        for answer in measure_isolated(part, config):
            if isinstance(answer, PassedFile):
                pass_over(passed, answer)
            else:
                rows += _pairs(part.spec, *answer)
            if len(rows) >= _GROUP_ROWS:
                count += _flush(writer, rows)
        count += _flush(writer, rows)
    return MeasureSummary(source=part.spec["source"], pairs=count, passed_over=passed)


def _pairs(part: SourcePart, item: SourceItem, measured: Measured) -> Iterator[Measured]:
    """One row of `MEASURES` for each caption of a picture, and one for a picture without a caption."""
    captions: list[str | None] = [*item.captions] or [None]
    for number, caption in enumerate(captions):
        yield {
            "key": pair_key(part["source"], item.key_origin or item.origin, number),
            "source": part["source"],
            "origin": item.origin,
            "license": item.license or part["license"],
            "url": item.url,
            "caption_raw": caption,
            **measured,
        }


def _flush(writer: pq.ParquetWriter, rows: list[Measured]) -> int:
    count = len(rows)
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=MEASURES))
        rows.clear()
    return count
