"""Which rows of the decision table each part has, as small Parquet files that the stages read.

parts = plan_parts(rows, roots, folder.plan, "train", part_rows=4096)      # Part("train-00000", …), …
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ..manifests.atomic import whole_file
from ..manifests.canonical import sha256_of_file
from ..pipeline.executor.part import InputFile, Part, PictureRoot


class PlanRow(TypedDict):
    """A kept pair: its caption, and where its picture lies."""

    key: str
    source: str
    origin: str  # where the picture stands in the source
    offset: int  # where its bytes begin in a tar; 0 for a file of its own
    bytes: int
    license: str
    caption: str
    image_sha256: str  # of the bytes in the source
    pixels_hash: str
    cluster: str  # of near-duplicates; it decides the split


PLAN_COLUMNS = list(PlanRow.__annotations__)


def plan_parts(
    rows: pa.Table, roots: Mapping[str, PictureRoot], folder: Path, name: str, part_rows: int
) -> list[Part[None]]:
    """Cut `rows` into slices of `part_rows`, each a file in `folder` and a part with the input `rows`."""
    parts = []
    for number, start in enumerate(range(0, len(rows), part_rows)):
        path = folder / f"{name}-{number:05d}.parquet"
        with whole_file(path) as temporary:
            pq.write_table(rows.slice(start, part_rows).select(PLAN_COLUMNS).combine_chunks(), temporary)
        rows_file = InputFile(str(path.resolve()), sha256_of_file(path))
        parts.append(Part[None](path.stem, None, {"rows": rows_file}, roots))
    return parts
